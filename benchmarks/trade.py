"""Quality against speed, a table in README.md: committed evaluations beside the rates of the last `make bench-engine`."""

import json
from typing import Any

from benchmarks.results import ROOT
from training.readme import write_block
from training.standing import EVALUATION


def write_trade(results: dict[str, dict[str, Any]] | None = None) -> None:
    """Write it with these measurements of each profile, or with those that are kept in results/engine.json."""
    if results is None:
        kept = json.loads((ROOT / "benchmarks" / "results" / "engine.json").read_text(encoding="utf-8"))
        results = dict(kept["profiles"])
    lines = ["| profile | macro-F1 | average precision | Brier skill | passages/s |", "| --- | --- | --- | --- | --- |"]
    for profile, result in results.items():
        model = json.loads((EVALUATION / profile / "metrics.json").read_text(encoding="utf-8"))["model"]
        quality = " | ".join(f"{model[name]:.2f}" for name in ("macro_f1", "macro_average_precision", "macro_brier_skill"))
        lines.append(f"| {profile} | {quality} | {result['passages_per_s']:.0f} |")
    write_block(ROOT / "README.md", "profiles", "\n".join(lines))
