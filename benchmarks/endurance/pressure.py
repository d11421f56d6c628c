"""More requests than can be answered, and requests without end."""

import asyncio
import csv
import math
import random
import statistics
import subprocess
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from tempfile import NamedTemporaryFile
from typing import Any

from benchmarks.endurance.caller import Caller, body_of, passages, shared

_PATIENCE_SECONDS = 30
_CALM, _PRESSED = 25, 5
"""Requests a second of one worker: few workers send no bursts, many go on sending while the queue is full of others."""
Arrived = list[tuple[int, float]]
"""Status and seconds of each request; status 0 for one that was not answered."""
Arrive = Callable[[int, Sequence[str], float, float, int], Awaitable[Arrived]]
"""Sends passages to a port at so many requests a second, for so many seconds; each worker sends so many a second."""


async def overload(port: int, factor: float, seconds: float, arrive: Arrive) -> dict[str, Any]:
    """Requests that arrive on their own time, whether or not the ones before have been answered."""
    texts = passages(400)

    async def ask(caller: Caller, text: str) -> float:
        started = time.perf_counter()
        await caller.post(body_of(text))
        return time.perf_counter() - started

    started = time.perf_counter()
    await shared(texts, 8, port, ask)
    capacity = len(texts) / (time.perf_counter() - started)
    calm = await arrive(port, texts, capacity / 2, seconds, _CALM)
    pressed = await arrive(port, texts, capacity * factor, seconds, _PRESSED)
    statuses = Counter(status for status, _ in pressed)
    p99 = {name: _p99([took for status, took in found if status == 200]) for name, found in (("half", calm), ("over", pressed))}
    return {
        "factor": factor,
        "capacity_per_s": round(capacity),
        "sent_per_s": round(len(pressed) / seconds),
        "statuses": {str(status): number for status, number in statuses.items()},
        "goodput_per_s": round(statuses[200] / seconds),
        "p99_half_load_ms": round(p99["half"] * 1000, 1),
        "p99_accepted_ms": round(p99["over"] * 1000, 1),
        "slowest_ms": round(max((took for _, took in pressed), default=0.0) * 1000),
        "right": set(statuses) <= {200, 429},
    }


async def from_here(port: int, texts: Sequence[str], rate: float, seconds: float, _pace: int) -> Arrived:
    """Sent by this process, which can do some hundred requests a second, however many are under way."""
    idle: list[Caller] = []

    async def one(text: str) -> tuple[int, float]:
        caller = idle.pop() if idle else Caller(port)
        started = time.perf_counter()
        try:
            status, _ = await asyncio.wait_for(caller.post(body_of(text)), _PATIENCE_SECONDS)
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


async def by_hey(port: int, texts: Sequence[str], rate: float, seconds: float, pace: int) -> Arrived:
    """Sent by `hey`, a compiled process (Debian's package): a passage of median length, again and again."""
    with NamedTemporaryFile(suffix=".json") as file:
        file.write(body_of(sorted(texts, key=len)[len(texts) // 2]))
        file.flush()
        workers = math.ceil(rate / pace)
        options = ["-z", f"{seconds}s", "-c", str(workers), "-q", f"{rate / workers:.4f}", "-t", str(_PATIENCE_SECONDS)]
        body = ["-m", "POST", "-T", "application/json", "-D", file.name]
        process = await asyncio.create_subprocess_exec(
            *("hey", *options, *body, "-o", "csv", f"http://127.0.0.1:{port}/v1/tag"), stdout=subprocess.PIPE
        )
        lines = (await process.communicate())[0].decode().splitlines()
    rows = list(csv.DictReader(lines))
    return [(int(row["status-code"]), float(row["response-time"])) for row in rows]


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
