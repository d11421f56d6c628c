"""Bodies in and answers out: bytes are counted, JSON is read strictly, every mistake becomes a problem document."""

import asyncio
import json
from typing import Any

from fastapi import Request
from pydantic import ValidationError
from starlette.requests import ClientDisconnect

from serving.api import TagRequest
from serving.classifier import Result
from serving.problems import RequestProblem


async def read_body(request: Request, limit: int, seconds: float) -> bytes:
    """The body, its bytes counted as they arrive: a chunked body has no length to trust, and a stated one may lie.

    Raises RequestProblem: 413 over `limit` bytes, 408 after `seconds`, 400 when the client leaves before the end.
    """
    body = bytearray()
    detail = f"the body has more than {limit} bytes"
    if request.headers.get("content-length", "0").isdecimal() and int(request.headers.get("content-length", "0")) > limit:
        raise RequestProblem(413, detail)
    try:
        async with asyncio.timeout(seconds):
            async for chunk in request.stream():
                body += chunk
                if len(body) > limit:
                    raise RequestProblem(413, detail)
    except TimeoutError as error:
        raise RequestProblem(408, f"the body did not arrive within {seconds:g} s", headers={"Connection": "close"}) from error
    except ClientDisconnect as error:  # nobody is left to answer
        raise RequestProblem(400, "the body ended early") from error
    return bytes(body)


def decode_request(request: Request, body: bytes, max_passages: int) -> TagRequest:
    """The request that a body holds. Raises RequestProblem: 415, 400 or 422."""
    content_type = request.headers.get("content-type", "application/json").partition(";")[0].strip().lower()
    if content_type != "application/json":
        raise RequestProblem(415, f"the body is {content_type!r}, send application/json")
    try:
        data = json.loads(body.decode("utf-8"), parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise RequestProblem(400, f"the body is not JSON: {_reason(error)}") from error
    try:
        wanted = TagRequest.model_validate(data)
    except ValidationError as error:
        errors = [
            {"pointer": "".join(map(_step, found["loc"])), "detail": found["msg"]}
            for found in error.errors(include_url=False, include_context=False, include_input=False)
        ]
        raise RequestProblem(422, "the request is not as /docs says", errors=errors) from error
    if wanted.passages is not None and len(wanted.passages) > max_passages:
        detail = f"{len(wanted.passages)} passages, at most {max_passages} are allowed"
        raise RequestProblem(422, detail, errors=[{"pointer": "/passages", "detail": detail}])
    return wanted


def _step(part: int | str) -> str:
    """One step of a JSON pointer (RFC 6901)."""
    return "/" + str(part).replace("~", "~0").replace("/", "~1")


def _refuse_constant(name: str) -> None:
    message = f"{name} is no JSON"
    raise ValueError(message)


def _reason(error: Exception) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"{error.msg} at line {error.lineno}, column {error.colno}"
    if isinstance(error, UnicodeDecodeError):
        return f"byte {error.start} is not UTF-8"
    return "nested too deeply" if isinstance(error, RecursionError) else str(error)


def encode_result(name: str, result: Result) -> dict[str, Any]:
    """One result as the answer holds it."""
    if result.error:
        return {"id": name, "error": {"code": result.error.code, "detail": result.error.detail}}
    encoded: dict[str, Any] = {
        "id": name,
        "tags": result.tags,
        "scores": result.scores,
        "review": result.review,
        "tokens": result.tokens,
        "truncated": result.truncated,
    }
    if result.parts is not None:
        encoded["parts"] = [
            {"start": part.start, "end": part.end, "tags": part.tags, "scores": part.scores, "tokens": part.tokens}
            for part in result.parts
        ]
    return encoded
