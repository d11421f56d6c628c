"""The HTTP service, assembled: routes, middleware, error handlers, and what starts and ends with it.

uvicorn --factory serving.app:create_app       (or `tagger serve`, which checks address and keys first)
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import TypeAlias

from fastapi import FastAPI, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.exceptions import RequestValidationError
from fastapi_offline import FastAPIOffline
from starlette.exceptions import HTTPException

from serving import documents, status, tagging
from serving.classifier import Classifier
from serving.connections import SERVICE
from serving.draining import draining_first
from serving.keys import KeyRing, KeysError
from serving.labelling import jobs_route, labels_route, queue_route
from serving.middleware import AnswerUnknownErrors, CountRequests, LogRequests, SecureHeaders
from serving.openapi import add_bodies
from serving.problems import REASONS, RequestProblem, on_bad_query, on_http_exception, on_request_problem
from serving.service import Service, load_classifier, service_in
from serving.settings import Settings
from serving.swapping import watch_champion

Handler: TypeAlias = Callable[[Request, Exception], Awaitable[Response]]
_DESCRIPTION = """Tags passages of human-rights and policy texts: advocacy call, sanctions demand, victim-support measure,
historical case. A passage's scores never depend on what it is scored beside."""


def create_app(settings: Settings | None = None, classifier: Classifier | None = None) -> FastAPI:
    """The application. Without a classifier it loads the bundle when it starts, and raises BundleError then."""
    settings = settings or Settings()
    app: FastAPI = FastAPIOffline(
        title="Passage tagger", description=_DESCRIPTION, version="1", lifespan=_lifespan, redirect_slashes=False
    )
    ring = KeyRing(settings.keys_file)
    service = Service(settings=settings, keys=ring, loaded=classifier, keys_required=settings.keys_required or _has_keys(ring))
    app.state.service = service
    app.include_router(tagging.router)
    app.include_router(documents.router)
    app.include_router(labels_route.router)
    app.include_router(queue_route.router)
    app.include_router(jobs_route.router)
    app.include_router(status.router)
    app.add_exception_handler(RequestProblem, _counting(service, on_request_problem))
    app.add_exception_handler(RequestValidationError, _counting(service, on_bad_query))
    app.add_exception_handler(HTTPException, on_http_exception)
    app.add_middleware(AnswerUnknownErrors, metrics=service.metrics)
    app.add_middleware(SecureHeaders)
    app.add_middleware(CountRequests, metrics=service.metrics)
    app.add_middleware(LogRequests)
    add_bodies(app)
    return app


def _counting(service: Service, handler: Handler) -> Handler:
    """The handler, and a count of why a request was not scored."""

    async def counted(request: Request, error: Exception) -> Response:
        answer = await handler(request, error)
        if request.method == "POST":
            service.metrics.rejected.labels(REASONS[answer.status_code]).inc()
        return answer

    return counted


def _has_keys(ring: KeyRing) -> bool:
    """Whether requests need a key from the start; with a file that cannot be read they do."""
    try:
        return bool(ring.keys)
    except KeysError:
        return True


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[dict[str, Service]]:
    service = service_in(app)
    settings = service.settings
    classifier = service.loaded
    if classifier is None:
        classifier = await run_in_threadpool(load_classifier, settings)
    service.start(classifier)
    del classifier  # one that is swapped out must not live on here
    service.stopping = asyncio.Event()
    tasks = [service.watch_canaries(), service.watch_metrics()]
    if settings.bundle is None:
        tasks.append(watch_champion(service))
    watches = [asyncio.create_task(task) for task in tasks]
    try:
        with suppress(asyncio.CancelledError), draining_first(service):  # told twice to stop, the server cancels this
            yield {SERVICE: service}
    finally:
        for watch in watches:
            watch.cancel()
        await asyncio.wait(watches)
        service.canaries_right = False
        await asyncio.to_thread(service.reader.close)
        await asyncio.to_thread(service.classifier.close)
        await asyncio.to_thread(service.database.close)
        service.loaded, service.checks = None, []  # the application may live on; its model takes memory no more
