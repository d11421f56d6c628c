"""Routes that tag: one text or many passages, a whole document, a stream. They decode, ask the classifier, encode."""

import asyncio
import json
import logging
import math
import time
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query, Request, Response

from labels.passages import Passage, split_passages
from serving.access import needs
from serving.answers import DocumentAnswer, TagAnswer
from serving.api import Asked, DocumentRequest, TagRequest
from serving.classifier import Classifier
from serving.ndjson import MEDIA_TYPES, Incoming, LinesResponse, StreamEndedError, passages_of
from serving.openapi import body, problems, reference
from serving.problems import CLIENT_GONE, REASONS, RequestProblem
from serving.results import PassageIn, Result
from serving.scheduler import DeadlineExceededError, HangError, QueueFullError
from serving.service import Service, service_of
from serving.waiting import CallerGoneError, Item, score, score_in_order
from serving.wire import JSON, caller_gone, decode, encode_head, encode_result, encode_usage, media_type, options_of, read_body

log = logging.getLogger("tagger")

router = APIRouter(dependencies=[Depends(needs("tag"))])
PLAIN_TYPES = ("text/plain", "text/markdown")
_REFUSALS = (401, 403, 408, 413, 415, 422, 429, 500, 503, 504)
_LINE_EXAMPLE = '{"id": "p1", "text": "We urge the Council to act."}\n{"id": "p2", "text": "Page 3"}\n'
_ANSWER_EXAMPLE = (
    '{"id": "p1", "tags": ["advocacy_call"], "scores": {"advocacy_call": 0.97}, "review": [], "tokens": 9, '
    '"truncated": false}\n'
)


def _asked(
    long: Annotated[Literal["error", "truncate", "split"], Query(description="What to do with too long a passage.")] = "error",
    top_k: Annotated[int | None, Query(ge=1, description="Show only the scores of so many tags.")] = None,
    threshold: Annotated[list[str], Query(description="`tag:value`, in place of the model's own; may be repeated.")] = [],  # noqa: B006 - FastAPI copies it
    logits: Annotated[bool, Query(description="Show what the model gave before calibration.")] = False,  # noqa: FBT002 - a query
    sentences: Annotated[bool, Query(description="Show which sentence carries each tag.")] = False,  # noqa: FBT002 - a query
    timeout_ms: Annotated[
        int | None, Query(ge=1, le=600_000, description="Of a document: when the answer is no longer wanted.")
    ] = None,
) -> Asked:
    """The options of a request whose body has no room for them."""
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
    return Asked(long=long, top_k=top_k, thresholds=thresholds, logits=logits, sentences=sentences, timeout_ms=timeout_ms)


@router.post(
    "/v1/tag",
    operation_id="tag",
    summary="Tag a text or a list of passages",
    response_model=TagAnswer,
    responses=problems(400, *_REFUSALS),
    openapi_extra=body({JSON: reference("TagRequest")}),
)
async def tag(request: Request) -> Response:
    """Tag one text or many passages; a passage that cannot be scored has an `error` of its own."""
    started, service = time.monotonic(), service_of(request)
    if (kind := media_type(request)) != JSON:
        raise RequestProblem(415, f"the body is {kind!r}, send {JSON}")
    wanted = decode(await _read(request, service), TagRequest)
    if wanted.passages is None:
        passages, ids = [PassageIn(text=wanted.text or "", context=wanted.context)], ["0"]
    else:
        if len(wanted.passages) > service.settings.max_passages:
            detail = f"{len(wanted.passages)} passages, at most {service.settings.max_passages} are allowed"
            raise RequestProblem(422, detail, errors=[{"pointer": "/passages", "detail": detail}])
        passages = [PassageIn(text=passage.text, context=passage.context) for passage in wanted.passages]
        ids = [str(index) if passage.id is None else passage.id for index, passage in enumerate(wanted.passages)]
    classifier = _engine(service)
    options = options_of(wanted, classifier.manifest)
    try:
        scored = await score(classifier, passages, options, _deadline(wanted, started), lambda: _gone(request))
    except (DeadlineExceededError, QueueFullError, CallerGoneError, HangError) as error:
        raise _refused(wanted, error) from error
    service.metrics.scored(scored.results)
    if wanted.passages is None and (error_of_text := scored.results[0].error):
        pointer = {"pointer": "/text", "detail": error_of_text.detail}
        raise RequestProblem(422, f"{error_of_text.code}: {error_of_text.detail}", errors=[pointer])
    answer = {
        **encode_head(classifier.manifest, options),
        "usage": encode_usage(scored.results),
        "results": [encode_result(name, result, wanted) for name, result in zip(ids, scored.results, strict=True)],
    }
    content = json.dumps(answer, ensure_ascii=False)
    return Response(content, media_type=JSON, headers=_timing(started, queue=scored.queued, score=scored.computed))


