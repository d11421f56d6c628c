"""How fast the service is beside the servers its users would pick, each with the same model file.

    make bench-server            full run: writes benchmarks/results/server.json and the table in README.md
    make bench-server QUICK=1    one short round, changes nothing

One load generator (wrk, a compiled program of Debian) for all, one passage a request and 32, over 1, 8 and 64 connections. In
each round every server is started, asked for known scores, loaded, and stopped, so that a busy neighbour on the machine
meets all alike; medians over the rounds are quoted.
"""

import argparse
import json
import math
import os
import shutil
import statistics
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.environments import environment
from benchmarks.passages import seed_passages
from benchmarks.results import finish, quick_bundle
from benchmarks.server.contenders import Contender, contenders
from benchmarks.server.processes import Running, running
from serving.settings import load_settings

CELLS = [(size, connections) for size in (1, 32) for connections in (1, 8, 64)]
_PORT = 18080
_LOAD = Path(__file__).parent / "load.lua"
_KNOWN = 12
_TOLERANCE = 0.1
"""Largest difference of a peer's scores to ours: padding and batches change int8's scales."""
Cell = tuple[int, int]


def main(arguments: list[str]) -> int:
    """Measure, print the table, and end with the line RESULT {json}."""
    parser = argparse.ArgumentParser(prog="bench-server")
    parser.add_argument("--quick", action="store_true", help="one short round; changes no tracked file")
    parser.add_argument("--rounds", type=int, default=3, help="of which medians are quoted (default: 3)")
    parser.add_argument("--only", help="servers whose name holds this, beside ours")
    options = parser.parse_args(arguments)
    if not shutil.which("wrk"):
        print("bench-server: the load generator is missing: apt-get install wrk", file=sys.stderr)
        return 2
    chosen = [one for one in contenders() if not options.only or one.mode == "ours" or options.only in one.name]
    model, texts = _model(), [passage.text for passage in seed_passages()]
    folders = {
        one.packages: environment(one.packages, one.name) if one.packages else Path(sys.executable).parent for one in chosen
    }
    bodies = {one: _bodies(one, texts, model.parent) for one in chosen}
    measured: dict[Contender, list[dict[Cell, dict[str, float]]]] = {one: [] for one in chosen}
    starts: dict[Contender, list[tuple[float, float]]] = {one: [] for one in chosen}
    known: list[dict[str, float]] = []
    for number in range(1 if options.quick else options.rounds):
        for place, one in enumerate(chosen):
            with running(one, folders[one.packages], model, _PORT + 10 * place) as server:
                known = known or server.ask(texts[:_KNOWN])
                _same(server, texts[:_KNOWN], known)
                measured[one].append({cell: _load(server, bodies[one][cell[0]], cell, quick=options.quick) for cell in CELLS})
                starts[one].append((server.ready_seconds, server.memory_mb()))
            rates = ", ".join(
                f"{cell[0]}x{cell[1]} {found['passages_per_s']:.0f}/s" for cell, found in measured[one][-1].items()
            )
            print(f"round {number + 1}: {one.name} ({one.mode}): {rates}", file=sys.stderr, flush=True)
    figures = {one: _medians(rounds) for one, rounds in measured.items()}
    return finish(
        "server",
        _table(figures, starts, options.rounds),
        {**_result(figures, starts), "rounds": options.rounds},
        quick=options.quick or bool(options.only),
    )


def _model() -> Path:
    """The folder that all serve, apart from the state's own, so that a peer may write beside it."""
    folder = load_settings().state.resolve() / "peers" / "model"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(quick_bundle(), folder)
    return folder


def _bodies(contender: Contender, texts: Sequence[str], folder: Path) -> dict[int, Path]:
    """Passages a request -> a file with one body a line."""
    made = {}
    for size in {size for size, _ in CELLS}:
        path = folder / f"{contender.name.replace(' ', '-')}-{size}.jsonl"
        groups = [texts[start : start + size] for start in range(0, len(texts) - size + 1, size)]
        path.write_text("".join(json.dumps(contender.body(group)) + "\n" for group in groups), encoding="utf-8")
        made[size] = path
    return made


def _same(server: Running, texts: Sequence[str], known: Sequence[dict[str, float]]) -> None:
    """Raises RuntimeError when a server does not score as ours does: then its speed would mean nothing."""
    for ours, theirs in zip(known, server.ask(texts), strict=True):
        worst = max(abs(theirs[tag] - score) for tag, score in ours.items())
        if worst > _TOLERANCE:
            message = f"{server.contender.name} ({server.contender.mode}): a score differs by {worst:.2f}: {theirs} for {ours}"
            raise RuntimeError(message)


