"""Is the loop from labels to a served model safe? Commands that take minutes; tests look at each in small.

    make bench-retraining            all of it; writes benchmarks/results/retraining.json and the table in README.md
    make bench-retraining QUICK=1    a tenth of it, changes nothing

swaps      another champion again and again under full load: no request fails, memory stays flat
labels     twenty clients add labels while the server is killed (-9): every one that was acknowledged is there, once
beside     a server's times alone, and beside a training run on the same machine
planted    good labels of a held-back document are promoted, a tag inverted in one is not (only by name: half an hour and more)
"""

import argparse
import asyncio
import json
import os
import random
import signal
import socket
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.endurance import Caller
from benchmarks.passages import seed_passages
from benchmarks.results import finish, quick_bundle
from benchmarks.server.processes import tree_memory_mb
from labels.authored import load_authored
from labels.codebook import load_codebook
from labels.corpus import Corpus, load_corpus
from labels.database import open_database
from labels.store import LabelStore, NewLabel
from serving.registry import Registry
from serving.settings import Settings, load_settings
from tests.bundles import variants
from tests.databases import postgresql, postgresql_is_there

_TAG = b'{"passages": [{"text": "We urge the Council to act."}, {"text": "Page 3"}]}'
HELD_BACK, INVERTED = "004", "advocacy_call"


@contextmanager
def server(state: Path, port: int, database: str = "") -> Iterator[subprocess.Popen[bytes]]:
    """`tagger serve` that follows its registry, once it is ready."""
    environment = {**os.environ, "TAGGER_STATE": str(state), "TAGGER_DATABASE": database}
    command = [sys.executable, "-m", "serving.cli", "serve", "--port", str(port)]
    process = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)
    try:
        while True:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.02)
        yield process
    finally:
        process.kill()
        process.wait()


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


async def beside(state: Path, port: int, seconds: float) -> dict[str, Any]:
    """Times of a lone passage, one caller, alone and beside `tagger retrain`, in turns."""
    Registry.open(Settings(state=state)).promote(variants(quick_bundle(), state / "models", 1)[0], why="first")
    (state / "encoders").symlink_to((load_settings().state / "encoders").resolve())
    texts = [passage.text for passage in seed_passages()]
    times: dict[str, list[float]] = {"alone": [], "beside": []}
    with server(state, port):
        caller = Caller(port)
        for number in range(6):
            name = ("alone", "beside")[number % 2]
            training = _training(state) if name == "beside" else None
            try:
                until = time.monotonic() + seconds
                while time.monotonic() < until:
                    began = time.perf_counter()
                    status, _ = await caller.post(json.dumps({"text": random.choice(texts)}).encode())  # noqa: S311 - no secret
                    assert status == 200, status
                    times[name].append((time.perf_counter() - began) * 1000)
                    await asyncio.sleep(0.01)
            finally:
                if training:
                    training.kill()
                    training.wait()
    quantiles = {name: statistics.quantiles(values, n=100) for name, values in times.items()}
    return {
        **{f"p50_{name}_ms": round(found[49], 1) for name, found in quantiles.items()},
        **{f"p99_{name}_ms": round(found[98], 1) for name, found in quantiles.items()},
        "requests": sum(map(len, times.values())),
        "right": True,
    }


