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
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from serving.listening import SETTLE_SECONDS, take_no_more
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
    usual = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    told = 0

    def end(number: int) -> None:
        """Let the server close the port, after what is under way to it was accepted."""
        if service.listener:
            take_no_more(service.listener)
        if callable(stop := usual[signal.Signals(number)]):
            loop.call_later(SETTLE_SECONDS, stop, number, None)

    def drain(seconds: float, number: int) -> None:
        service.stopping.set()
        loop.call_later(seconds + _USED * service.settings.finish_seconds, service.give_up)
        loop.call_later(seconds, end, number)

    def on_term(_number: int, _frame: FrameType | None) -> None:
        nonlocal told
        told += 1
        seconds = service.settings.drain_seconds if told == 1 else 0.0
        # uvicorn takes a SIGTERM for "finish", and a SIGINT after it for "at once".
        number = signal.SIGTERM if told <= _PATIENT else signal.SIGINT
        log.info("draining", extra={"fields": {"seconds": seconds}})
        loop.call_soon_threadsafe(drain, seconds, number)

    def on_interrupt(number: int, _frame: FrameType | None) -> None:
        loop.call_soon_threadsafe(drain, 0.0, number)

    signal.signal(signal.SIGTERM, on_term)
    signal.signal(signal.SIGINT, on_interrupt)
    try:
        yield
    finally:
        for number, handler in usual.items():
            signal.signal(number, handler)
