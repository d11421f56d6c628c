"""Another champion again and again under full load: no request fails, memory stays flat."""

import asyncio
import statistics
import time
from collections import Counter
from pathlib import Path
from typing import Any

from benchmarks.endurance.caller import Caller
from benchmarks.results import quick_bundle
from benchmarks.retraining.serving import server
from benchmarks.server.processes import tree_memory_mb
from serving.registry import Registry
from serving.settings import Settings
from tests.bundles import variants

_TAG = b'{"passages": [{"text": "We urge the Council to act."}, {"text": "Page 3"}]}'


async def swaps(state: Path, port: int, count: int) -> dict[str, Any]:
    """`count` swaps while sixteen callers post without a pause."""
    registry = Registry.open(Settings(state=state))
    names = variants(quick_bundle(), registry.models, 2)
    registry.promote(names[0], why="first")
    statuses: Counter[int] = Counter()
    served: Counter[str] = Counter()
    latest = ""
    stopped = asyncio.Event()

    async def call() -> None:
        nonlocal latest
        caller = Caller(port)
        while not stopped.is_set():
            status, answer = await caller.post(_TAG)
            statuses[status] += 1
            latest = answer.get("model", {}).get("version", "")
            served[latest] += 1

    with server(state, port) as process:
        callers = [asyncio.create_task(call()) for _ in range(16)]
        took: list[float] = []
        memory: list[float] = []
        for number in range(count):
            wanted = names[(number + 1) % 2]
            began = time.monotonic()
            await asyncio.to_thread(registry.promote, wanted, why=f"swap {number}")
            while latest != wanted:  # noqa: ASYNC110 - what a caller sees counts
                await asyncio.sleep(0.01)
            took.append(time.monotonic() - began)
            memory.append(tree_memory_mb(process.pid))
        stopped.set()
        await asyncio.gather(*callers)
    registry.close()
    fifth = max(1, count // 5)
    grown = statistics.median(memory[-fifth:]) - statistics.median(memory[fifth : 2 * fifth] or memory)
    return {
        "swaps": count,
        "requests": statuses.total(),
        "failed": statuses.total() - statuses[200],
        "slowest_s": round(max(took), 2),
        "memory_mb": round(statistics.median(memory)),
        "grown_mb": round(grown, 1),
        "right": statuses.total() == statuses[200] and max(took) < 2.0,
    }
