"""`/v1/jobs`: ask for a retraining, read how far it is, take it back.

The server only writes jobs down; `tagger worker` does them.
"""

from collections.abc import Callable
from typing import Annotated, TypeVar

from fastapi import APIRouter, Depends, Path, Query, Request
from fastapi.concurrency import run_in_threadpool
from sqlalchemy.exc import SQLAlchemyError

from labels.database import DatabaseError
from labels.jobs import Job, Jobs, NotWaitingError
from serving.access import caller_of, needs
from serving.api import JobRequest
from serving.labelling.answers import JobOut, JobsAnswer, LineOut
from serving.labelling.labels_route import database_away
from serving.openapi import body, problems, reference
from serving.problems import MEDIA_TYPE, RequestProblem
from serving.service import Service, service_of
from serving.wire import JSON, decode, media_type, read_body

router = APIRouter(dependencies=[Depends(needs("admin"))])
_Found = TypeVar("_Found")
_MOST_ID = 2**31 - 1
_DROPPING = problems(401, 403, 404, 409, 422, 503)
_DROPPING[409]["description"] = "Somebody is at the job, or it has ended."
_DROPPING[409]["content"][MEDIA_TYPE]["example"]["detail"] = "job 7 is running; only a job that waits can be dropped"


@router.post(
    "/v1/jobs",
    operation_id="ask_for_job",
    summary="Ask for a retraining",
    status_code=202,
    responses=problems(400, 401, 403, 408, 413, 415, 422, 503),
    openapi_extra=body({JSON: reference("JobRequest")}),
)
async def ask(request: Request) -> JobOut:
    """Put a job into the queue; the one that waits there already when it is the same."""
    service = service_of(request)
    if (kind := media_type(request)) != JSON:
        raise RequestProblem(415, f"the body is {kind!r}, send {JSON}")
    wanted = decode(await read_body(request, service.settings.max_body_bytes, service.settings.body_seconds), JobRequest)
    asked, who = {"profile": wanted.profile, "again": wanted.again}, caller_of(request)
    return await run_in_threadpool(_asked, service, lambda jobs: _shown(jobs.ask(wanted.kind, asked, who), []))


@router.get("/v1/jobs", operation_id="jobs", summary="The newest jobs", responses=problems(401, 403, 422, 503))
def newest(request: Request, most: Annotated[int, Query(ge=1, le=200, description="jobs at most")] = 20) -> JobsAnswer:
    """The newest jobs first, without their logs."""
    found = _asked(service_of(request), lambda jobs: jobs.newest(most))
    return JobsAnswer(jobs=[_shown(job, []) for job in found])


@router.get("/v1/jobs/{number}", operation_id="job", summary="How far a job is", responses=problems(401, 403, 404, 422, 503))
def job(
    request: Request,
    number: Annotated[int, Path(ge=1, le=_MOST_ID, description="its id")],
    after: Annotated[int, Query(ge=0, le=_MOST_ID, description="only lines of the log after this one")] = 0,
) -> JobOut:
    """A job with its log, while it runs too."""
    found = _asked(service_of(request), lambda jobs: (jobs.get(number), jobs.lines(number, after)))
    if found[0] is None:
        raise RequestProblem(404, f"there is no job {number}")
    return _shown(found[0], found[1])


@router.delete("/v1/jobs/{number}", operation_id="drop_job", summary="Take a job back", status_code=204, responses=_DROPPING)
def drop(request: Request, number: Annotated[int, Path(ge=1, le=_MOST_ID, description="its id")]) -> None:
    """A job that waits is done by nobody any more; its `state` is `dropped`."""
    service = service_of(request)
    try:
        found = _asked(service, lambda jobs: jobs.drop(number, who=caller_of(request), labels=service.store.newest()))
    except NotWaitingError as error:
        raise RequestProblem(409, str(error)) from error
    if not found:
        raise RequestProblem(404, f"there is no job {number}")


def _asked(service: Service, ask_for: Callable[[Jobs], _Found]) -> _Found:
    try:
        return ask_for(service.jobs)
    except (DatabaseError, SQLAlchemyError) as error:
        raise database_away() from error


def _shown(found: Job, lines: list[tuple[int, str, str]]) -> JobOut:
    return JobOut.model_validate(
        {name: getattr(found, name) for name in JobOut.model_fields if name != "log"}
        | {"log": [LineOut(id=number, at=at, line=line) for number, at, line in lines]}
    )
