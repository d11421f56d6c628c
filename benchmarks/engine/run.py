"""How fast the engine is beside the transformers pipeline, plain onnxruntime and OpenVINO, on the passages of the seeds.

    make bench-engine            full run: writes benchmarks/results/engine.json and the table in README.md
    make bench-engine QUICK=1    fewer rounds, one profile, changes nothing

Machines are shared and noisy: contenders take turns in each round, and medians over the rounds are quoted. The ceiling is
MatMulInteger (U8S8, 2048 cubed) on all cores in the same run, over the multiplications that the file's linear layers
do at the real token counts.
"""

import argparse
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.engine.ceiling import ceiling
from benchmarks.engine.contenders import contenders
from benchmarks.passages import seed_passages
from benchmarks.results import finish, quick_bundle
from benchmarks.trade import write_trade
from serving.registry import of_profile
from serving.results import PassageIn
from serving.settings import load_settings
from training.base_model import MINILM, MPNET


def main(arguments: list[str]) -> int:
    """Measure, print the table, and end with the line RESULT {json}."""
    parser = argparse.ArgumentParser(prog="bench-engine")
    parser.add_argument("--quick", action="store_true", help="fewer rounds; changes no tracked file")
    quick = parser.parse_args(arguments).quick
    passages = [PassageIn(text=passage.text, context=passage.context) for passage in seed_passages()][: 300 if quick else 1000]
    settings = load_settings()
    bundles = {"fast": (quick_bundle(), MINILM)}
    if not quick:
        bundles["accurate"] = (of_profile(settings, "accurate"), MPNET)
    results, tables = {}, []
    for profile, (bundle, base) in bundles.items():
        results[profile] = _measured(bundle, base, passages, rounds=7 if profile == "fast" and not quick else 3)
        tables.append(_table(profile, results[profile]))
    if not quick:
        write_trade(results)
    return finish("engine", "\n\n".join(tables), {"profiles": results, **results["fast"]}, quick=quick)


def _measured(bundle: Path, base: str, passages: list[PassageIn], rounds: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        found = contenders(bundle, base, passages, Path(folder))
        rates: dict[str, list[float]] = {contender.name: [] for contender in found}
        for number in range(rounds):
            for contender in found:
                part = passages[: max(40, round(len(passages) * contender.share))]
                started = time.perf_counter()
                contender.run(part)
                rates[contender.name].append(len(part) / (time.perf_counter() - started))
            lasts = ", ".join(f"{name} {measured[-1]:.0f}/s" for name, measured in rates.items())
            print(f"round {number + 1}: {lasts}", file=sys.stderr)
        for contender in found:
            contender.close()
    medians = {name: statistics.median(measured) for name, measured in rates.items()}
    ours = medians["this engine"]
    best_pipeline = max(rate for name, rate in medians.items() if name.startswith("transformers"))
    return {
        "passages_per_s": round(ours, 1),
        "pipeline_ratio": round(ours / best_pipeline, 2),
        "ceiling": round(ceiling(bundle, passages)),
        "ceiling_share": round(ours / ceiling(bundle, passages), 3),
        "passages": len(passages),
        "rounds": rounds,
        "medians": {name: round(rate, 1) for name, rate in medians.items()},
    }


def _table(profile: str, result: dict[str, Any]) -> str:
    ours = result["passages_per_s"]
    caption = (
        f"Profile {profile}, {result['passages']} passages of the seeds, {os.cpu_count()} cores, median of {result['rounds']} "
        f"alternating rounds; the ceiling of the int8 matrix products is {result['ceiling']} passages/s."
    )
    lines = [caption, "", "| | passages/s | this engine is faster by |", "| --- | --- | --- |"]
    lines += [f"| {name} | {rate:.0f} | {ours / rate:.1f} |" for name, rate in result["medians"].items()]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
