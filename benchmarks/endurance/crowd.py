"""Many callers at once, some of them broken: every answer must be the one that the passage gets alone."""

import asyncio
import random
from collections import Counter
from typing import Any

from benchmarks.endurance.caller import Answer, Caller, alone, body_of, metric, passages, shared

_EXACT = 1e-5


async def same(port: int, count: int, clients: int) -> dict[str, Any]:
    """Every passage once alone, then all of them at once."""
    texts = passages(count)

    async def ask(caller: Caller, text: str) -> Answer:
        return await caller.post(body_of(text))

    serial = await shared(texts, 1, port, ask)
    crowd = await shared(random.Random(0).sample(texts, len(texts)), clients, port, ask)  # noqa: S311 - a fixed order
    order = random.Random(0).sample(range(len(texts)), len(texts))  # noqa: S311 - the same order
    worst, flips, refused = 0.0, 0, 0
    for place, index in enumerate(order):
        (_, one), (status, other) = serial[index], crowd[place]
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
    expected = await alone(texts, port)
    items = [("good" if number % 3 < 2 else rng.choice(broken), rng.randrange(200)) for number in range(count)]

    async def ask(caller: Caller, item: tuple[str, int]) -> str:
        kind, index = item
        body = body_of(texts[index])
        if kind == "good":
            status, answer = await caller.post(body)
            return "right" if status == 200 and answer["results"][0] == expected[index] else f"wrong: {status}"
        if kind == "malformed":
            status, _ = await caller.post(rng.choice([b"{", body[:-2], b"\xff", b"[]", b'{"text": 1}', b'{"nonsense": 1}']))
            return "refused" if status in {400, 422} else f"wrong: {status}"
        await caller.send(body[: len(body) // 2] if kind == "cut off" else body, len(body))
        await caller.leave()
        return "left"

    outcomes = Counter(await shared(items, clients, port, ask))
    queue = await _settled(port, "tagger_queue_tokens")
    return {
        "requests": count,
        "outcomes": dict(outcomes),
        "queue_at_the_end": queue,
        "right": queue == 0 and not [outcome for outcome in outcomes if outcome.startswith("wrong")],
    }


async def _settled(port: int, name: str) -> float:
    """A number of the metrics, once the server has had a moment to notice who has left."""
    value = -1.0
    for _ in range(100):
        value = await asyncio.to_thread(metric, port, name)
        if not value:
            break
        await asyncio.sleep(0.1)
    return value
