"""Counts and times of the service, for Prometheus. Numbers and names only: no text of a passage.

Every request is counted once when its answer goes out; every passage of a scored request once. So requests by status add
up to what callers sent, and scored passages and those with an error add up to what they asked for. With several replicas,
`tagger serve` has them share their numbers (prometheus_client's multiprocess mode), so that any of them answers for all.
"""

import os
import time
from collections.abc import Sequence
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest, multiprocess

from serving.bundle import Manifest
from serving.results import Result
from serving.scheduler import Job, Scheduler

SHARED_FOLDER = "PROMETHEUS_MULTIPROC_DIR"
"""The variable by which prometheus_client learns, when it is imported, that several processes share a folder."""
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_SCORES = tuple(round(0.1 * step, 1) for step in range(1, 10))


class Metrics:
    """All metrics of one application, in a registry of their own."""

    def __init__(self) -> None:
        """Register everything."""
        self._registry = CollectorRegistry()
        make: Any = {"namespace": "tagger", "registry": self._registry}
        self.requests = Counter("requests", "Requests answered.", ["route", "status"], **make)
        self.rejected = Counter("rejected", "Requests not scored, by reason.", ["reason"], **make)
        self.passages = Counter("passages", "Passages scored.", **make)
        self.item_errors = Counter("passage_errors", "Passages that could not be scored, by kind.", ["code"], **make)
        self.tokens = Counter("tokens", "Tokens computed.", **make)
        self.truncated = Counter("truncated", "Passages that were cut.", **make)
        self.tags = Counter("tags", "Tags given.", ["tag"], **make)
        self.scores = Histogram("score", "Calibrated scores.", ["tag"], buckets=_SCORES, **make)
        self.wait = Histogram("queue_wait_seconds", "From a job's arrival to its first passage.", buckets=_SECONDS, **make)
        self.inference = Counter("inference_seconds", "Time of scoring threads in passages.", **make)
        live: Any = {**make, "multiprocess_mode": "livesum"}
        self._queue = Gauge("queue_tokens", "Work that waits or is being done, in tokens (estimated).", **live)
        self._ready = Gauge("ready", "Replicas that are ready.", **live)
        self._hanging = Gauge("hanging_threads", "Scoring threads that were given up and have not come back.", **live)
        self._model = Gauge("model_info", "Replicas that serve this bundle.", ["version", "sha256", "profile"], **live)
        self.swaps = Counter("swaps", "Changes of the bundle while serving, by outcome.", ["outcome"], **make)
        self.labels = Counter("labels", "Labels sent, by what became of them.", ["status"], **make)
        self._schedulers: dict[Scheduler, float] = {}
        """With the seconds of each that are counted already; one whose bundle was swapped out, until it has ended."""

    def serves(self, manifest: Manifest, scheduler: Scheduler) -> None:
        """Name the bundle that serves, and count what its scheduler does."""
        self._model.labels(version=manifest.name, sha256=manifest.sha256, profile=manifest.profile).set(1)
        self._schedulers.setdefault(scheduler, 0.0)
        scheduler.on_end = self._waited
        for tag in manifest.tags:  # shown from the start, at nought
            self.tags.labels(tag)
            self.scores.labels(tag)

    @property
    def schedulers(self) -> list[Scheduler]:
        """Those that have not ended: the serving bundle's, and of bundles that were swapped out and still work."""
        return list(self._schedulers)

    def served(self, manifest: Manifest) -> None:
        """Note that a bundle serves no longer."""
        self._model.labels(version=manifest.name, sha256=manifest.sha256, profile=manifest.profile).set(0)

    def _waited(self, job: Job) -> None:
        """Note how long a job waited, whatever became of it; one that was never begun waited until now."""
        self.wait.observe(max(0.0, (job.began or time.monotonic()) - job.arrived))

    def scored(self, results: Sequence[Result]) -> None:
        """Count what was scored."""
        for result in results:
            if result.error:
                self.item_errors.labels(result.error.code).inc()
                continue
            self.passages.inc()
            self.tokens.inc(result.tokens + result.extra_tokens)
            self.truncated.inc(result.truncated)
            for tag in result.tags:
                self.tags.labels(tag).inc()
            for tag, score in result.scores.items():
                self.scores.labels(tag).observe(score)

    def look(self, *, ready: bool) -> None:
        """Note what changes by itself: the queue, the threads' time, readiness. Once a second, and before each reading."""
        self._ready.set(ready)
        self._queue.set(sum(scheduler.tokens for scheduler in self._schedulers))
        self._hanging.set(sum(scheduler.hanging for scheduler in self._schedulers))
        for scheduler, counted in list(self._schedulers.items()):
            ended, seconds = scheduler.ended, scheduler.seconds
            self.inference.inc(seconds - counted)
            self._schedulers[scheduler] = seconds
            if ended:
                del self._schedulers[scheduler]

    def text(self) -> bytes:
        """What Prometheus reads; of all replicas when there are several."""
        if folder := os.environ.get(SHARED_FOLDER):
            shared = CollectorRegistry()
            multiprocess.MultiProcessCollector(shared, folder)  # type: ignore[no-untyped-call]  # carries no types
            return generate_latest(shared)
        return generate_latest(self._registry)
