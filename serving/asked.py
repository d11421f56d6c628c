"""What the routes that score share: options in the query, the deadline, whether the caller is still there, refusals."""

import inspect
import math
import time
from collections.abc import Sequence
from typing import Annotated, Literal

from fastapi import Depends, Query, Request

from serving.api import Asked
from serving.classifier import Classifier
from serving.problems import RequestProblem
from serving.scheduler import DeadlineExceededError, HangError, QueueFullError, StoppedError
from serving.service import Service
from serving.wire import MOST_MISTAKES, caller_gone

REFUSALS = (401, 403, 408, 413, 415, 422, 429, 500, 503, 504)
"""Statuses with which a route that scores may refuse."""


def asked_in_query(
    long: Annotated[Literal["error", "truncate", "split"], Query(description="What to do with too long a passage.")] = "error",
    top_k: Annotated[int | None, Query(ge=1, description="Show only the scores of so many tags.")] = None,
    threshold: Annotated[list[str], Query(description="`tag:value`, in place of the model's own; may be repeated.")] = [],  # noqa: B006 - FastAPI copies it
    logits: Annotated[bool, Query(description="Show what the model gave before calibration.")] = False,  # noqa: FBT002 - a query
    sentences: Annotated[bool, Query(description="Show which sentence carries each tag.")] = False,  # noqa: FBT002 - a query
) -> Asked:
    """The options of a request whose body has no room for them. No deadline: a stream may last for hours."""
    thresholds: dict[str, float] = {}
    for entry in threshold:
        tag, _, value = entry.rpartition(":")
        try:
            thresholds[tag] = float(value)
        except ValueError:
            thresholds[tag] = math.nan
        if not tag or not 0 <= thresholds[tag] <= 1:
            detail = f"threshold={entry!r} is not TAG:VALUE with a value from 0 to 1"
            raise RequestProblem(422, detail, errors=[{"pointer": "/threshold", "detail": detail}])
    return Asked(long=long, top_k=top_k, thresholds=thresholds, logits=logits, sentences=sentences)


def asked_of_document(
    asked: Annotated[Asked, Depends(asked_in_query)],
    timeout_ms: Annotated[int | None, Query(ge=1, le=600_000, description="When the answer is no longer wanted.")] = None,
) -> Asked:
    """The options of a document that is no JSON."""
    return asked.model_copy(update={"timeout_ms": timeout_ms})


STREAM_OPTIONS = tuple(inspect.signature(asked_in_query).parameters)
DOCUMENT_OPTIONS = (*STREAM_OPTIONS, "timeout_ms")


def check_query(request: Request, known: Sequence[str] = ()) -> None:
    """Raise RequestProblem for a name in the query that is not `known`: as an option it would do nothing, in silence."""
    unknown = [name for name in request.query_params if name not in known][:MOST_MISTAKES]
    if unknown:
        allowed = f"known: {', '.join(known)}" if known else "options of a JSON body stand in the body, not in the query"
        errors = [{"pointer": f"/{name}", "detail": f"is unknown; {allowed}"} for name in unknown]
        raise RequestProblem(422, f"unknown in the query: {', '.join(map(repr, unknown))}; {allowed}", errors=errors)


def engine(service: Service) -> Classifier:
    """The classifier. Raises RequestProblem when its threads hang: each further request would cost another one."""
    if reason := service.hanging():
        raise RequestProblem(503, reason)
    return service.classifier


async def gone(request: Request) -> None:
    """Return when the caller has gone; the body has been read, so nothing else can come."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


def deadline(wanted: Asked, started: float) -> float | None:
    """When the answer is no longer wanted: a time of `time.monotonic()`."""
    return started + wanted.timeout_ms / 1000 if wanted.timeout_ms else None


def refused(wanted: Asked, error: Exception) -> RequestProblem:
    """What the caller is told when the work was not done."""
    if isinstance(error, QueueFullError):
        seconds = max(1, math.ceil(error.retry_after))
        return RequestProblem(429, f"the queue is full; try again in {seconds} s", headers={"Retry-After": str(seconds)})
    if isinstance(error, DeadlineExceededError):
        return RequestProblem(504, f"{wanted.timeout_ms} ms have passed")
    if isinstance(error, StoppedError):
        return RequestProblem(503, "draining: this process has to end before it gets to this request")
    if isinstance(error, HangError):
        return RequestProblem(500, "the engine did not come back from a passage of this request, and was given up")
    return caller_gone()


def timing(started: float, **parts: float) -> dict[str, str]:
    """The header Server-Timing (W3C), in milliseconds."""
    parts["total"] = time.monotonic() - started
    return {"Server-Timing": ", ".join(f"{name};dur={seconds * 1000:.1f}" for name, seconds in parts.items())}
