"""Another champion while requests come: none fails, each answer names what made it, a bad bundle is refused."""

import json
import logging
import signal
import statistics
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest

from serving import service as service_module
from serving.bundle import BundleError
from serving.classifier import Classifier
from serving.encoding import Encoded
from serving.logs import JsonLines
from serving.registry import Registry
from serving.service import load_bundle
from serving.settings import Settings
from tests.bundles import variants

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from tests.conftest import Running


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """A service that follows its registry."""
    return Settings(state=tmp_path, threads=2, swap_seconds=0.1, hang_seconds=60, drain_seconds=0)


def version(address: str) -> str:
    """What answers now."""
    return str(httpx.post(f"{address}/v1/tag", json={"text": "We urge you."}).json()["model"]["version"])


def scoring() -> int:
    """Threads of schedulers that live."""
    return sum(thread.name.startswith("score") for thread in threading.enumerate())


def wait_for(address: str, name: str, seconds: float = 5.0) -> float:
    """Until a bundle answers; how long it took."""
    started = time.monotonic()
    while version(address) != name:
        assert time.monotonic() - started < seconds
        time.sleep(0.02)
    return time.monotonic() - started


def test_swaps_under_load_fail_no_request(settings: Settings, quick_bundle: Path, running: "Running") -> None:
    """Twenty swaps while callers post: only 200s, both versions seen, noticed in two seconds, no thread of the old one left."""
    names = variants(quick_bundle, settings.models, 2)
    registry = Registry.open(settings)
    registry.promote(names[0], why="first")
    answers: Counter[tuple[int, str]] = Counter()
    stopped = threading.Event()
    waits = []
    with running(settings) as address:
        before = scoring()

        def load() -> None:
            with httpx.Client(timeout=30) as client:
                while not stopped.is_set():
                    answer = client.post(f"{address}/v1/tag", json={"passages": [{"text": "We urge you to act."}] * 12})
                    answers[answer.status_code, answer.json().get("model", {}).get("version", "")] += 1

        callers = [threading.Thread(target=load) for _ in range(4)]
        for caller in callers:
            caller.start()
        for number in range(20):
            registry.promote(names[(number + 1) % 2], why=f"swap {number}")
            waits.append(wait_for(address, names[(number + 1) % 2], 30))
        stopped.set()
        for caller in callers:
            caller.join()
        text = httpx.get(f"{address}/metrics").text
        deadline = time.monotonic() + 10
        while scoring() > before and time.monotonic() < deadline:
            time.sleep(0.1)
        assert scoring() <= before  # fewer when threads of an earlier test have ended meanwhile
    assert {status for status, _ in answers} == {200}
    assert {name for _, name in answers} == set(names)
    assert statistics.median(waits) < 2.0  # of all: what else runs on the machine may hold up one or two
    assert 'tagger_swaps_total{outcome="swapped"} 20.0' in text
    served = [line for line in text.splitlines() if line.startswith("tagger_model_info{") and line.endswith(" 1.0")]
    assert len(served) == 1
    assert names[0] in served[0]
    registry.close()


def test_a_bad_bundle_is_refused_and_the_old_one_serves_on(settings: Settings, quick_bundle: Path, running: "Running") -> None:
    """Damaged after it was promoted: refused, counted, ready all the while; a rollback and a good one are served again."""
    one, two, three = variants(quick_bundle, settings.models, 3)
    registry = Registry.open(settings)
    registry.promote(one, why="first")
    with running(settings) as address:
        registry.promote(two, why="will break")
        (settings.models / two / "model.onnx").write_bytes(b"broken")
        wait = time.monotonic() + 5
        while 'tagger_swaps_total{outcome="refused"} 1.0' not in httpx.get(f"{address}/metrics").text:
            assert time.monotonic() < wait or version(address) == two  # it may have been loaded before it broke
            if version(address) == two:
                break
            time.sleep(0.05)
        assert httpx.get(f"{address}/health/ready").status_code == 200
        registry.promote(three, why="good")
        wait_for(address, three)
    registry.close()


