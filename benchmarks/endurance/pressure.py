"""More requests than can be answered, and requests without end."""

import asyncio
import random
import statistics
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from benchmarks.endurance.caller import Caller, body_of, passages, shared


async def overload(port: int, factor: float, seconds: float) -> dict[str, Any]:
    """Requests that arrive on their own time, whether or not the ones before have been answered."""
    texts = passages(400)

    async def ask(caller: Caller, text: str) -> float:
        started = time.perf_counter()
        await caller.post(body_of(text))
        return time.perf_counter() - started

    started = time.perf_counter()
    await shared(texts, 8, port, ask)
    capacity = len(texts) / (time.perf_counter() - started)
    calm = await _open_loop(port, texts, capacity / 2, seconds)
    pressed = await _open_loop(port, texts, capacity * factor, seconds)
    statuses = Counter(status for status, _ in pressed)
    p99 = {name: _p99([took for status, took in found if status == 200]) for name, found in (("half", calm), ("over", pressed))}
    return {
        "factor": factor,
        "capacity_per_s": round(capacity),
        "statuses": {str(status): number for status, number in statuses.items()},
        "goodput_per_s": round(statuses[200] / seconds),
        "p99_half_load_ms": round(p99["half"] * 1000, 1),
        "p99_accepted_ms": round(p99["over"] * 1000, 1),
        "right": set(statuses) <= {200, 429},
    }


async def _open_loop(port: int, texts: Sequence[str], rate: float, seconds: float) -> list[tuple[int, float]]:
    idle: list[Caller] = []

    async def one(text: str) -> tuple[int, float]:
        caller = idle.pop() if idle else Caller(port)
        started = time.perf_counter()
        try:
            status, _ = await asyncio.wait_for(caller.post(body_of(text)), 30)
        except (OSError, EOFError, TimeoutError):
            return 0, time.perf_counter() - started
        took = time.perf_counter() - started
        idle.append(caller)
        return status, took

    began, tasks = time.perf_counter(), []
    for number in range(round(rate * seconds)):
        await asyncio.sleep(max(0.0, began + number / rate - time.perf_counter()))
        tasks.append(asyncio.ensure_future(one(texts[number % len(texts)])))
    found = await asyncio.gather(*tasks)
    for caller in idle:
        await caller.leave()
    return list(found)


async def lengths(port: int, count: int, memory: Callable[[], float]) -> dict[str, Any]:
    """Memory after a tenth of the requests, and at the end."""
    rng = random.Random(0)  # noqa: S311 - a fixed load
    words = " ".join(passages(300)).split()

    async def ask(caller: Caller, number: int) -> int:
        start, length = rng.randrange(len(words) - 400), int(rng.lognormvariate(3.5, 1.0)) + 1
        status, _ = await caller.post(body_of(" ".join(words[start : start + min(length, 400)]), sentences=number % 50 == 0))
        return status

    statuses = Counter(await shared(range(count // 10), 16, port, ask))
    before = memory()
    statuses += Counter(await shared(range(count - count // 10), 16, port, ask))
    after = memory()
    return {
        "requests": count,
        "statuses": {str(status): number for status, number in statuses.items()},
        "memory_mb": [round(before), round(after)],
        "right": set(statuses) == {200} and after < 1.1 * before + 10,
    }


def _p99(values: Sequence[float]) -> float:
    return statistics.quantiles(values, n=100)[98] if len(values) > 1 else float("nan")