@router.post(
    "/v1/documents",
    operation_id="documents",
    summary="Tag the passages of a whole document",
    response_model=DocumentAnswer,
    responses=problems(400, *_REFUSALS),
    openapi_extra=body(
        {
            JSON: reference("DocumentRequest"),
            "text/plain": {"schema": {"type": "string"}, "example": "We urge the Council to act."},
            "text/markdown": {"schema": {"type": "string"}, "example": "# Statement\n\n- freeze their assets\n"},
        }
    ),
)
async def documents(request: Request, asked: Annotated[Asked, Depends(_asked)]) -> Response:
    """Cut a text or Markdown document into passages and tag each, read with the lead-ins that it hangs on."""
    started, service = time.monotonic(), service_of(request)
    wanted = await _document(request, service, asked)
    classifier = _engine(service)
    deadline = _deadline(wanted, started)
    left = None if deadline is None else max(0.0, deadline - time.monotonic())
    try:
        async with asyncio.timeout(left):
            found = await asyncio.get_running_loop().run_in_executor(service.cutter, split_passages, wanted.text)
    except TimeoutError as error:
        raise _refused(wanted, DeadlineExceededError()) from error
    limit = service.settings.max_document_passages
    if len(found) > limit:
        detail = f"{len(found)} passages, at most {limit} are allowed; `tagger score` takes documents of any length"
        raise RequestProblem(422, detail)
    options = options_of(wanted, classifier.manifest)
    results: list[Result] = []
    scoring = score_in_order(classifier, _each(found), options, deadline=deadline, gone=lambda: _gone(request))
    try:
        results = [result async for _, result in scoring]
    except (DeadlineExceededError, CallerGoneError, HangError) as error:
        raise _refused(wanted, error) from error
    service.metrics.scored(results)
    counts = Counter(name for result in results for name in result.tags)
    answer = {
        **encode_head(classifier.manifest, options),
        "usage": encode_usage(results),
        "segmenter": classifier.manifest.segmenter,
        "characters": len(wanted.text),
        "tags": {name: counts[name] for name in classifier.manifest.tags},
        "results": [
            {
                "start": passage.start,
                "end": passage.end,
                **({"text": passage.text, "context": passage.context} if wanted.texts else {}),
                **encode_result(str(index), result, wanted),
            }
            for index, (passage, result) in enumerate(zip(found, results, strict=True))
        ],
    }
    return Response(json.dumps(answer, ensure_ascii=False), media_type=JSON, headers=_timing(started))


