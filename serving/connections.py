"""Connections: uvicorn's protocol, with what it lacks under attack and overload.

A head has a time and a size, a body that nobody reads any more is not drained for ever, connections are bounded. When the
queue of interactive work is full, small requests to score are refused before anything of them is parsed: refusing one the
long way costs a third of scoring it, so that ten times the load would leave no time for scoring at all.
"""

import asyncio
import math
import resource
from asyncio import TimerHandle
from contextlib import suppress

from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from serving.metrics import Metrics
from serving.middleware import HEADERS
from serving.ndjson import LOST
from serving.problems import REASONS, problem_response
from serving.service import Service

SERVICE = "service"
"""By which a connection finds the service in the state of the application's lifespan."""
MOST_HEAD_BYTES = 64 * 1024
SMALL_BYTES = 2048
"""A body of at most so many bytes is taken for interactive work, which it nearly always is; nobody has looked at it yet."""
_BYTES_A_TOKEN = 5
"""Of a small request's body, its braces and quotes included."""
_BODY_SECONDS = 1.0
"""For which the body of a refused request is waited for, where it must be."""
_LINGER_SECONDS = 5.0
"""For which a body is still read, and thrown away, after its request was answered: cut off at once, the answer may get lost."""
_GRACE_SECONDS = 0.25
"""For which a connection on which nothing is asked is kept when the port has closed: a request may be on its way."""
_MOST_FILES = 65_536
_OTHER_FILES = 256
"""Descriptors that connections leave for the rest of the process."""