def test_a_check_of_the_old_model_says_nothing_of_the_new_one(
    settings: Settings, quick_bundle: Path, running: "Running", monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that fails after the swap leaves the server ready."""
    one, two = variants(quick_bundle, settings.models, 2)
    registry = Registry.open(settings)
    registry.promote(one, why="first")
    with running(settings.model_copy(update={"canary_seconds": 1.0})) as address:
        begun, gate = _hold_checks(monkeypatch, one)
        assert begun.wait(10)
        registry.promote(two, why="second")
        wait_for(address, two)
        gate.set()
        assert set(_statuses(address, 0.8)) == {200}
    registry.close()


def test_a_hanging_check_of_the_old_model_keeps_the_new_one_from_nothing(
    settings: Settings, quick_bundle: Path, running: "Running", monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not ready while the checks hang; after the swap the new model is checked, and stays ready."""
    monkeypatch.setattr(service_module, "CHECK_SECONDS", 0.5)
    one, two = variants(quick_bundle, settings.models, 2)
    registry = Registry.open(settings)
    registry.promote(one, why="first")
    with running(settings.model_copy(update={"canary_seconds": 0.3})) as address:
        _, gate = _hold_checks(monkeypatch, one)
        until = time.monotonic() + 10
        while httpx.get(f"{address}/health/ready").status_code == 200:
            assert time.monotonic() < until
        registry.promote(two, why="second")
        wait_for(address, two)
        assert set(_statuses(address, 3.0)) == {200}
        gate.set()
    registry.close()


def test_a_replica_whose_checks_hang_ends(
    settings: Settings, quick_bundle: Path, running: "Running", monkeypatch: pytest.MonkeyPatch
) -> None:
    """It tells itself to stop, as it does when its scoring threads hang: its supervisor starts another."""
    monkeypatch.setattr(service_module, "CHECK_SECONDS", 0.3)
    monkeypatch.setattr(service_module, "_LOOK_SECONDS", 0.1)
    [one] = variants(quick_bundle, settings.models, 1)
    told = threading.Event()
    before = signal.signal(signal.SIGTERM, lambda *_: told.set())
    try:
        lone = settings.model_copy(update={"bundle": settings.models / one, "canary_seconds": 0.2, "replica": True})
        with running(lone) as address:
            time.sleep(1)
            assert not told.is_set()
            _, gate = _hold_checks(monkeypatch, one)
            until = time.monotonic() + 10
            while not told.is_set() and time.monotonic() < until:
                time.sleep(0.05)  # a wait for the event would keep the handler from running
            assert told.is_set()
            assert "the engine hangs" in httpx.get(f"{address}/health/ready").json()["detail"]
            gate.set()
    finally:
        signal.signal(signal.SIGTERM, before)


def _hold_checks(monkeypatch: pytest.MonkeyPatch, name: str) -> tuple[threading.Event, threading.Event]:
    """Checks of a bundle's canaries that begin, and fail once they are let go."""
    begun, gate = threading.Event(), threading.Event()
    genuine = Classifier.check_canaries

    def held(self: Classifier) -> float:
        if self.manifest.name != name:
            return genuine(self)
        begun.set()
        gate.wait(30)
        message = "a canary's score differs"
        raise BundleError(message)

    monkeypatch.setattr(Classifier, "check_canaries", held)
    return begun, gate


def _statuses(address: str, seconds: float) -> Iterator[int]:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        yield httpx.get(f"{address}/health/ready").status_code


def test_the_log_names_both_bundles_and_an_absent_registry_once(
    settings: Settings,
    quick_bundle: Path,
    running: "Running",
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A line a swap; while the database is away one line, and one more when it goes again."""
    caplog.set_level(logging.INFO, logger="tagger")
    one, two = variants(quick_bundle, settings.models, 2)
    registry = Registry.open(settings)
    registry.promote(one, why="first")
    looks = 0

    def away(_registry: Registry) -> str:
        nonlocal looks
        looks += 1
        message = "the database is away"
        raise OSError(message)

    def told(text: str) -> list[dict[str, object]]:
        lines = [json.loads(JsonLines().format(record)) for record in caplog.records if record.name == "tagger"]
        return [line for line in lines if str(line["message"]).startswith(text)]

    with running(settings) as address:
        for name, number in ((two, 1), (one, 2)):
            with monkeypatch.context() as patch:
                patch.setattr(Registry, "bundle", away)
                until = time.monotonic() + 10
                while looks < 3 * number and time.monotonic() < until:
                    time.sleep(0.02)
            assert len(told("the registry does not answer")) == number
            registry.promote(name, why="next")
            wait_for(address, name)
    assert [(line.get("bundle"), line.get("before")) for line in told("swapped")] == [(two, one), (one, two)]
    registry.close()


def test_what_the_old_model_still_does_is_counted(
    settings: Settings, quick_bundle: Path, running: "Running", monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its queue and the time of its threads stay in the metrics until it has ended."""
    one, two = variants(quick_bundle, settings.models, 2)
    registry = Registry.open(settings)
    registry.promote(one, why="first")
    begun, gate = threading.Event(), threading.Event()
    genuine = Classifier._logits

    def held(self: Classifier, encoded: Encoded) -> "NDArray[np.float64]":
        if threading.current_thread().name.startswith("score") and not begun.is_set():
            begun.set()
            gate.wait(30)
        return genuine(self, encoded)

    def found(address: str, name: str) -> float:
        lines = httpx.get(f"{address}/metrics").text.splitlines()
        return next(float(line.split()[-1]) for line in lines if line.startswith(f"tagger_{name} "))

    with running(settings) as address, ThreadPoolExecutor(1) as pool:
        monkeypatch.setattr(Classifier, "_logits", held)
        answer = pool.submit(httpx.post, f"{address}/v1/tag", json={"text": "We urge you."}, timeout=60)
        assert begun.wait(10)
        registry.promote(two, why="second")
        wait_for(address, two)
        until = time.monotonic() + 2
        while time.monotonic() < until:
            assert found(address, "queue_tokens") > 0
        before = found(address, "inference_seconds_total")
        gate.set()
        assert answer.result().json()["model"]["version"] == one
        assert found(address, "inference_seconds_total") - before > 1.9
        until = time.monotonic() + 10
        while found(address, "queue_tokens") and time.monotonic() < until:
            time.sleep(0.05)
        assert found(address, "queue_tokens") == 0
    registry.close()


def test_a_stream_ends_with_the_model_it_began_with(settings: Settings, quick_bundle: Path, running: "Running") -> None:
    """Lines sent after a swap are answered by the old bundle, as the header said."""
    one, two = variants(quick_bundle, settings.models, 2)
    registry = Registry.open(settings)
    registry.promote(one, why="first")
    with running(settings) as address:
        swapped = threading.Event()

        def lines() -> Iterator[bytes]:
            yield b'{"text": "We urge you."}\n' * 3
            swapped.wait(10)
            yield b'{"text": "We urge you."}\n' * 300

        def swap() -> None:
            registry.promote(two, why="second")
            wait_for(address, two)
            swapped.set()

        thread = threading.Thread(target=swap)
        thread.start()
        with httpx.stream(
            "POST", f"{address}/v1/tag/stream", content=lines(), headers={"content-type": "application/x-ndjson"}, timeout=60
        ) as answer:
            assert answer.headers["tagger-model"] == one
            found = [line for line in answer.iter_lines() if line]
        thread.join()
        assert len(found) == 303
        assert not any('"error"' in line for line in found)
    registry.close()


def test_a_bundle_that_cannot_score_is_refused_and_tried_again(
    settings: Settings, quick_bundle: Path, running: "Running", monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever loading raises, the watch goes on; a cause that passes is forgotten; the refusal is counted once."""
    from serving import swapping

    one, two = variants(quick_bundle, settings.models, 2)
    registry = Registry.open(settings)
    registry.promote(one, why="first")
    monkeypatch.setattr(swapping, "_FIRST_PAUSE", 0.2)
    real, failing = load_bundle, threading.Event()
    failing.set()

    def load(chosen: Settings, folder: Path) -> object:
        if failing.is_set():
            raise MemoryError
        return real(chosen, folder)

    monkeypatch.setattr(swapping, "load_bundle", load)
    with running(settings) as address:
        registry.promote(two, why="second")
        time.sleep(1.0)
        assert version(address) == one
        assert 'tagger_swaps_total{outcome="refused"} 1.0' in httpx.get(f"{address}/metrics").text
        failing.clear()
        wait_for(address, two)
    registry.close()


def test_a_caller_who_left_holds_no_old_model(settings: Settings, quick_bundle: Path, running: "Running") -> None:
    """The last job of the old model's threads was given up: its memory and threads go all the same."""
    one, two = variants(quick_bundle, settings.models, 2)
    registry = Registry.open(settings)
    registry.promote(one, why="first")
    with running(settings) as address:
        before = scoring()
        with pytest.raises(httpx.ReadTimeout):
            httpx.post(f"{address}/v1/tag", json={"passages": [{"text": "We urge you. " * 90}] * 400}, timeout=0.2)
        registry.promote(two, why="second")
        wait_for(address, two)
        deadline = time.monotonic() + 15
        while scoring() > before and time.monotonic() < deadline:
            time.sleep(0.1)
        assert scoring() <= before  # fewer when threads of an earlier test have ended meanwhile
    registry.close()


def test_a_server_starts_with_the_previous_bundle_when_the_champion_is_broken(
    settings: Settings, quick_bundle: Path, running: "Running"
) -> None:
    """A restart is no outage while there is a bundle that loads."""
    one, two = variants(quick_bundle, settings.models, 2)
    registry = Registry.open(settings)
    registry.promote(one, why="first")
    registry.promote(two, why="second")
    (settings.models / two / "model.onnx").write_bytes(b"broken")
    with running(settings) as address:
        assert version(address) == one
    registry.close()


def test_servers_that_share_a_database_end_on_the_same_version(
    tmp_path: Path, database_url: str, quick_bundle: Path, running: "Running"
) -> None:
    """Two of them, on SQLite and on PostgreSQL: both follow each change, the way back too."""
    shared = Settings(
        state=tmp_path, database=database_url, threads=1, swap_seconds=0.1, hang_seconds=60, drain_seconds=0, lone_threads=1
    )
    names = variants(quick_bundle, shared.models, 2)
    registry = Registry.open(shared)
    registry.promote(names[0], why="first")
    with running(shared) as one, running(shared) as other:
        registry.promote(names[1], why="second")
        for address in (one, other):
            assert wait_for(address, names[1]) < 2.0
        registry.rollback(why="back")
        for address in (one, other):
            assert wait_for(address, names[0]) < 2.0
    registry.close()
