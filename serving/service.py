"""What one serving process holds: settings, keys, the classifier, metrics, and whether it may take requests."""

import asyncio
import logging
import multiprocessing
import os
import signal
import socket
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock, Thread
from typing import cast

from fastapi import Request
from sqlalchemy import Engine
from starlette.applications import Starlette

from labels.codebook import load_codebook
from labels.database import open_database
from labels.jobs import Jobs
from labels.store import LabelStore
from serving.admission import Room
from serving.bundle import BundleError
from serving.classifier import Classifier
from serving.extraction.extracted import Limits
from serving.extraction.isolated import ReaderPool
from serving.keys import KeyRing
from serving.metrics import Metrics
from serving.registry import PREVIOUS, champion_path
from serving.settings import Settings

log = logging.getLogger("tagger")

CHECK_SECONDS = 5.0
"""What a check of the canaries itself may take on a busy machine; then another is begun."""
_MISSED_CHECKS = 3
_READERS = 2
"""Documents that are read at a time."""
_LIMITS = Limits(unpacked_bytes=200 * 2**20, characters=4_000_000, pages=2_000, seconds=20.0, memory_bytes=2 * 2**30)
"""Of one document over HTTP, where somebody waits; how many bytes it may have is a setting."""
_LOOK_SECONDS = 1.0
_LOOKS = 3
"""A replica ends when so many looks found it hanging: one that was stopped for a while catches up between two of them."""
MOST_LONE = 4
"""More cores gain little on one passage of a small model."""
MOST_HANGING = 3
"""So many scoring threads, or checks, may have been given up and still hang; with more, the engine is taken to be broken."""


class Database:
    """What is kept in the database, which is opened when it is first asked for. Thread-safe."""

    def __init__(self, url: str) -> None:
        """`url` as SQLAlchemy names it."""
        self._url = url
        self._lock = Lock()
        self._engine: Engine | None = None
        self._codebook = load_codebook()

    @property
    def store(self) -> LabelStore:
        """The labels added. Raises DatabaseError."""
        return LabelStore(self._open(), self._codebook)

    @property
    def jobs(self) -> Jobs:
        """Work for the worker. Raises DatabaseError."""
        return Jobs(self._open())

    def close(self) -> None:
        """Give back the connections."""
        with self._lock:
            if self._engine:
                self._engine.dispose()
            self._engine = None

    def _open(self) -> Engine:
        with self._lock:
            self._engine = self._engine or open_database(self._url)
            return self._engine


