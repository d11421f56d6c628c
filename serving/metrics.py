"""Counts and times of one serving process, for Prometheus. Numbers and names only: no text of a passage.

Every request is counted once when its answer goes out; every passage of a scored request once. So requests by status add
up to what callers sent, and scored passages and those with an error add up to what they asked for.
"""

import time
from collections.abc import Sequence
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, generate_latest
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serving.bundle import Manifest
from serving.classifier import Result
from serving.scheduler import Job, Scheduler

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_SCORES = tuple(round(0.1 * step, 1) for step in range(1, 10))
_NO_STATUS = "none"
"""Status of a request whose connection ended before an answer."""


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
        self.queue = Gauge("queue_tokens", "Work that waits or is being done, in tokens (estimated).", **make)
        self.ready = Gauge("ready", "1 when the canaries are scored right.", **make)
        self._scheduler: Scheduler | None = None
        self._reported = 0.0
        self._model = Info("model", "The bundle that serves.", **make)

    def serves(self, manifest: Manifest, scheduler: Scheduler) -> None:
        """Name the bundle that serves, and read the queue from its scheduler."""
        self._model.info({"version": manifest.name, "sha256": manifest.sha256, "profile": manifest.profile})
        self.queue.set_function(lambda: scheduler.tokens)
        self._scheduler = scheduler
        for tag in manifest.tags:  # shown from the start, at nought
            self.tags.labels(tag)
            self.scores.labels(tag)

    def waited(self, job: Job) -> None:
        """Note how long a job waited, whatever became of it; one that was never begun waited until now."""
        self.wait.observe(max(0.0, (job.began or time.monotonic()) - job.arrived))

    def scored(self, results: Sequence[Result]) -> None:
        """Count what was scored."""
        for result in results:
            if result.error:
                self.item_errors.labels(result.error.code).inc()
                continue
            self.passages.inc()
            self.tokens.inc(result.tokens)
            self.truncated.inc(result.truncated)
            for tag in result.tags:
                self.tags.labels(tag).inc()
            for tag, score in result.scores.items():
                self.scores.labels(tag).observe(score)

    def text(self) -> bytes:
        """What Prometheus reads."""
        if self._scheduler:
            seconds = self._scheduler.seconds
            self.inference.inc(seconds - self._reported)
            self._reported = seconds
        return generate_latest(self._registry)


class CountRequests:
    """Middleware: every request is counted with its route and the status of its answer."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        """Wrap `app`."""
        self._app, self._metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass everything on; note the status."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status = _NO_STATUS

        async def noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = str(message["status"])
            await send(message)

        try:
            await self._app(scope, receive, noting)
        except Exception:  # the framework answers it outside of this middleware
            status = "500" if status == _NO_STATUS else status
            raise
        finally:
            # A path that leads nowhere is anybody's invention: as a label it would grow without end.
            route = getattr(scope.get("route"), "path", "other")
            self._metrics.requests.labels(route, status).inc()