@router.post(
    "/v1/tag/stream",
    operation_id="stream",
    summary="Tag passages as they arrive, one a line",
    response_class=Response,
    responses={
        200: {
            "description": "One result a line, in order.",
            "content": {MEDIA_TYPES[0]: {"schema": {"type": "string"}, "example": _ANSWER_EXAMPLE}},
        },
        **problems(401, 403, 415, 422, 500, 503),
    },
    openapi_extra=body({MEDIA_TYPES[0]: {"schema": {"type": "string"}, "example": _LINE_EXAMPLE}}),
)
async def stream(request: Request, asked: Annotated[Asked, Depends(_asked)]) -> Response:
    """Lines of JSON in (`text`, `context`, `id`), a result a line out as soon as it is there; of any length.

    A line that cannot be scored has an `error`, and the stream goes on. The model stands in the header `Tagger-Model`.
    """
    service = service_of(request)
    if (kind := media_type(request)) not in MEDIA_TYPES:
        raise RequestProblem(415, f"the body is {kind!r}, send {MEDIA_TYPES[0]}")
    classifier, settings = _engine(service), service.settings
    options = options_of(asked, classifier.manifest)
    incoming = Incoming(request.receive, service.stopping, settings.body_seconds)

    async def lines() -> AsyncGenerator[dict[str, Any], None]:
        items = passages_of(incoming.chunks(), settings.max_body_bytes)
        code, detail = "internal", "an internal error; the stream ends here"
        try:
            async with aclosing(score_in_order(classifier, items, options, gone=incoming.gone)) as scored:
                async for item, result in scored:
                    service.metrics.scored([result])
                    yield encode_result(item.id, result, asked)
        except (CallerGoneError, GeneratorExit) as error:  # the second: cut off, since it does not read
            service.metrics.rejected.labels(REASONS[CLIENT_GONE]).inc()
            if isinstance(error, GeneratorExit):
                raise
            return
        except StreamEndedError as error:
            code, detail = error.code, str(error)
        except Exception:
            log.exception("a stream failed")
        else:
            return
        finally:
            incoming.close()
        service.metrics.rejected.labels(code).inc()
        yield {"error": {"code": code, "detail": detail}}  # the status has been sent: a last line says it

    return LinesResponse(lines(), {"Tagger-Model": classifier.manifest.name}, settings.body_seconds)


def _engine(service: Service) -> Classifier:
    """The classifier. Raises RequestProblem when its threads hang: each further request would cost another one."""
    if reason := service.hanging():
        raise RequestProblem(503, reason)
    return service.classifier


async def _document(request: Request, service: Service, asked: Asked) -> DocumentRequest:
    kind = media_type(request)
    if kind not in {JSON, *PLAIN_TYPES}:
        raise RequestProblem(415, f"the body is {kind!r}, send one of {', '.join((*PLAIN_TYPES, JSON))}")
    if kind == JSON and request.query_params:
        detail = "options of a JSON body stand in the body, not in the query"
        raise RequestProblem(422, detail, errors=[{"pointer": f"/{name}", "detail": detail} for name in request.query_params])
    content = await _read(request, service)
    if kind == JSON:
        wanted = decode(content, DocumentRequest)
    else:
        try:
            wanted = DocumentRequest(text=content.decode("utf-8"), **asked.model_dump())
        except UnicodeDecodeError as error:
            raise RequestProblem(400, f"the body is not UTF-8: byte {error.start} is {content[error.start]:#04x}") from error
    try:
        wanted.text.encode()
    except UnicodeEncodeError as error:
        detail = f"character {error.start} is a lone surrogate"
        raise RequestProblem(422, detail, errors=[{"pointer": "/text", "detail": detail}]) from error
    return wanted


async def _read(request: Request, service: Service) -> bytes:
    return await read_body(request, service.settings.max_body_bytes, service.settings.body_seconds)


async def _each(passages: list[Passage]) -> AsyncIterator[Item]:
    for index, passage in enumerate(passages):
        yield Item(id=str(index), passage=PassageIn(text=passage.text, context=passage.context))


async def _gone(request: Request) -> None:
    """Return when the caller has gone; the body has been read, so nothing else can come."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _deadline(wanted: Asked, started: float) -> float | None:
    return started + wanted.timeout_ms / 1000 if wanted.timeout_ms else None


def _refused(wanted: Asked, error: Exception) -> RequestProblem:
    """What the caller is told when the work was not done."""
    if isinstance(error, QueueFullError):
        seconds = max(1, math.ceil(error.retry_after))
        return RequestProblem(429, f"the queue is full; try again in {seconds} s", headers={"Retry-After": str(seconds)})
    if isinstance(error, DeadlineExceededError):
        return RequestProblem(504, f"{wanted.timeout_ms} ms have passed")
    if isinstance(error, HangError):
        return RequestProblem(500, "the engine did not come back from a passage of this request, and was given up")
    return caller_gone()


def _timing(started: float, **parts: float) -> dict[str, str]:
    """The header Server-Timing (W3C), in milliseconds."""
    parts["total"] = time.monotonic() - started
    return {"Server-Timing": ", ".join(f"{name};dur={seconds * 1000:.1f}" for name, seconds in parts.items())}
