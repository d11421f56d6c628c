"""The HTTP service: decodes requests, asks the classifier, encodes answers. Nothing else.

uvicorn --factory serving.app:create_app       (or `tagger serve`, which checks address and keys first)
"""

import asyncio
import json
import logging
import math
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import Depends, FastAPI, Request, Response
from fastapi.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.responses import PlainTextResponse

from serving.api import HealthAnswer, ModelAnswer, ProblemOut, TagAnswer, TagOut, TagRequest, TagsAnswer
from serving.classifier import Classifier, PassageIn
from serving.keys import KeyRing, KeysError
from serving.metrics import CountRequests, Metrics
from serving.problems import MEDIA_TYPE, RequestProblem, on_http_exception, on_request_problem, on_unknown_error
from serving.scheduler import DeadlineExceededError, QueueFullError
from serving.settings import Settings
from serving.waiting import score
from serving.wire import decode_request, encode_result, read_body

log = logging.getLogger("tagger")

_PROBLEM: dict[str, Any] = {"content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/ProblemOut"}}}}
_TAG_PROBLEMS: dict[int | str, dict[str, Any]] = {
    400: {"description": "The body is not JSON.", **_PROBLEM},
    401: {"description": "No key, or an unknown one.", **_PROBLEM},
    403: {"description": "The key does not allow this.", **_PROBLEM},
    408: {"description": "The body did not arrive in time.", **_PROBLEM},
    413: {"description": "The body is too large.", **_PROBLEM},
    415: {"description": "The body is of another type than JSON.", **_PROBLEM},
    422: {"description": "The body is JSON and not a request; or the one `text` cannot be scored.", **_PROBLEM},
    429: {"description": "The queue is full; `Retry-After` says when there will be room.", **_PROBLEM},
    504: {"description": "The deadline has passed.", **_PROBLEM},
}
_MISSED_CHECKS = 3
_CHECK_SECONDS = 5.0
"""What a check itself may take on a busy machine."""
_BODY = {"required": True, "content": {"application/json": {"schema": {"$ref": "#/components/schemas/TagRequest"}}}}


def create_app(settings: Settings | None = None, classifier: Classifier | None = None) -> FastAPI:
    """The application. Without a classifier it loads the bundle when it starts, and raises BundleError then."""
    settings = settings or Settings()
    app = FastAPI(
        title="Passage tagger",
        description="Tags passages of human-rights and policy texts.",
        version="1",
        lifespan=_lifespan,
    )
    app.state.settings = settings
    app.state.keys = KeyRing(settings.keys_file)
    app.state.classifier = classifier
    app.state.keys_required = False
    app.state.metrics = Metrics()
    app.add_middleware(CountRequests, metrics=app.state.metrics)
    app.state.canaries_right = False
    app.state.canaries_checked = 0.0
    app.add_exception_handler(RequestProblem, on_request_problem)
    app.add_exception_handler(HTTPException, on_http_exception)
    app.add_exception_handler(Exception, on_unknown_error)
    _add_routes(app)
    generated = app.openapi

    def openapi() -> dict[str, Any]:
        schema = generated()
        body = TagRequest.model_json_schema(ref_template="#/components/schemas/{model}")
        definitions = body.pop("$defs", {})
        problem = ProblemOut.model_json_schema()
        schema["components"]["schemas"] |= {"TagRequest": body, "ProblemOut": problem, **definitions}
        return schema

    app.openapi = openapi  # type: ignore[method-assign]  # the way that FastAPI documents for changing the schema
    return app


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    settings: Settings = app.state.settings
    classifier: Classifier | None = app.state.classifier
    if classifier is None:
        classifier = await run_in_threadpool(Classifier.load, settings.champion, settings.threads, settings.max_queue_tokens)
        app.state.classifier = classifier
    app.state.canaries_right, app.state.canaries_checked = True, time.monotonic()
    app.state.metrics.serves(classifier.manifest, classifier.scheduler)
    app.state.metrics.ready.set_function(lambda: float(_unready(app) is None))
    watch = asyncio.create_task(_watch_canaries(app, classifier, settings.canary_seconds))
    try:
        yield
    finally:
        watch.cancel()
        app.state.canaries_right = False
        classifier.close()


async def _watch_canaries(app: FastAPI, classifier: Classifier, seconds: float) -> None:
    while True:
        await asyncio.sleep(seconds)
        try:
            await asyncio.to_thread(classifier.check_canaries)  # not in the pool that requests may fill
        except Exception:  # whatever a broken engine raises: not ready, and the process stays
            app.state.canaries_right = False
            log.exception("the canaries are no longer scored right")
        else:
            app.state.canaries_right, app.state.canaries_checked = True, time.monotonic()


def _classifier(request: Request) -> Classifier:
    classifier: Classifier = request.app.state.classifier
    return classifier


def _may_tag(request: Request) -> None:
    """Let a request pass that holds a key with scope `tag`; on a server that never had a key, let all pass.

    Once there was a key, revoking the last one shuts the server: it never opens it.
    """
    ring: KeyRing = request.app.state.keys
    try:
        request.app.state.keys_required = bool(ring.keys) or request.app.state.keys_required
    except KeysError as error:
        log.exception("the keys cannot be read")
        raise RequestProblem(503, "the keys of this server cannot be read") from error
    if not request.app.state.keys_required:
        return
    scheme, _, key = request.headers.get("authorization", "").partition(" ")
    scopes = ring.scopes_of(key.strip()) if scheme.lower() == "bearer" else None
    if scopes is None:
        detail = "send a key as `Authorization: Bearer KEY`; `tagger keys create` makes one"
        raise RequestProblem(401, detail, headers={"WWW-Authenticate": "Bearer"})
    if not {"tag", "admin"} & set(scopes):
        raise RequestProblem(403, f"the key has the scopes {', '.join(scopes)}; this needs tag")


