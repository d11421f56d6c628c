"""Does the service stay right under load? Commands that take minutes; tests/serving/test_load.py runs each in small.

    make endurance               all of it, against a server of its own; a line of JSON each
    make endurance QUICK=1       a hundredth of it

same       distinct passages by 64 clients at once: every answer equals the one given to the passage alone
hostile    a third of the requests malformed, cut off or abandoned: the others are answered right, the queue is empty at the end
overload   twice and ten times what the server can do: accepted requests stay quick, the others are told 429, none hangs
lengths    requests of random lengths: memory stays flat
"""

import argparse
import asyncio
import json
import random
import statistics
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any

from benchmarks.passages import seed_passages
from benchmarks.results import quick_bundle
from benchmarks.server.contenders import contenders
from benchmarks.server.processes import running

_EXACT = 1e-5
Answer = tuple[int, dict[str, Any]]


class Caller:
    """One keep-alive connection; plain sockets, so that bodies can be cut off and answers left alone."""

    def __init__(self, port: int) -> None:
        """`port` of the service on loopback."""
        self._port = port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def post(self, body: bytes, path: str = "/v1/tag") -> Answer:
        """Status and body of an answer. Raises OSError or EOFError when the connection breaks."""
        reader = await self.send(body, len(body), path)
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
        length = next(int(line.partition(":")[2]) for line in head.splitlines() if line.startswith("content-length"))
        content = await reader.readexactly(length)
        if "connection: close" in head:
            await self.leave()
        return int(head.split()[1]), json.loads(content)

    async def send(self, body: bytes, stated: int, path: str = "/v1/tag") -> asyncio.StreamReader:
        """Send a request that may state another length than it has; where its answer can be read."""
        if self._streams is None:
            self._streams = await asyncio.open_connection("127.0.0.1", self._port)
        head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {stated}\r\n\r\n"
        self._streams[1].write(head.encode() + body)
        await self._streams[1].drain()
        return self._streams[0]

    async def leave(self) -> None:
        """Close the connection, whatever is under way."""
        if self._streams:
            self._streams[1].close()
            self._streams = None


def passages(count: int) -> list[str]:
    """Distinct passages of the lengths of the seeds."""
    texts = [passage.text for passage in seed_passages()]
    return [f"{number}. {texts[number % len(texts)]}" for number in range(count)]


def _body(text: str, **options: Any) -> bytes:
    return json.dumps({"text": text, "long": "truncate", **options}).encode()


async def _shared(items: Sequence[Any], clients: int, port: int, work: Callable[[Caller, Any], Awaitable[Any]]) -> list[Any]:
    """The results of `work` for every item, done by so many clients, each with a connection of its own."""
    found: list[Any] = [None] * len(items)
    todo = iter(range(len(items)))

    async def client() -> None:
        caller = Caller(port)
        for index in todo:
            found[index] = await work(caller, items[index])
        await caller.leave()

    await asyncio.gather(*(client() for _ in range(clients)))
    return found


async def same(port: int, count: int, clients: int) -> dict[str, Any]:
    """Every passage once alone, then all of them at once."""
    texts = passages(count)

    async def ask(caller: Caller, text: str) -> Answer:
        return await caller.post(_body(text))

    alone = await _shared(texts, 1, port, ask)
    crowd = await _shared(random.Random(0).sample(texts, len(texts)), clients, port, ask)  # noqa: S311 - a fixed order
    order = random.Random(0).sample(range(len(texts)), len(texts))  # noqa: S311 - the same order
    worst, flips, refused = 0.0, 0, 0
    for place, index in enumerate(order):
        (_, one), (status, other) = alone[index], crowd[place]
        if status != 200:
            refused += 1
            continue
        before, after = one["results"][0], other["results"][0]
        worst = max(worst, *(abs(before["scores"][tag] - after["scores"][tag]) for tag in before["scores"]))
        flips += before["tags"] != after["tags"]
    return {
        "passages": count,
        "clients": clients,
        "refused": refused,
        "largest_difference": worst,
        "flips": flips,
        "right": worst <= _EXACT and not flips and not refused,
    }


