"""`GET /v1/labels/queue`: what to label next, of the passages that batch scoring was told to keep."""

import logging
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request
from sqlalchemy.exc import SQLAlchemyError

from labels.database import DatabaseError
from serving.access import needs
from serving.labelling.answers import QueueAnswer
from serving.labelling.candidates import Wanted, queue_of_kept, thresholds_in
from serving.labelling.queue import line_of
from serving.openapi import problems
from serving.problems import RequestProblem
from serving.service import service_of

log = logging.getLogger("tagger")
MOST = 200
"""Passages of one answer."""
router = APIRouter(dependencies=[Depends(needs("label"))])


@router.get(
    "/v1/labels/queue",
    operation_id="label_queue",
    summary="What to label next",
    responses=problems(401, 403, 422, 503),
)
def queue(
    request: Request,
    size: Annotated[int, Query(ge=1, le=MOST, description="passages at most")] = 20,
    tag: Annotated[str | None, Query(description="by this tag alone")] = None,
    document: Annotated[str | None, Query(max_length=300, description="of this document alone")] = None,
) -> QueueAnswer:
    """Passages that `tagger score --to-queue` kept and nobody has labelled, chosen by uncertainty, diversity and document."""
    service = service_of(request)
    manifest = service.classifier.manifest
    if tag is not None and tag not in manifest.tags:
        detail = f"{tag!r} is no tag of this model (tags: {', '.join(manifest.tags)})"
        raise RequestProblem(422, detail, errors=[{"pointer": "/tag", "detail": detail}])
    if document is not None and "\0" in document:  # which no database would look for
        detail = "the character NUL stands in no document's id"
        raise RequestProblem(422, detail, errors=[{"pointer": "/document", "detail": detail}])
    wanted = Wanted(size=size, tag=tag, document=document)
    try:
        found = queue_of_kept(service.store.engine, thresholds_in(service.settings.models, manifest), wanted)
    except (DatabaseError, SQLAlchemyError) as error:
        log.exception("the database does not answer")
        raise RequestProblem(503, "the database of this server does not answer") from error
    return QueueAnswer.model_validate({"passages": [line_of(one) for one in found.passages], "waiting": found.waiting})
