"""Does the service stay right under load? Commands that take minutes; tests/serving/test_load.py runs some in small.

make endurance               all of it, against servers of its own; writes benchmarks/results/endurance.json and a table
make endurance QUICK=1       a hundredth of it, changes nothing

same       distinct passages by 64 clients at once: every answer equals the one given to the passage alone
hostile    a third of the requests malformed, cut off or abandoned: the others are answered right, the queue is empty at the end
overload   twice and ten times what the server can do: accepted requests stay quick, the others are told 429, none hangs
lengths    requests of random lengths: memory stays flat
stopped    SIGTERM under load: every accepted request is answered
killed     kill -9 of one of two replicas, again and again: only its open connections break, asked again all is answered right
"""

import argparse
import asyncio
import json
import os
import signal
import sys
from collections.abc import Coroutine
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.endurance.crowd import hostile, same
from benchmarks.endurance.ends import killed, stopped
from benchmarks.endurance.pressure import by_hey, lengths, overload
from benchmarks.results import finish, quick_bundle
from benchmarks.server.contenders import Contender, contenders
from benchmarks.server.processes import running

_PORT = 18200


def main(arguments: list[str]) -> int:
    """Run everything against servers of our own; 1 when anything was not right."""
    parser = argparse.ArgumentParser(prog="endurance")
    parser.add_argument("--quick", action="store_true", help="a hundredth of it; changes no tracked file")
    parser.add_argument("--requests", type=int, default=100_000, help="requests of random lengths (default: 100,000)")
    options = parser.parse_args(arguments)
    share = 100 if options.quick else 1
    model, binaries = quick_bundle(), Path(sys.executable).parent
    ours = contenders()[0]
    found: dict[str, dict[str, Any]] = {}

    def check(name: str, asked: Coroutine[Any, Any, dict[str, Any]]) -> None:
        found[name] = asyncio.run(asked)
        print(json.dumps({"check": name, **found[name]}), flush=True)

    with running(ours, binaries, model, _PORT) as server:
        check("same", same(_PORT, 10_000 // share, 64))
        check("hostile", hostile(_PORT, 10_000 // share, 64))
        check("overload 2x", overload(_PORT, 2, 20 / share + 2, by_hey))
        check("overload 10x", overload(_PORT, 10, 20 / share + 2, by_hey))
        check("lengths", lengths(_PORT, options.requests // share, server.memory_mb))
    with running(ours, binaries, model, _PORT) as server:
        check("stopped", stopped(_PORT, lambda: os.kill(server.pid, signal.SIGTERM), 64))
    with running(_replicated(ours), binaries, model, _PORT) as server:
        check("killed", killed(_PORT, server.pid, 2 if options.quick else 10, 16))
    wrong = any(not one["right"] for one in found.values())
    return max(finish("endurance", _table(found), found, quick=options.quick or wrong), int(wrong))


def _replicated(ours: Contender) -> Contender:
    return replace(ours, command=lambda *given: [*ours.command(*given), "--replicas", "2"])


def _table(found: dict[str, dict[str, Any]]) -> str:
    crowd, broken, memory, end, dead = (found[name] for name in ("same", "hostile", "lengths", "stopped", "killed"))
    rows = ["| what was done | what came of it |", "| --- | --- |"]

    def row(done: str, *came: str) -> None:
        rows.append(f"| {done} | {', '.join(came)} |")

    row(
        f"{crowd['passages']:,} distinct passages, {crowd['clients']} clients at once",
        f"{crowd['flips']} decisions other than alone",
        f"scores differ by {crowd['largest_difference']:.0e} at most",
    )
    row(
        f"{broken['requests']:,} requests, a third malformed, cut off or abandoned",
        f"{broken['outcomes']['right']:,} good ones, all answered right",
        "nothing left in the queue",
    )
    for name in ("overload 2x", "overload 10x"):
        one = found[name]
        row(
            f"{one['factor']:g} times what it can do",
            f"{one['statuses'].get('200', 0):,} answered, {one['statuses'].get('429', 0):,} told 429, nothing else",
            f"p99 of those answered {one['p99_accepted_ms']:.0f} ms ({one['p99_half_load_ms']:.0f} ms at half load)",
        )
    row(
        f"{memory['requests']:,} requests of random lengths",
        f"memory {memory['memory_mb'][0]} MB after a tenth, {memory['memory_mb'][1]} MB at the end",
    )
    row(
        f"SIGTERM, {end['clients']} clients",
        f"{end['outcomes'].get('200 after SIGTERM', 0)} answered after it",
        f"{end['outcomes'].get('lost', 0)} lost",
    )
    row(
        f"{dead['kills']} kill -9 of one of two replicas, {dead['clients']} clients",
        f"{dead['outcomes']['right']:,} answers, none wrong",
        f"{dead['outcomes'].get('broken connections', 0)} connections broken",
        f"both ready again after {dead['slowest_back_s']} s at most",
    )
    return "\n".join(rows)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
