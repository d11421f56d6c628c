"""Callers that keep their connections, and the passages they ask for."""

import asyncio
import json
import urllib.request
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from benchmarks.passages import seed_passages

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


def body_of(text: str, **options: Any) -> bytes:
    """A request for one passage, with whatever else it asks for."""
    return json.dumps({"text": text, "long": "truncate", **options}).encode()


async def shared(items: Sequence[Any], clients: int, port: int, work: Callable[[Caller, Any], Awaitable[Any]]) -> list[Any]:
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


async def alone(texts: Sequence[str], port: int) -> list[dict[str, Any]]:
    """The result of each passage, asked one after the other."""
    answers = await shared(texts, 1, port, lambda caller, text: caller.post(body_of(text)))
    return [answer["results"][0] for _, answer in answers]


def metric(port: int, name: str) -> float:
    """A number of the server's metrics. Raises OSError when it does not answer, KeyError when there is none."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30) as answer:
        lines = str(answer.read().decode()).splitlines()
    return float({line.rpartition(" ")[0]: line.rpartition(" ")[2] for line in lines}[name])
