"""Errors over HTTP: RFC 9457 problem documents, one place that makes them. Never a stack trace, never a passage."""

import json
from http import HTTPStatus
from typing import Any

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError

MEDIA_TYPE = "application/problem+json"
CLIENT_GONE = 499
"""Status in logs and metrics of a request whose caller left before the answer (nginx's number; nobody receives it)."""


REASONS = {
    400: "not_json",
    401: "no_key",
    403: "scope",
    404: "not_found",
    408: "body_timeout",
    409: "conflict",
    413: "too_large",
    415: "media_type",
    422: "invalid",
    429: "queue_full",
    499: "caller_gone",
    500: "internal",
    503: "not_ready",
    504: "deadline",
}
"""Status -> why a request was not scored, as the metrics name it."""


class RequestProblem(Exception):  # noqa: N818 - it becomes a problem document
    """Raised by a route when the caller's request cannot be served; the app turns it into a problem document."""

    def __init__(
        self, status: int, detail: str, *, errors: list[dict[str, str]] | None = None, headers: dict[str, str] | None = None
    ) -> None:
        """`errors`: each thing wrong, as {"pointer": JSON pointer into the body, "detail": what}."""
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.errors = errors
        self.headers = headers


def problem_response(
    status: int, detail: str, *, errors: list[dict[str, str]] | None = None, headers: dict[str, str] | None = None
) -> Response:
    """The answer that carries a problem document."""
    body: dict[str, Any] = {
        "type": "about:blank",
        "title": _title(status),
        "status": status,
        "detail": detail,
    }
    if errors:
        body["errors"] = errors
    return Response(json.dumps(body), status_code=status, media_type=MEDIA_TYPE, headers=headers)


def _title(status: int) -> str:
    return "Client Closed Request" if status == CLIENT_GONE else HTTPStatus(status).phrase


async def on_request_problem(request: Request, error: Exception) -> Response:
    """Exception handler for RequestProblem."""
    assert isinstance(error, RequestProblem)
    return problem_response(error.status, error.detail, errors=error.errors, headers=error.headers)


async def on_http_exception(request: Request, error: Exception) -> Response:
    """Exception handler for what the framework raises itself: unknown path, wrong method, body too large."""
    status = int(getattr(error, "status_code", 500))
    detail = {
        404: f"there is nothing at {request.url.path}; see /docs",
        405: f"{request.method} is not allowed here",
        413: "the body is too large",
    }.get(status, HTTPStatus(status).phrase)
    headers = {"Allow": allowed} if status == HTTPStatus.METHOD_NOT_ALLOWED and (allowed := _allowed(request)) else None
    return problem_response(status, detail, headers=headers or getattr(error, "headers", None))


def _allowed(request: Request) -> str:
    """Methods of all routes of this path; the framework names those of the first one only."""
    path = getattr(request.scope.get("route"), "path", "")
    return ", ".join(method.upper() for method in request.app.openapi()["paths"].get(path, ()))


async def on_bad_query(request: Request, error: Exception) -> Response:
    """Exception handler for a query that is not as the document says."""
    assert isinstance(error, RequestValidationError)
    errors = [{"pointer": f"/{found['loc'][-1]}", "detail": str(found["msg"])} for found in error.errors()]
    return problem_response(422, "the query is not as /docs says", errors=errors)
