"""Stopping without losing a request: told to stop, the service says so first, and only then closes its port.

SIGTERM turns /health/ready to 503 "draining"; requests are answered for `drain_seconds`, in which a load balancer turns
elsewhere, each as the last one of its connection; streams end at the next line and say so; then the server closes its port and
ends when the last accepted request has its answer, which is 503 for what is not done in `finish_seconds`. A second signal
closes the port at once, a third waits for nobody. Ctrl-C does not wait before it closes the port.
"""

import asyncio
import logging
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from serving.listening import SETTLE_SECONDS, take_no_more
from serving.service import Service

log = logging.getLogger("tagger")

_USED = 0.9
"""Share of `finish_seconds` after which what is left of accepted requests is refused, so that they get an answer at least."""
_SAME_SECONDS = 1.0
"""Within which a replica takes a second SIGTERM for the first: systemd tells all processes, and the supervisor tells again."""
_PATIENT = 2
"""Signals after which accepted requests are still waited for."""


@contextmanager
def draining_first(service: Service) -> Iterator[None]:
    """Put draining before what the server does on SIGTERM. Only in the main thread, which alone is told of signals."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    draining = _Draining(service)
    signal.signal(signal.SIGTERM, draining.on_term)
    signal.signal(signal.SIGINT, draining.on_interrupt)
    try:
        yield
    finally:
        for number, handler in draining.usual.items():
            signal.signal(number, handler)


class _Draining:
    """What was told so far, and what follows from it. Handlers only pass on: the rest is done by the loop."""

    def __init__(self, service: Service) -> None:
        self.usual = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
        """The server's own handlers."""
        self._service = service
        self._loop = asyncio.get_running_loop()
        self._told = 0
        self._first = 0.0
        self._closing: asyncio.TimerHandle | None = None

    def on_term(self, _number: int, _frame: FrameType | None) -> None:
        now = time.monotonic()
        if self._service.settings.replica and self._told == 1 and now - self._first < _SAME_SECONDS:
            self._told = 0  # told to the group, and again by the supervisor, which closes the port just before the replicas do
        self._told += 1
        if self._told == 1:
            self._first = now
        seconds = self._service.settings.drain_seconds if self._told == 1 else 0.0
        # uvicorn takes a SIGTERM for "finish", and a SIGINT after it for "at once".
        number = signal.SIGTERM if self._told <= _PATIENT else signal.SIGINT
        log.info("draining", extra={"fields": {"seconds": seconds}})
        self._loop.call_soon_threadsafe(self._drain, seconds, number)

    def on_interrupt(self, number: int, _frame: FrameType | None) -> None:
        if not self._service.settings.replica:  # else the supervisor has heard it too, and tells
            self._loop.call_soon_threadsafe(self._drain, 0.0, number)

    def _drain(self, seconds: float, number: int) -> None:
        self._service.stopping.set()
        self._loop.call_later(seconds + _USED * self._service.settings.finish_seconds, self._service.give_up)
        if self._closing:
            self._closing.cancel()
        self._closing = self._loop.call_later(seconds, self._end, number)

    def _end(self, number: int) -> None:
        """Let the server close the port, after what is under way to it was accepted."""
        if self._service.listener:
            take_no_more(self._service.listener)
        if callable(stop := self.usual[signal.Signals(number)]):
            self._loop.call_later(SETTLE_SECONDS, stop, number, None)
