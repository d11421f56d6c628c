"""Twenty clients add labels while the server is killed (-9): every one that was acknowledged is there, once."""

import asyncio
import json
import random
import signal
import time
from collections import Counter
from pathlib import Path
from typing import Any

from benchmarks.endurance.caller import Caller
from benchmarks.results import quick_bundle
from benchmarks.retraining.serving import server
from labels.codebook import load_codebook
from labels.database import open_database
from labels.store import LabelStore
from serving.registry import Registry
from serving.settings import Settings
from tests.bundles import variants


async def labels(state: Path, port: int, database: str, count: int, kills: int) -> dict[str, Any]:
    """`count` labels by twenty clients, each sent until it is acknowledged; the server dies `kills` times meanwhile."""
    Registry.open(Settings(state=state, database=database)).promote(
        variants(quick_bundle(), state / "models", 1)[0], why="first"
    )
    acknowledged: set[str] = set()

    async def add(client: int) -> None:
        caller = Caller(port)
        for number in range(count // 20):
            key = f"{client}-{number}"
            label = {"key": key, "document": f"d{number % 50}", "text": f"Passage {number}", "annotator": f"a{client}"}
            body = json.dumps({"labels": [{**label, "tags": {"advocacy_call": bool(number % 2)}}]}).encode()
            while True:
                try:
                    status, _ = await caller.post(body, "/v1/labels")
                except (OSError, EOFError):
                    caller = Caller(port)
                    await asyncio.sleep(0.05)
                    continue
                assert status == 200, status
                acknowledged.add(key)
                break

    clients: list[asyncio.Task[None]] = []
    started = time.monotonic()
    for kill in range(kills + 1):
        with server(state, port, database) as process:
            clients = clients or [asyncio.create_task(add(number)) for number in range(20)]
            aim = (kill + 1) * count // (kills + 1) - random.randint(0, count // 50)  # noqa: S311 - when it dies, no secret
            if kill == kills:
                await asyncio.gather(*clients)
            else:
                while len(acknowledged) < aim:  # noqa: ASYNC110 - as clients see it
                    await asyncio.sleep(0.001)
                process.send_signal(signal.SIGKILL)
                await asyncio.to_thread(process.wait)
    engine = open_database(database or Settings(state=state).database_url)
    keys = Counter(row.key for row in LabelStore(engine, load_codebook()).rows())
    engine.dispose()
    return {
        "acknowledged": len(acknowledged),
        "lost": len(acknowledged - set(keys)),
        "twice": sum(number > 1 for number in keys.values()),
        "kills": kills,
        "labels_per_s": round(len(acknowledged) / (time.monotonic() - started)),
        "right": acknowledged <= set(keys) and max(keys.values()) == 1 and len(acknowledged) == count,
    }
