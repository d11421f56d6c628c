"""A server that is told to stop, and replicas that are killed, under load."""

import asyncio
import itertools
import os
import signal
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.endurance.caller import Caller, alone, body_of, metric, passages

_LIFE_SECONDS = 6.0
"""Between two kills: a replica that dies sooner after its start is taken to be broken, and started again after a pause."""


async def stopped(port: int, stop: Callable[[], None], clients: int) -> dict[str, Any]:
    """SIGTERM while every client waits for an answer: what the server had begun to read is answered.

    A request that meets a closed port was never accepted; one whose connection ends without an answer is lost.
    """
    texts = passages(400)
    outcomes: Counter[str] = Counter()
    told = asyncio.Event()

    async def client(first: int) -> None:
        caller = Caller(port)
        for number in itertools.count(first, clients):
            try:
                status, _ = await caller.post(body_of(texts[number % len(texts)]))
            except ConnectionRefusedError:
                outcomes["port closed"] += 1
                return
            except (OSError, EOFError):
                outcomes["lost"] += 1
                return
            outcomes[f"{status} {'after' if told.is_set() else 'before'} SIGTERM"] += 1

    asking = [asyncio.create_task(client(first)) for first in range(clients)]
    await asyncio.sleep(2)
    told.set()
    stop()
    began = time.perf_counter()
    await asyncio.gather(*asking)
    others = set(outcomes) - {"200 before SIGTERM", "200 after SIGTERM", "port closed"}
    return {
        "clients": clients,
        "outcomes": dict(outcomes),
        "seconds": round(time.perf_counter() - began, 2),
        "right": not others and outcomes["200 after SIGTERM"] > 0,
    }


async def killed(port: int, pid: int, kills: int, clients: int) -> dict[str, Any]:
    """Kill -9 of one of two replicas, again and again: clients that ask again get every answer, and none is wrong."""
    texts = passages(200)
    expected = await alone(texts, port)
    outcomes: Counter[str] = Counter()
    over = asyncio.Event()

    async def client(first: int) -> None:
        caller = Caller(port)
        for number in itertools.count(first, clients):
            if over.is_set():
                return
            index = number % len(texts)
            while True:
                try:
                    status, answer = await caller.post(body_of(texts[index]))
                except (OSError, EOFError):
                    outcomes["broken connections"] += 1
                    caller = Caller(port)
                    continue
                outcomes["right" if status == 200 and answer["results"][0] == expected[index] else f"wrong: {status}"] += 1
                break

    asking = [asyncio.create_task(client(first)) for first in range(clients)]
    back: list[float] = []
    for _ in range(kills):
        await asyncio.sleep(_LIFE_SECONDS)
        victim = _replicas(pid)[0]
        os.kill(victim, signal.SIGKILL)
        began = time.perf_counter()
        while victim in (now := _replicas(pid)) or len(now) < 2 or await asyncio.to_thread(_ready, port) < 2:  # noqa: ASYNC110 - processes tell no event
            await asyncio.sleep(0.02)
        back.append(time.perf_counter() - began)
    over.set()
    await asyncio.gather(*asking)
    return {
        "kills": kills,
        "clients": clients,
        "outcomes": dict(outcomes),
        "slowest_back_s": round(max(back), 2),
        "right": set(outcomes) <= {"right", "broken connections"} and max(back) < 3,
    }


def _replicas(pid: int) -> list[int]:
    """Process ids of the serving children."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="utf-8").split()
    return [int(one) for one in children if "spawn_main" in _command(int(one))]


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text(encoding="utf-8")
    except OSError:
        return ""


def _ready(port: int) -> float:
    try:
        return metric(port, "tagger_ready")
    except (OSError, KeyError):  # it reached the one that died, or none has said yet whether it is ready
        return 0.0