def _add_routes(app: FastAPI) -> None:
    app.add_api_route(
        "/v1/tag",
        tag,
        methods=["POST"],
        response_model=TagAnswer,
        responses=_TAG_PROBLEMS,
        openapi_extra={"requestBody": _BODY},
        operation_id="tag",
        dependencies=[Depends(_may_tag)],
        summary="Tag a text or a list of passages",
    )
    guarded: dict[int | str, dict[str, Any]] = {401: _TAG_PROBLEMS[401], 403: _TAG_PROBLEMS[403]}
    app.add_api_route(
        "/v1/tags",
        tags,
        methods=["GET"],
        response_model=TagsAnswer,
        responses=guarded,
        operation_id="tags",
        dependencies=[Depends(_may_tag)],
        summary="The tags and what they mean",
    )
    app.add_api_route(
        "/v1/model",
        model,
        methods=["GET"],
        response_model=ModelAnswer,
        responses=guarded,
        operation_id="model",
        dependencies=[Depends(_may_tag)],
        summary="What serves, and how good it is",
    )
    app.add_api_route(
        "/metrics",
        metrics,
        methods=["GET"],
        response_class=PlainTextResponse,
        responses=guarded,
        operation_id="metrics",
        dependencies=[Depends(_may_tag)],
        summary="Counts and times, for Prometheus",
    )
    app.add_api_route(
        "/health/live", live, methods=["GET"], response_model=HealthAnswer, operation_id="live", summary="The process lives"
    )
    app.add_api_route(
        "/health/ready",
        ready,
        methods=["GET"],
        response_model=HealthAnswer,
        responses={503: {"description": "Known passages are not scored right.", **_PROBLEM}},
        operation_id="ready",
        summary="Known passages are scored right",
    )


async def tag(request: Request) -> Response:
    """Tag one text or many passages; a passage that cannot be scored has an `error` of its own."""
    started = time.monotonic()
    settings: Settings = request.app.state.settings
    classifier = _classifier(request)
    wanted = decode_request(
        request, await read_body(request, settings.max_body_bytes, settings.body_seconds), settings.max_passages
    )
    if wanted.passages is None:
        passages = [PassageIn(text=wanted.text or "", context=wanted.context)]
        ids = ["0"]
    else:
        passages = [PassageIn(text=passage.text, context=passage.context) for passage in wanted.passages]
        ids = [str(index) if passage.id is None else passage.id for index, passage in enumerate(wanted.passages)]
    counted: Metrics = request.app.state.metrics
    deadline = started + wanted.timeout_ms / 1000 if wanted.timeout_ms else None
    try:
        results = await score(request, classifier, passages, wanted.long, deadline)
    except DeadlineExceededError as error:
        counted.rejected.labels("deadline").inc()
        raise RequestProblem(504, f"{wanted.timeout_ms} ms have passed") from error
    except QueueFullError as error:
        counted.rejected.labels("queue_full").inc()
        seconds = max(1, math.ceil(error.retry_after))
        detail = f"the queue is full; try again in {seconds} s"
        raise RequestProblem(429, detail, headers={"Retry-After": str(seconds)}) from error
    if wanted.passages is None and (error_of_text := results[0].error):
        pointer = {"pointer": "/text", "detail": error_of_text.detail}
        raise RequestProblem(422, f"{error_of_text.code}: {error_of_text.detail}", errors=[pointer])
    manifest = classifier.manifest
    answer = {
        "model": {"version": manifest.name, "sha256": manifest.sha256},
        "thresholds": dict(zip(manifest.tags, manifest.decisions.thresholds, strict=True)),
        "results": [encode_result(name, result) for name, result in zip(ids, results, strict=True)],
    }
    return Response(json.dumps(answer, ensure_ascii=False), media_type="application/json")


async def tags(request: Request) -> TagsAnswer:
    """The tags in the order of the logits, with their definitions and thresholds."""
    manifest = _classifier(request).manifest
    return TagsAnswer(
        codebook=manifest.codebook,
        tags=[
            TagOut(name=name, title=manifest.titles[name], definition=manifest.definitions[name], threshold=threshold)
            for name, threshold in zip(manifest.tags, manifest.decisions.thresholds, strict=True)
        ],
    )


async def model(request: Request) -> ModelAnswer:
    """The bundle that serves, with its leave-one-document-out figures."""
    manifest = _classifier(request).manifest
    return ModelAnswer(
        version=manifest.name,
        sha256=manifest.sha256,
        profile=manifest.profile,
        provisional=manifest.provisional,
        base_model=manifest.base_model,
        max_tokens=manifest.max_tokens,
        segmenter=manifest.segmenter,
        codebook=manifest.codebook,
        trained_on=manifest.trained_on,
        metrics=manifest.metrics,
    )


async def live() -> HealthAnswer:
    """The process lives; nothing is computed."""
    return HealthAnswer(status="ok")


async def ready(request: Request) -> HealthAnswer:
    """Whether the last background check scored the canaries right; the probe itself computes nothing."""
    if reason := _unready(request.app):
        raise RequestProblem(503, reason)
    return HealthAnswer(status="ok")


def _unready(app: FastAPI) -> str | None:
    """Why the service is not ready, or None."""
    if not app.state.canaries_right:
        return "known passages are not scored right; the log of the server says more"
    age = time.monotonic() - app.state.canaries_checked
    if age > _MISSED_CHECKS * app.state.settings.canary_seconds + _CHECK_SECONDS:
        return f"known passages were last scored {age:.0f} s ago: the engine hangs"
    return None


async def metrics(request: Request) -> Response:
    """Counts and times of this process, in Prometheus' text format."""
    return Response(request.app.state.metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")