def _load(server: Running, bodies: Path, cell: Cell, *, quick: bool) -> dict[str, float]:
    size, connections = cell
    seconds = (2 if quick else 5) + size * connections // (
        256 if quick else 128
    )  # long enough for each connection's first answer
    before = server.cpu_seconds()
    command = [
        "wrk",
        "-t1",
        f"-c{connections}",
        f"-d{seconds}s",
        "--timeout",
        "30s",
        "-s",
        str(_LOAD),
        server.url,
        "--",
        str(bodies),
    ]
    own = os.times().children_user + os.times().children_system
    out = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    own = os.times().children_user + os.times().children_system - own
    found: dict[str, float] = json.loads(next(line for line in out.splitlines() if line.startswith("RESULT "))[7:])
    right = found["requests"] - found["refused"]
    cpu = server.cpu_seconds() - before
    return {
        "passages_per_s": right * size / found["seconds"],
        "passages_per_cpu_s": right * size / max(cpu, 0.01),
        "p50_ms": found["p50_ms"],
        "p99_ms": found["p99_ms"],
        "errors": found["refused"] + found["broken"],
        "generator_cpu_share": own / found["seconds"],
    }


def _medians(rounds: Sequence[dict[Cell, dict[str, float]]]) -> dict[Cell, dict[str, float]]:
    return {cell: {name: statistics.median(one[cell][name] for one in rounds) for name in rounds[0][cell]} for cell in CELLS}


def _ratios(figures: dict[Contender, dict[Cell, dict[str, float]]], mode: str) -> dict[Cell, float]:
    """Ours over the best peer of a mode, cell by cell."""
    [ours] = [found for one, found in figures.items() if one.mode == "ours"]
    peers = [found for one, found in figures.items() if one.mode == mode]
    best = {cell: max(found[cell]["passages_per_s"] for found in peers) for cell in CELLS}
    return {cell: ours[cell]["passages_per_s"] / max(best[cell], 0.1) for cell in CELLS}


def _result(
    figures: dict[Contender, dict[Cell, dict[str, float]]], starts: dict[Contender, list[tuple[float, float]]]
) -> dict[str, Any]:
    ratios = {mode: _ratios(figures, mode) for mode in ("documented", "tuned")}
    return {
        **{f"geometric_mean_{mode}": round(_geometric(list(found.values())), 3) for mode, found in ratios.items()},
        **{f"lowest_cell_{mode}": round(min(found.values()), 3) for mode, found in ratios.items()},
        "servers": {
            f"{one.name} ({one.mode})": {
                "ready_s": round(statistics.median(ready for ready, _ in starts[one]), 2),
                "memory_mb": round(statistics.median(memory for _, memory in starts[one])),
                "cells": {f"{size}x{count}": _rounded(found[size, count]) for size, count in CELLS},
            }
            for one, found in figures.items()
        },
    }


def _geometric(values: Sequence[float]) -> float:
    return math.exp(statistics.fmean(math.log(value) for value in values))


def _rounded(found: dict[str, float]) -> dict[str, float]:
    return {name: round(value, 2) for name, value in found.items()}


def _table(
    figures: dict[Contender, dict[Cell, dict[str, float]]], starts: dict[Contender, list[tuple[float, float]]], rounds: int
) -> str:
    heads = " | ".join(f"{size} x {count}" for size, count in CELLS)
    lines = [
        (
            f"Passages per second (p99 in ms) by passages a request x connections; {os.cpu_count()} cores, the file of "
            f"`tagger train --quick`; medians of {rounds} alternating rounds."
        ),
        "",
        f"| | {heads} | ready, s | memory, MB |",
        f"| --- |{' --- |' * (len(CELLS) + 2)}",
    ]
    for one, found in figures.items():
        cells = " | ".join(f"{found[cell]['passages_per_s']:.0f} ({found[cell]['p99_ms']:.0f})" for cell in CELLS)
        ready, memory = (statistics.median(values) for values in zip(*starts[one], strict=True))
        name = one.name if one.mode == "ours" else f"{one.name}, {one.mode}"
        lines.append(f"| {name} | {cells} | {ready:.1f} | {memory:.0f} |")
    lines += [
        "",
        *(
            f"Against the best {mode} peer, geometric mean: {_geometric(list(_ratios(figures, mode).values())):.2f}."
            for mode in ("documented", "tuned")
        ),
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
