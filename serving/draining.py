"""Stopping without losing a request: told to stop, the service says so first, and only then closes its port.

SIGTERM turns /health/ready to 503 "draining"; requests are answered as before for `drain_seconds`, in which a load balancer
turns elsewhere; then the server goes on to its own shutdown, which ends when the last accepted request has its answer. A second
signal does not wait.
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


@contextmanager
def draining_first(service: Service) -> Iterator[None]:
    """Put draining before what the server does on SIGTERM. Only in the main thread, which alone is told of signals."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    loop = asyncio.get_running_loop()
    stop = signal.getsignal(signal.SIGTERM)

    def drain(number: int, frame: FrameType | None) -> None:
        def go_on() -> None:
            if callable(stop):
                stop(number, frame)

        seconds = 0.0 if service.draining else service.settings.drain_seconds
        service.draining = True
        log.info("draining", extra={"fields": {"seconds": seconds}})
        loop.call_soon_threadsafe(loop.call_later, seconds, go_on)

    signal.signal(signal.SIGTERM, drain)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, stop)
