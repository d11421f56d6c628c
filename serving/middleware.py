"""What every request passes: its count, a line in the log, headers that browsers obey. Plain ASGI: nothing is buffered."""

import logging
import re
import secrets
import time

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serving.metrics import Metrics
from serving.problems import REASONS, problem_response

log = logging.getLogger("tagger.requests")

_NO_STATUS = "none"
"""Status of a request whose connection ended before an answer."""
_REQUEST_ID = re.compile(r"[\x21-\x7e]{1,128}")
_TRACEPARENT = re.compile(r"[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-[0-9a-f]{2}")
"""W3C trace context: version, trace id, parent id, flags; ids of noughts only are invalid."""
_DOCS = ("/docs", "/redoc", "/static-offline-docs")
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
_POLICY = "default-src 'none'; frame-ancestors 'none'"
_DOCS_POLICY = (  # the pages' own script and style are inline
    "default-src 'self'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "worker-src blob:; frame-ancestors 'none'"
)


class CountRequests:
    """Every request is counted with its route and the status of its answer."""

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
            self._metrics.requests.labels(_route(scope), status).inc()


class LogRequests:
    """One line in the log a request: its id, its trace, route, status, milliseconds. Never a text, a key or a query."""

    def __init__(self, app: ASGIApp) -> None:
        """Wrap `app`."""
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass everything on; the answer carries the request's id."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.monotonic()
        headers = Headers(scope=scope)
        given = headers.get("x-request-id", "")
        name = given if _REQUEST_ID.fullmatch(given) else secrets.token_hex(8)
        trace = _TRACEPARENT.fullmatch(headers.get("traceparent", ""))
        status: int | str = _NO_STATUS

        async def named(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)["X-Request-ID"] = name
            await send(message)

        try:
            await self._app(scope, receive, named)
        except Exception:
            status = 500 if status == _NO_STATUS else status
            raise
        finally:
            line = {
                "request_id": name,
                "method": scope["method"],
                "route": _route(scope),
                "status": status,
                "ms": round((time.monotonic() - started) * 1000, 1),
            }
            if trace:
                line |= {"trace_id": trace[1], "parent_id": trace[2]}
            log.info("request", extra={"fields": line})


class AnswerUnknownErrors:
    """Whatever a route raises is logged without its message and answered 500, within the other middlewares' reach."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        """Wrap `app`."""
        self._app, self._metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass everything on; of an answer that has begun nothing can be mended: the connection is cut."""
        begun = False

        async def noting(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            await self._app(scope, receive, noting)
        except Exception:  # whatever it was
            if scope["type"] != "http":
                raise
            log.exception("a request failed")
            if scope["method"] == "POST":
                self._metrics.rejected.labels(REASONS[500]).inc()
            if begun:
                raise
            answer = problem_response(500, "an internal error; the log of the server says more")
            await answer(scope, receive, send)


class SecureHeaders:
    """Headers that keep a browser from running, framing or storing what the service answers."""

    def __init__(self, app: ASGIApp) -> None:
        """Wrap `app`."""
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass everything on; add the headers."""

        async def secured(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for header, value in HEADERS.items():
                    headers.setdefault(header, value)
                policy = _DOCS_POLICY if scope["path"].startswith(_DOCS) else _POLICY
                headers.setdefault("Content-Security-Policy", policy)
            await send(message)

        await self._app(scope, receive, secured)


def _route(scope: Scope) -> str:
    """The route's pattern. A path that leads nowhere is anybody's invention: as a label it would grow without end."""
    return getattr(scope.get("route"), "path", "other")
