"""What every benchmark does at its end: print the table, keep the result of a full run, and the line RESULT {json}."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from serving.settings import load_settings
from training.readme import write_block

ROOT = Path(__file__).parent.parent


def finish(name: str, table: str, result: dict[str, Any], *, quick: bool, block: str = "") -> int:
    """Print the table and the result; a full run writes results/NAME.json and the table `block` (or NAME) in README.md."""
    result = {**result, "quick": quick}
    print(table)
    if not quick:
        folder = ROOT / "benchmarks" / "results"
        folder.mkdir(exist_ok=True)
        (folder / f"{name}.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
        write_block(ROOT / "README.md", block or name, table)
    print(f"RESULT {json.dumps(result)}")
    return 0


def quick_bundle() -> Path:
    """The bundle that speed is measured on, made when it is missing (not counted as run time)."""
    link = load_settings().models / "quick"
    subprocess.run([sys.executable, "-m", "serving.cli", "train", "--quick", "--if-missing"], cwd=ROOT, check=True)
    return link.resolve()
