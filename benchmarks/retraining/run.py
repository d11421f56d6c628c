"""Is the loop from labels to a served model safe? Commands that take minutes; tests look at each in small.

make bench-retraining            swaps, labels, beside; writes benchmarks/results/retraining.json and the table in README.md
make bench-retraining QUICK=1    a tenth of it, changes nothing
make bench-planted               labels that help and labels that harm, at full size (two hours); its own table
"""

import argparse
import asyncio
import json
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.results import finish
from benchmarks.retraining.adding import labels
from benchmarks.retraining.beside import beside
from benchmarks.retraining.planted import begun_anew, planted, planted_table
from benchmarks.retraining.swaps import swaps
from tests.databases import postgresql, postgresql_is_there


def main(arguments: list[str]) -> int:
    """Run the checks; 1 when anything was not right."""
    parser = argparse.ArgumentParser(prog="bench-retraining")
    parser.add_argument("--quick", action="store_true", help="a tenth of it; changes no tracked file")
    parser.add_argument("--only", choices=("swaps", "labels", "beside"))
    parser.add_argument("--planted", action="store_true", help="this alone, always in full")
    options = parser.parse_args(arguments)
    if options.planted:
        with begun_anew("planted") as state:
            made = planted(state)
        return max(finish("planted", planted_table(made), made, quick=False), 0 if made["right"] else _wrong(made))
    share = 10 if options.quick else 1
    found: dict[str, dict[str, Any]] = {}
    wanted = [options.only] if options.only else ["swaps", "labels", "beside"]
    for number, name in enumerate(wanted):
        port = 18300 + number
        if name == "labels":
            found |= _on_both(port, 10_000 // share, 5 if share == 1 else 1)
            continue
        with TemporaryDirectory(prefix="tagger-bench-") as folder:
            state = Path(folder)
            found[name] = asyncio.run(swaps(state, port, 100 // share) if name == "swaps" else beside(state, port, 20 / share))
        print(json.dumps({"check": name, **found[name]}), flush=True)
    if any(not one["right"] for one in found.values()):
        return _wrong(found)
    return 0 if options.only else finish("retraining", _table(found), found, quick=options.quick)


def _wrong(found: dict[str, Any]) -> int:
    print(f"not right: {json.dumps(found)}", file=sys.stderr)
    return 1


def _on_both(port: int, count: int, kills: int) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    with TemporaryDirectory(prefix="tagger-bench-") as folder:
        found["labels, SQLite"] = asyncio.run(labels(Path(folder), port, "", count, kills))
    if postgresql_is_there():
        with TemporaryDirectory(prefix="tagger-bench-") as folder, postgresql() as address:
            found["labels, PostgreSQL"] = asyncio.run(labels(Path(folder), port + 10, f"{address}postgres", count, kills))
    for name, one in found.items():
        print(json.dumps({"check": name, **one}), flush=True)
    return found


def _table(found: dict[str, dict[str, Any]]) -> str:
    changed, near = found["swaps"], found["beside"]
    memory = f"memory {changed['memory_mb']} MB, {changed['grown_mb']:+.0f} MB from the second fifth to the last"
    failed = f"{changed['requests']:,} requests, {changed['failed']} failed"
    rows = ["| check | found |", "| --- | --- |"]
    rows.append(f"| {changed['swaps']} swaps under full load | {failed}; the slowest swap {changed['slowest_s']} s; {memory} |")
    for name, one in found.items():
        if name.startswith("labels"):
            added = f"{name}: {one['acknowledged']:,} by twenty clients, {one['kills']} kill -9"
            rows.append(f"| {added} | {one['lost']} lost, {one['twice']} twice; {one['labels_per_s']}/s |")
    times = "; ".join(f"p{q} {near[f'p{q}_alone_ms']} ms alone, {near[f'p{q}_beside_ms']} ms beside" for q in (50, 99))
    rows.append(f"| a lone passage beside `tagger retrain` | {times} ({near['requests']:,} requests) |")
    return "\n".join(rows)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