@dataclass(slots=True, kw_only=True)
class Service:
    """The state that routes share. Made with the application, whole once that has started."""

    settings: Settings
    keys: KeyRing
    loaded: Classifier | None = None
    metrics: Metrics = field(default_factory=Metrics)
    keys_required: bool = True
    """Once there was a key, revoking the last one shuts the server: it never opens it."""
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when told to stop: not ready, streams end at the next line, what was accepted is finished."""
    cutter: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(2, "cut"))
    """Cuts documents into passages, apart from the threads that requests and canaries share."""
    reading: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(_READERS, "read"))
    """Waits for the processes that read documents, so that a slow one keeps no plain text waiting."""
    reader: ReaderPool = field(default_factory=lambda: ReaderPool(_READERS, _LIMITS))
    """Reads documents that are more than text."""
    database: Database = field(init=False)
    """Opened when it is first needed: tagging needs none."""
    listener: socket.socket | None = None
    """The port, if nobody else takes connections from it."""
    room: Room = field(init=False)
    """For documents, from before their bytes are read until they are answered."""
    promised: int = 0
    """Work in tokens of small requests that were let in and are not answered yet; see `connections`."""
    canaries_right: bool = False
    canaries_checked: float = 0.0
    """When they were last scored right: a time of `time.monotonic()`."""
    checks: list["asyncio.Future[object]"] = field(default_factory=list)
    """Of the canaries of the classifier that serves; they have not come back."""

    def __post_init__(self) -> None:
        """The database and the room are those of the settings."""
        self.database = Database(self.settings.database_url)
        self.room = Room(self.settings.max_held_bytes)

    @property
    def store(self) -> LabelStore:
        """The labels added. Raises DatabaseError."""
        return self.database.store

    @property
    def jobs(self) -> Jobs:
        """Work for the worker. Raises DatabaseError."""
        return self.database.jobs

    @property
    def classifier(self) -> Classifier:
        """The classifier that serves. Raises RuntimeError before the application has started."""
        if self.loaded is None:
            message = "the application has not started"
            raise RuntimeError(message)
        return self.loaded

    def start(self, classifier: Classifier) -> None:
        """Serve with this classifier, whose canaries were right when it was loaded."""
        self.loaded, self.checks = classifier, []
        self.canaries_right, self.canaries_checked = True, time.monotonic()
        self.metrics.serves(classifier.manifest, classifier.scheduler)

    def swap(self, classifier: Classifier) -> None:
        """Serve with another classifier from the next request on.

        What was accepted is finished by the old one, which ends when the last request has let go of it.
        """
        old = self.classifier
        self.metrics.served(old.manifest)
        self.start(classifier)
        log.info("swapped", extra={"fields": {"bundle": classifier.manifest.name, "before": old.manifest.name}})

    def hanging(self) -> str | None:
        """Whether so many scoring threads hang that the engine is taken to be broken. Computes nothing."""
        number = self.classifier.scheduler.hanging
        return f"{number} scoring threads hang" if number > MOST_HANGING else None

    def unchecked(self) -> str | None:
        """Whether checks of the canaries have not come back for so long that the engine is taken to hang."""
        age = time.monotonic() - self.canaries_checked
        late = self.canaries_right and age > _MISSED_CHECKS * self.settings.canary_seconds + CHECK_SECONDS
        return f"known passages were last scored {age:.0f} s ago: the engine hangs" if late else None

    def give_up(self) -> None:
        """Answer what cannot be done any more before this process must end: 503 rather than a connection cut off."""
        if waiting := sum(scheduler.tokens for scheduler in self.metrics.schedulers):
            log.warning("requests are refused: there is no time left for them", extra={"fields": {"tokens": waiting}})
        for scheduler in self.metrics.schedulers:
            scheduler.give_up()

    def metrics_text(self) -> bytes:
        """What Prometheus reads, as of now."""
        self.metrics.look(ready=self.unready() is None)
        return self.metrics.text()

    async def watch_metrics(self) -> None:
        """Keep the numbers that change by themselves fresh for other replicas' answers, until cancelled.

        A replica ends when its engine hangs, and when its supervisor is gone: nobody would start it again, or stop it.
        """
        supervisor = multiprocessing.parent_process()
        hung = 0
        while True:
            self.metrics.look(ready=self.unready() is None)
            hung = hung + 1 if self.hanging() or self.unchecked() else 0
            if self.settings.replica and not self.stopping.is_set():
                if hung >= _LOOKS:
                    log.error("the engine hangs: this replica ends, another takes its place")
                    signal.raise_signal(signal.SIGTERM)
                elif supervisor and not supervisor.is_alive():
                    log.error("the supervisor is gone: this replica ends")
                    signal.raise_signal(signal.SIGTERM)
            await asyncio.sleep(_LOOK_SECONDS)

    def unready(self) -> str | None:
        """Why the service is not ready, or None. Computes nothing."""
        if self.stopping.is_set():
            return "draining: this process has been told to stop"
        if reason := self.hanging():
            return reason
        if not self.canaries_right:
            return "known passages are not scored right; the log of the server says more"
        return self.unchecked()

    async def watch_canaries(self) -> None:
        """Score the canaries again and again, beside the requests, until cancelled.

        A check that does not come back delays the next one, but only so many of them are left hanging.
        """
        try:
            while True:
                await asyncio.sleep(self.settings.canary_seconds)
                if len(self.checks) <= MOST_HANGING:
                    await asyncio.wait([self._begun_check()], timeout=CHECK_SECONDS)
        finally:  # no thread may be in the engine when the process ends
            if self.checks:
                await asyncio.wait(self.checks, timeout=CHECK_SECONDS)
            for check in self.checks:
                check.cancel()

    def _begun_check(self) -> "asyncio.Future[object]":
        check = _apart(self.classifier.check_canaries)
        self.checks.append(check)
        check.add_done_callback(self._judge)
        return check

    def _judge(self, check: "asyncio.Future[object]") -> None:
        """Note what a check has found, unless it was of a classifier that serves no longer."""
        error = None if check.cancelled() else check.exception()
        if check.cancelled() or check not in self.checks:
            return
        self.checks.remove(check)
        if error:  # whatever a broken engine raises: not ready, and the process stays
            self.canaries_right = False
            log.error("the canaries are no longer scored right", exc_info=error)
        else:
            self.canaries_right, self.canaries_checked = True, time.monotonic()


def _apart(function: Callable[[], object]) -> "asyncio.Future[object]":
    """What a function comes to, on a thread of its own: of a pool's, those that hang would be missing, and waited for."""
    found: Future[object] = Future()
    found.set_running_or_notify_cancel()

    def run() -> None:
        try:
            found.set_result(function())
        except BaseException as error:  # noqa: BLE001 - the future's reader gets it
            found.set_exception(error)

    Thread(target=run, name="apart", daemon=True).start()
    return asyncio.wrap_future(found)


def load_classifier(settings: Settings) -> Classifier:
    """The classifier that these settings ask for. Raises BundleError."""
    if settings.bundle:
        return load_bundle(settings, settings.bundle)
    try:
        return load_bundle(settings, champion_path(settings))
    except BundleError as error:
        try:
            found = load_bundle(settings, champion_path(settings, PREVIOUS))
        except BundleError:
            raise error from None
        log.error("the champion cannot be loaded, the previous one serves: %s", error)  # noqa: TRY400 - told in one line
        return found


def load_bundle(settings: Settings, folder: Path) -> Classifier:
    """A bundle, verified, with its canaries scored. Raises BundleError."""
    lone = settings.lone_threads or min(len(os.sched_getaffinity(0)), MOST_LONE)
    return Classifier.load(
        folder,
        settings.threads,
        settings.max_queue_tokens,
        settings.hang_seconds,
        lone,
        interactive_capacity=settings.max_interactive_tokens,
    )


def service_of(request: Request) -> Service:
    """The service that a request came to."""
    return service_in(request.app)


def service_in(app: Starlette) -> Service:
    """The service of an application."""
    return cast("Service", app.state.service)
