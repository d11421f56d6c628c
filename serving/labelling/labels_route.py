"""`POST /v1/labels`: labels are added, all of a request or none, and are on disk when the answer comes."""

import logging

from fastapi import APIRouter, Depends, Request
from fastapi.concurrency import run_in_threadpool
from sqlalchemy.exc import SQLAlchemyError

from labels.database import DatabaseError
from labels.store import MAX_TEXT, Added, KeyReusedError, LabelsRefusedError, NewLabel
from serving.access import needs
from serving.answers import AddedOut, LabelsAnswer
from serving.api import LabelsRequest
from serving.model_input import model_input
from serving.openapi import body, problems, reference
from serving.problems import RequestProblem
from serving.service import Service, service_of
from serving.wire import JSON, decode, media_type, read_body

log = logging.getLogger("tagger")
MOST = 1000
"""Labels of one request."""
router = APIRouter(dependencies=[Depends(needs("label"))])


@router.post(
    "/v1/labels",
    operation_id="add_labels",
    summary="Add labels",
    responses=problems(400, 401, 403, 408, 409, 413, 415, 422, 503),
    openapi_extra=body({JSON: reference("LabelsRequest")}),
)
async def add_labels(request: Request) -> LabelsAnswer:
    """Add what annotators judged. A label whose `key` is known is not added again, so a request may be repeated."""
    service = service_of(request)
    if (kind := media_type(request)) != JSON:
        raise RequestProblem(415, f"the body is {kind!r}, send {JSON}")
    wanted = decode(await read_body(request, service.settings.max_body_bytes, service.settings.body_seconds), LabelsRequest)
    if len(wanted.labels) > MOST:
        detail = f"{len(wanted.labels)} labels, at most {MOST} are allowed"
        raise RequestProblem(422, detail, errors=[{"pointer": "/labels", "detail": detail}])
    new = [NewLabel(**{name: getattr(one, name) for name in type(one).model_fields}) for one in wanted.labels]
    codebook, added = await run_in_threadpool(_add, service, new)
    for one in added:
        service.metrics.labels.labels(one.status).inc()
    return LabelsAnswer(codebook=codebook, results=[AddedOut(key=one.key, status=one.status) for one in added])


def _empty(at: int) -> dict[str, str]:
    return {"pointer": f"/labels/{at}/text", "detail": "holds nothing once its marks are taken off"}


def _add(service: Service, new: list[NewLabel]) -> tuple[str, list[Added]]:
    # Not on the event loop: it takes seconds for texts full of accents. The store refuses longer ones by itself.
    if errors := [_empty(at) for at, one in enumerate(new) if len(one.text) <= MAX_TEXT and not model_input(one.text).text]:
        raise RequestProblem(422, "a text holds nothing once its marks are taken off", errors=errors)
    try:
        store = service.store
        return store.codebook.version, store.add(new)
    except LabelsRefusedError as error:
        errors = [{"pointer": f"/labels/{index}/{field}", "detail": text} for index, field, text in error.problems[:100]]
        raise RequestProblem(409 if isinstance(error, KeyReusedError) else 422, str(error), errors=errors) from error
    except (DatabaseError, SQLAlchemyError) as error:
        log.exception("the labels cannot be kept")
        raise database_away() from error


def database_away() -> RequestProblem:
    """What a caller is told while the database does not answer; nothing was kept."""
    return RequestProblem(503, "the database does not answer; nothing was kept", headers={"Retry-After": "2"})
