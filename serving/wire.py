"""Bodies in and answers out: bytes are counted, JSON is read strictly, every mistake becomes a problem document."""

import asyncio
import json
from collections.abc import Iterable, Sequence
from typing import Any, TypeVar

from fastapi import Request
from pydantic import BaseModel, ValidationError
from starlette.requests import ClientDisconnect

from serving.api import Asked
from serving.bundle import Manifest
from serving.problems import CLIENT_GONE, RequestProblem
from serving.results import Options, Part, Result

JSON = "application/json"
_MOST_ENTRIES = 1000
"""Of a list in a body, where nothing else is said."""
_MOST_MEMBERS = 64
"""Of an object in a body: more than any has, few enough that naming each as unknown costs little."""
MOST_MISTAKES = 20
"""Shown in one answer; the rest is counted."""
_DEEPEST = 2
"""No request nests lists and objects deeper than that: a tag of a label."""
Body = TypeVar("Body", bound=BaseModel)


async def read_body(request: Request, limit: int, seconds: float) -> bytes:
    """The body, its bytes counted as they arrive: a chunked body has no length to trust, and a stated one may lie.

    Raises RequestProblem: 413 over `limit` bytes, 408 after `seconds`, 499 when the client leaves before the end.
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
    except ClientDisconnect as error:
        raise caller_gone() from error
    return bytes(body)


def caller_gone() -> RequestProblem:
    """What a request ends with when nobody is left to read the answer; the status is for logs and metrics."""
    return RequestProblem(CLIENT_GONE, "the caller has gone")


def media_type(request: Request) -> str:
    """The type of a request's body, without its parameters; JSON when none is named."""
    return request.headers.get("content-type", JSON).partition(";")[0].strip().lower()


def decode(body: bytes, model: type[Body], most: int = _MOST_ENTRIES) -> Body:
    """The request that a JSON body holds, no list of it longer than `most`. Raises RequestProblem: 400 or 422."""
    try:
        data = read_json(body)
    except ValueError as error:
        raise RequestProblem(400, f"the body is not JSON: {error}") from error
    if mistake := oversized(data, most):  # before millions of entries are looked at, each with a mistake of its own
        raise RequestProblem(422, mistake["detail"], errors=[mistake])
    try:
        return model.model_validate(data)
    except ValidationError as error:
        raise RequestProblem(422, "the request is not as /docs says", errors=_mistakes(error)) from error


def oversized(data: object, most: int = _MOST_ENTRIES, place: str = "") -> dict[str, str] | None:
    """The first list of more than `most` entries, or object of too many members, as a mistake; as deep as requests go."""
    if isinstance(data, list):
        if len(data) > most:
            detail = f"{len(data)} {place.rpartition('/')[2] or 'entries'}, at most {most} are allowed"
            return {"pointer": place, "detail": detail}
        children: Iterable[tuple[int | str, object]] = enumerate(data)
    elif isinstance(data, dict):
        if len(data) > _MOST_MEMBERS:
            return {"pointer": place, "detail": f"{len(data)} members, at most {_MOST_MEMBERS} are allowed"}
        children = data.items()
    else:
        return None
    if place.count("/") > _DEEPEST:
        return None
    return next((found for key, child in children if (found := oversized(child, most, place + _step(key)))), None)


def read_json(body: bytes) -> Any:
    """Strict JSON. Raises ValueError with one clear line."""
    try:
        return json.loads(body.decode("utf-8"), parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise ValueError(_reason(error)) from error


def first_mistake(error: ValidationError) -> str:
    """Where and what, in one line."""
    found = _mistakes(error)[0]
    return f"{found['pointer']}: {found['detail']}"


def options_of(asked: Asked, manifest: Manifest) -> Options:
    """How to score and decide. Raises RequestProblem for a threshold of a tag that the model does not know."""
    unknown = [tag for tag in asked.thresholds if tag not in manifest.tags][:MOST_MISTAKES]
    if unknown:
        allowed = ", ".join(manifest.tags)
        errors = [{"pointer": f"/thresholds{_step(tag)}", "detail": f"no tag of this model ({allowed})"} for tag in unknown]
        raise RequestProblem(422, f"unknown tags: {', '.join(map(repr, unknown))}; known: {allowed}", errors=errors)
    return Options(long=asked.long, thresholds=dict(asked.thresholds), sentences=asked.sentences)


def encode_head(manifest: Manifest, options: Options) -> dict[str, Any]:
    """The part of an answer that says who answered, and by which thresholds."""
    thresholds = dict(zip(manifest.tags, manifest.decisions.thresholds, strict=True))
    return {
        "model": {"version": manifest.name, "sha256": manifest.sha256},
        "thresholds": {**thresholds, **options.thresholds},
    }


def encode_usage(results: Sequence[Result]) -> dict[str, int]:
    """What was computed."""
    scored = [result for result in results if not result.error]
    return {
        "passages": len(scored),
        "tokens": sum(result.tokens + result.extra_tokens for result in scored),
        "truncated": sum(result.truncated for result in scored),
    }


def encode_result(name: str, result: Result, asked: Asked) -> dict[str, Any]:
    """One result as the answer holds it."""
    if result.error:
        return {"id": name, "error": {"code": result.error.code, "detail": result.error.detail}}
    encoded: dict[str, Any] = {
        "id": name,
        "tags": result.tags,
        **_shown_scores(result, asked),
        "review": result.review,
        "tokens": result.tokens,
        "truncated": result.truncated,
    }
    if result.parts is not None:
        encoded["parts"] = [
            {"start": part.start, "end": part.end, "tags": part.tags, **_shown_scores(part, asked), "tokens": part.tokens}
            for part in result.parts
        ]
    if result.sentences is not None:
        encoded["sentences"] = {
            tag: {"start": found.start, "end": found.end, "score": found.score} for tag, found in result.sentences.items()
        }
    return encoded


def _shown_scores(scored: Result | Part, asked: Asked) -> dict[str, Any]:
    scores = scored.scores
    if asked.top_k is not None:
        scores = dict(sorted(scores.items(), key=lambda entry: -entry[1])[: asked.top_k])
    shown: dict[str, Any] = {"scores": scores}
    if asked.logits:
        logits = dict(zip(scored.scores, scored.logits, strict=True))
        shown["logits"] = {tag: logits[tag] for tag in scores}
    return shown


def _mistakes(error: ValidationError) -> list[dict[str, str]]:
    found = error.errors(include_url=False, include_context=False, include_input=False)
    shown = [{"pointer": "".join(map(_step, one["loc"])), "detail": one["msg"]} for one in found[:MOST_MISTAKES]]
    left = len(found) - len(shown)
    return [*shown, {"pointer": "", "detail": f"{left} more mistakes"}] if left else shown


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
