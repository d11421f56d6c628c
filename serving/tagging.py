"""Routes that tag: one text or many passages, or a stream of them. They decode, ask the classifier, encode."""

import json
import logging
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response

from serving.access import needs
from serving.answers import TagAnswer
from serving.api import Asked, TagRequest
from serving.asked import REFUSALS, STREAM_OPTIONS, asked_in_query, check_query, deadline, engine, gone, refused, timing
from serving.ndjson import LOST, MEDIA_TYPES, Incoming, LinesResponse, StreamEndedError, passages_of
from serving.openapi import body, problems, reference
from serving.problems import CLIENT_GONE, REASONS, RequestProblem
from serving.results import PassageIn
from serving.scheduler import DeadlineExceededError, HangError, QueueFullError, StoppedError
from serving.service import Service, service_of
from serving.waiting import CallerGoneError, score, score_in_order
from serving.wire import JSON, decode, encode_head, encode_result, encode_usage, media_type, options_of, read_body

log = logging.getLogger("tagger")

router = APIRouter(dependencies=[Depends(needs("tag"))])
_LINE_EXAMPLE = '{"id": "p1", "text": "We urge the Council to act."}\n{"id": "p2", "text": "Page 3"}\n'
_ANSWER_EXAMPLE = (
    '{"id": "p1", "tags": ["advocacy_call"], "scores": {"advocacy_call": 0.97}, "review": [], "tokens": 9, '
    '"truncated": false}\n'
)


@router.post(
    "/v1/tag",
    operation_id="tag",
    summary="Tag a text or a list of passages",
    response_model=TagAnswer,
    responses=problems(400, *REFUSALS),
    openapi_extra=body({JSON: reference("TagRequest")}),
)
async def tag(request: Request) -> Response:
    """Tag one text or many passages; a passage that cannot be scored has an `error` of its own."""
    started, service = time.monotonic(), service_of(request)
    if (kind := media_type(request)) != JSON:
        raise RequestProblem(415, f"the body is {kind!r}, send {JSON}")
    check_query(request)
    wanted = decode(await _read(request, service), TagRequest, service.settings.max_passages)
    if wanted.passages is None:
        passages, ids = [PassageIn(text=wanted.text or "", context=wanted.context)], ["0"]
    else:
        passages = [PassageIn(text=passage.text, context=passage.context) for passage in wanted.passages]
        ids = [str(index) if passage.id is None else passage.id for index, passage in enumerate(wanted.passages)]
    classifier = engine(service)
    options = options_of(wanted, classifier.manifest)
    try:
        scored = await score(classifier, passages, options, deadline(wanted, started), lambda: gone(request))
    except (DeadlineExceededError, QueueFullError, CallerGoneError, HangError, StoppedError) as error:
        raise refused(wanted, error) from error
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
    return Response(content, media_type=JSON, headers=timing(started, queue=scored.queued, score=scored.computed))


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
async def stream(request: Request, asked: Annotated[Asked, Depends(asked_in_query)]) -> Response:
    """Lines of JSON in (`text`, `context`, `id`), a result a line out as soon as it is there; of any length.

    A line that cannot be scored has an `error`, and the stream goes on. The model stands in the header `Tagger-Model`.
    """
    service = service_of(request)
    if (kind := media_type(request)) not in MEDIA_TYPES:
        raise RequestProblem(415, f"the body is {kind!r}, send {MEDIA_TYPES[0]}")
    check_query(request, STREAM_OPTIONS)
    classifier, settings = engine(service), service.settings
    options = options_of(asked, classifier.manifest)
    incoming = Incoming(request.receive, service.stopping, settings.body_seconds, request.scope.get(LOST))

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
        except StoppedError:
            code, detail = "draining", "this process has to end before it gets to the rest; the stream ends here"
        except Exception:
            log.exception("a stream failed")
        else:
            return
        finally:
            incoming.close()
        service.metrics.rejected.labels(code).inc()
        yield {"error": {"code": code, "detail": detail}}  # the status has been sent: a last line says it

    return LinesResponse(lines(), {"Tagger-Model": classifier.manifest.name}, settings.body_seconds)


async def _read(request: Request, service: Service) -> bytes:
    return await read_body(request, service.settings.max_body_bytes, service.settings.body_seconds)