async def hostile(port: int, count: int, clients: int) -> dict[str, Any]:
    """Good requests among broken ones; afterwards the metrics must account for everything."""
    broken = ["malformed", "cut off", "abandoned"]
    rng = random.Random(0)  # noqa: S311 - a fixed load
    texts = passages(200)
    expected = [
        answer["results"][0] for _, answer in await _shared(texts, 1, port, lambda caller, text: caller.post(_body(text)))
    ]
    items = [("good" if number % 3 < 2 else rng.choice(broken), rng.randrange(200)) for number in range(count)]

    async def ask(caller: Caller, item: tuple[str, int]) -> str:
        kind, index = item
        body = _body(texts[index])
        if kind == "good":
            status, answer = await caller.post(body)
            return "right" if status == 200 and answer["results"][0] == expected[index] else f"wrong: {status}"
        if kind == "malformed":
            status, _ = await caller.post(rng.choice([b"{", body[:-2], b"\xff", b"[]", b'{"text": 1}', b'{"nonsense": 1}']))
            return "refused" if status in {400, 422} else f"wrong: {status}"
        await caller.send(body[: len(body) // 2] if kind == "cut off" else body, len(body))
        await caller.leave()
        return "left"

    outcomes = Counter(await _shared(items, clients, port, ask))
    queue = await _metric(port, "tagger_queue_tokens")
    return {
        "requests": count,
        "outcomes": dict(outcomes),
        "queue_at_the_end": queue,
        "right": queue == 0 and not [outcome for outcome in outcomes if outcome.startswith("wrong")],
    }


async def overload(port: int, factor: float, seconds: float) -> dict[str, Any]:
    """Requests that arrive on their own time, whether or not the ones before have been answered."""
    texts = passages(400)

    async def ask(caller: Caller, text: str) -> float:
        started = time.perf_counter()
        await caller.post(_body(text))
        return time.perf_counter() - started

    started = time.perf_counter()
    await _shared(texts, 8, port, ask)
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
            status, _ = await asyncio.wait_for(caller.post(_body(text)), 30)
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
        status, _ = await caller.post(_body(" ".join(words[start : start + min(length, 400)]), sentences=number % 50 == 0))
        return status

    statuses = Counter(await _shared(range(count // 10), 16, port, ask))
    before = memory()
    statuses += Counter(await _shared(range(count - count // 10), 16, port, ask))
    after = memory()
    return {
        "requests": count,
        "statuses": {str(status): number for status, number in statuses.items()},
        "memory_mb": [round(before), round(after)],
        "right": set(statuses) == {200} and after < 1.1 * before + 10,
    }


async def _metric(port: int, name: str) -> float:
    """A number of /metrics, once the server has had a moment to notice who has left."""
    value = -1.0
    for _ in range(100):
        lines = await asyncio.to_thread(_read, f"http://127.0.0.1:{port}/metrics")
        value = next(float(line.rpartition(" ")[2]) for line in lines if line.startswith(name + " "))
        if not value:
            break
        await asyncio.sleep(0.1)
    return value


def _read(url: str) -> list[str]:
    with urllib.request.urlopen(url, timeout=30) as answer:  # noqa: S310 - our own server
        return str(answer.read().decode()).splitlines()


def _p99(values: Sequence[float]) -> float:
    return statistics.quantiles(values, n=100)[98] if len(values) > 1 else float("nan")


def main(arguments: list[str]) -> int:
    """Run everything against a server of our own; 1 when anything was not right."""
    parser = argparse.ArgumentParser(prog="endurance")
    parser.add_argument("--quick", action="store_true", help="a hundredth of it")
    parser.add_argument("--requests", type=int, default=100_000, help="requests of random lengths (default: 100,000)")
    options = parser.parse_args(arguments)
    share = 100 if options.quick else 1
    model = quick_bundle()
    port = 18200
    good = True
    with running(contenders()[0], Path(sys.executable).parent, model, port) as server:
        checks: dict[str, Coroutine[Any, Any, dict[str, Any]]] = {
            "same": same(port, 10_000 // share, 64),
            "hostile": hostile(port, 10_000 // share, 64),
            "overload 2x": overload(port, 2, 20 / share + 1),
            "overload 10x": overload(port, 10, 20 / share + 1),
            "lengths": lengths(port, options.requests // share, server.memory_mb),
        }
        for name, check in checks.items():
            found = asyncio.run(check)
            good = good and found["right"]
            print(json.dumps({"check": name, **found}), flush=True)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