def _training(state: Path) -> subprocess.Popen[str]:
    """A retraining that is in the middle of its first fit."""
    command = [sys.executable, "-m", "serving.cli", "retrain", "--state", str(state)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    for line in process.stderr:
        if "steps, about" in line:
            break
    return process


def planted(state: Path) -> dict[str, Any]:
    """First a model without a document's labels; then these added; then, as reviewed labels, a tag inverted in a document."""
    from training.recipe import FAST
    from training.retrain import Deployment, retrain

    recipe = replace(FAST, teacher_weight=0.0)  # without a teacher, which would train for hours first
    corpus = load_corpus()
    authored = load_authored(corpus.codebook, corpus.documents)
    four = _without(corpus, HELD_BACK)
    engine = open_database(Settings(state=state).database_url)
    store = LabelStore(engine, corpus.codebook)
    registry = Registry(engine, state / "models")

    def run(some: Corpus) -> dict[str, Any]:
        place = Deployment(state=state, registry=registry, store=store, corpus=some, authored=authored)
        found = retrain(place, recipe, lambda line: print(line, file=sys.stderr, flush=True))
        verdicts = {gate.name: gate.verdict for gate in found.gates}
        return {
            "macro_f1": round(found.macro_f1, 3),
            "promoted": found.promoted,
            "seconds": round(found.seconds),
            "gates": verdicts,
        }

    first = run(four)
    registry.promote(str(registry.bundle("challenger")), why="the first")
    later = [row for row in corpus.gold if row.document == HELD_BACK]
    store.add([NewLabel(document=HELD_BACK, text=row.text, context=row.context, tags=row.tags, annotator="a") for row in later])
    good = run(four)
    inverted = [
        replace(row, tags={**row.tags, INVERTED: not row.tags[INVERTED]}) if row.document == "002" else row for row in four.gold
    ]
    bad = run(replace(four, gold=inverted))
    engine.dispose()
    right = good["promoted"] and good["macro_f1"] > first["macro_f1"] and not bad["promoted"]
    return {"without": first, "good": good, "bad": bad, "right": right}


def _begun_anew(state: Path) -> Path:
    """A state folder with the fits of an earlier run, which take most of the time, and nothing else of it."""
    for path in (*state.glob("tagger.db*"), *state.glob("retrains/*")):
        path.unlink()
    return state


def _without(corpus: Corpus, document: str) -> Corpus:
    return replace(
        corpus,
        documents=[one for one in corpus.documents if one.id != document],
        gold=[row for row in corpus.gold if row.document != document],
    )


def main(arguments: list[str]) -> int:
    """Run the checks; 1 when anything was not right."""
    parser = argparse.ArgumentParser(prog="bench-retraining")
    parser.add_argument("--quick", action="store_true", help="a tenth of it; changes no tracked file")
    parser.add_argument("--only", choices=("swaps", "labels", "beside", "planted"))
    options = parser.parse_args(arguments)
    share = 10 if options.quick else 1
    found: dict[str, dict[str, Any]] = {}
    wanted = [options.only] if options.only else ["swaps", "labels", "beside"]
    for number, name in enumerate(wanted):
        port = 18300 + number
        if name == "labels":
            found |= _on_both(port, 10_000 // share, 5 if share == 1 else 1)
            continue
        if name == "planted":
            found[name] = planted(_begun_anew(load_settings().state / "planted"))
        else:
            with TemporaryDirectory(prefix="tagger-bench-") as folder:
                state = Path(folder)
                made = swaps(state, port, 100 // share) if name == "swaps" else beside(state, port, 20 / share)
                found[name] = asyncio.run(made)
        print(json.dumps({"check": name, **found[name]}), flush=True)
    if any(not one["right"] for one in found.values()):
        return 1
    return finish("retraining", _table(found), found, quick=options.quick or bool(options.only))


def _on_both(port: int, count: int, kills: int) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    with TemporaryDirectory(prefix="tagger-bench-") as folder:
        found["labels, SQLite"] = asyncio.run(labels(Path(folder), port, "", count, kills))
    if postgresql_is_there():
        with TemporaryDirectory(prefix="tagger-bench-") as folder, postgresql() as address:
            found["labels, PostgreSQL"] = asyncio.run(labels(Path(folder), port + 10, f"{address}postgres", count, kills))
    for name, one in found.items():
        print(json.dumps({"check": name, **one}), flush=True)
    return found


def _table(found: dict[str, dict[str, Any]]) -> str:
    def line(name: str, values: dict[str, Any]) -> str:
        return f"| {name} | {', '.join(f'{key} {value}' for key, value in values.items() if key not in {'right', 'gates'})} |"

    rows: Sequence[str] = [line(name, values) for name, values in found.items()]
    return "\n".join(["| check | found |", "| --- | --- |", *rows])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