class Connection(HttpToolsProtocol):
    """One connection. What is refused here is counted in the metrics, and not logged line by line."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's own
        """Start the clock of the first head, or refuse the connection when there are too many."""
        super().connection_made(transport)
        self._in_head, self._head_bytes = True, 0
        self._lost = asyncio.Event()
        self._closed = False
        """Whether the port is."""
        self._small = self._promised = 0
        self._timer: TimerHandle | None = None
        self._service: Service | None = self.app_state.get(SERVICE)
        if self._service is None:  # not started yet
            return
        if len(self.connections) > most_connections():
            self._end(self._service, 503, "too many connections", "connections")
        else:
            self._start(self._service)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the clock, and tell who still answers."""
        self._lost.set()
        self._stop()
        self._keep_promise()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Bound the head that is being read."""
        self._head_bytes += len(data)  # of a body, on_body takes them back: what is left there are trailers
        if self._service and self._in_head and self._timer is None and not self._answering():  # a further request begins
            self._start(self._service)
        super().data_received(data)
        if self._service and self._head_bytes > MOST_HEAD_BYTES and not self.transport.is_closing():
            self._end(self._service, 431, f"the head of the request has more than {MOST_HEAD_BYTES} bytes", "head_too_large")

    def on_headers_complete(self) -> None:
        """The head is whole; a small request to score is answered 429 at once when the queue is full."""
        self._in_head, self._head_bytes = False, 0
        self._stop()
        self.scope[LOST] = self._lost  # type: ignore[literal-required]  # a server may add what it likes
        app = self.app
        if self._service and (seconds := self._full(self._service)):
            self.app = refusing(seconds, self._service.metrics, self.parser.should_keep_alive())
        try:
            super().on_headers_complete()
        finally:
            self.app = app
        if self._answering() and (self._closed or (self._service and self._service.stopping.is_set())):
            # The caller is told that this is the last one, and asks elsewhere next time.
            self.cycle.keep_alive = False

    def on_message_complete(self) -> None:
        """The body is whole: what comes next is another head."""
        super().on_message_complete()
        self._in_head, self._head_bytes = True, 0
        self._stop()
        if self._answering():
            self._promise()
        else:  # answered before: the body's bytes have stopped the clock of an idle connection
            self._unset_keepalive_if_required()
            self.timeout_keep_alive_task = self.loop.call_later(self.timeout_keep_alive, self.timeout_keep_alive_handler)

    def on_body(self, body: bytes) -> None:
        """Some of the body has come."""
        super().on_body(body)
        self._head_bytes = 0

    def on_response_complete(self) -> None:
        """A body that is still arriving is read for a moment, then the connection ends."""
        self._keep_promise()
        super().on_response_complete()
        if not self._in_head and not self._answering() and not self.transport.is_closing():
            self._stop()
            self._timer = self.loop.call_later(_LINGER_SECONDS, self.transport.close)

    def shutdown(self) -> None:
        """The port has closed: end with the answer that is under way, or soon when none is."""
        if self._answering():
            super().shutdown()
        else:
            self._closed = True
            self.loop.call_later(_GRACE_SECONDS, self._close_unasked)

    def _close_unasked(self) -> None:
        """End a connection on which nothing has come; what has is answered, or its clock runs out."""
        if not self._head_bytes and not self._answering() and not self.transport.is_closing():
            self.transport.close()

    def _full(self, service: Service) -> float | None:
        """Seconds after which a request like this one may find room, or None when it is to be looked at."""
        self._small = 0
        if self.parser.get_method() != b"POST" or self.url.partition(b"?")[0] != b"/v1/tag" or service.stopping.is_set():
            return None
        length = next((value for name, value in self.headers if name == b"content-length"), b"")
        if not (length.isdigit() and int(length) <= SMALL_BYTES):
            return None
        seconds = service.classifier.scheduler.full(interactive=True, promised=service.promised)
        self._small = 0 if seconds else int(length) // _BYTES_A_TOKEN + 1
        return seconds

    def _answering(self) -> bool:
        """Whether a request waits for its answer."""
        return bool(self.cycle) and not self.cycle.response_complete

    def _promise(self) -> None:
        """Count a small request as work: requests are read by the hundred before the first of them gets to the queue."""
        if self._service and not self._promised:  # of pipelined ones the first
            self._promised = self._small
            self._service.promised += self._promised

    def _keep_promise(self) -> None:
        if self._service:
            self._service.promised -= self._promised
            self._promised = 0

    def _start(self, service: Service) -> None:
        self._timer = self.loop.call_later(service.settings.body_seconds, self._late, service)

    def _stop(self) -> None:
        if self._timer:
            self._timer.cancel()
            self._timer = None

    def _late(self, service: Service) -> None:
        if self._head_bytes:
            detail = f"the head of the request did not arrive within {service.settings.body_seconds:g} s"
            self._end(service, 408, detail, REASONS[408])
        else:
            self.transport.close()

    def _end(self, service: Service, status: int, detail: str, reason: str) -> None:
        """Answer what is no request yet, unless another one waits for its answer, and end the connection."""
        service.metrics.rejected.labels(reason).inc()
        answer = problem_response(status, detail, headers={**HEADERS, "Connection": "close"})
        head = b"".join(b"%b: %b\r\n" % header for header in answer.raw_headers)
        if not self._answering():
            self.transport.write(STATUS_LINE[status] + head + b"\r\n" + bytes(answer.body))
        self.transport.close()


def refusing(seconds: float, metrics: Metrics, keep_alive: bool) -> ASGIApp:  # noqa: FBT001 - one of three, each of its own type
    """An application that only says that the queue is full, and counts it as the routes do.

    A connection that ends with its answer must have had its body read, or the answer may get lost.
    """
    wait = max(1, math.ceil(seconds))
    answer: Response = problem_response(
        429, f"the queue is full; try again in {wait} s", headers={**HEADERS, "Retry-After": str(wait)}
    )

    async def refuse(scope: Scope, receive: Receive, send: Send) -> None:
        if not keep_alive:
            with suppress(TimeoutError):
                async with asyncio.timeout(_BODY_SECONDS):
                    while (await receive()).get("more_body"):
                        pass
        metrics.requests.labels("/v1/tag", "429").inc()
        metrics.rejected.labels(REASONS[429]).inc()
        await answer(scope, receive, send)

    return refuse


def most_connections() -> int:
    """Connections at a time: the files that this process may open, but some."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return max(1, (_MOST_FILES if soft == resource.RLIM_INFINITY else soft) - _OTHER_FILES)


def allow_files() -> None:
    """Raise this process's own limit of open files as far as it may: shells begin with 1,024."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _MOST_FILES if hard == resource.RLIM_INFINITY else min(_MOST_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
