"""Stopping without losing a request: told to stop, the service says so first, and only then closes its port.

SIGTERM turns /health/ready to 503 "draining"; requests are answered as before for `drain_seconds`, in which a load balancer
turns elsewhere; streams end at the next line and say so; then the server closes its port and ends when the last accepted
request has its answer, which is 503 for what is not done in `finish_seconds`. A second signal closes the port at once, a third
waits for nobody. Ctrl-C does not wait before it closes the port.
"""

import asyncio
import logging
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from serving.service import Service

log = logging.getLogger("tagger")

_USED = 0.9
"""Share of `finish_seconds` after which what is left of accepted requests is refused, so that they get an answer at least."""
_PATIENT = 2
"""Signals after which accepted requests are still waited for."""


@contextmanager
def draining_first(service: Service) -> Iterator[None]:
    """Put draining before what the server does on SIGTERM. Only in the main thread, which alone is told of signals."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    loop = asyncio.get_running_loop()
    stop = signal.getsignal(signal.SIGTERM)
    told = 0

    def drain(_number: int, frame: FrameType | None) -> None:
        nonlocal told
        told += 1
        seconds = service.settings.drain_seconds if told == 1 else 0.0
        # uvicorn takes a SIGTERM for "finish", and a SIGINT after it for "at once".
        number = signal.SIGTERM if told <= _PATIENT else signal.SIGINT
        log.info("draining", extra={"fields": {"seconds": seconds}})
        loop.call_soon_threadsafe(service.stopping.set)
        loop.call_soon_threadsafe(loop.call_later, seconds + _USED * service.settings.finish_seconds, service.give_up)
        if callable(stop):
            loop.call_soon_threadsafe(loop.call_later, seconds, stop, number, frame)

    interrupt = signal.getsignal(signal.SIGINT)

    def hurry(number: int, frame: FrameType | None) -> None:
        loop.call_soon_threadsafe(service.stopping.set)
        loop.call_soon_threadsafe(loop.call_later, _USED * service.settings.finish_seconds, service.give_up)
        if callable(interrupt):
            interrupt(number, frame)

    signal.signal(signal.SIGTERM, drain)
    signal.signal(signal.SIGINT, hurry)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, stop)
        signal.signal(signal.SIGINT, interrupt)
