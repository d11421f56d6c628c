"""Routes that tell of the service itself: its tags, its model, its health, its metrics. They compute nothing."""

from typing import Any

from fastapi import APIRouter, Depends, Request, Response
from starlette.responses import PlainTextResponse

from serving.access import needs
from serving.answers import HealthAnswer, ModelAnswer, TagOut, TagsAnswer
from serving.openapi import problems
from serving.problems import RequestProblem
from serving.service import service_of

router = APIRouter()
_guarded: dict[str, Any] = {"responses": problems(401, 403), "dependencies": [Depends(needs("tag"))]}


@router.get("/v1/tags", operation_id="tags", summary="The tags and what they mean", **_guarded)
async def tags(request: Request) -> TagsAnswer:
    """The tags in the order of the logits, with their definitions and thresholds."""
    manifest = service_of(request).classifier.manifest
    return TagsAnswer(
        codebook=manifest.codebook,
        tags=[
            TagOut(name=name, title=manifest.titles[name], definition=manifest.definitions[name], threshold=threshold)
            for name, threshold in zip(manifest.tags, manifest.decisions.thresholds, strict=True)
        ],
    )


@router.get("/v1/model", operation_id="model", summary="What serves, and how good it is", **_guarded)
async def model(request: Request) -> ModelAnswer:
    """The bundle that serves, with its leave-one-document-out figures."""
    manifest = service_of(request).classifier.manifest
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


@router.get(
    "/metrics",
    operation_id="metrics",
    summary="Counts and times, for Prometheus",
    response_class=PlainTextResponse,
    **_guarded,
)
async def metrics(request: Request) -> Response:
    """Counts and times of all replicas, in Prometheus' text format."""
    return Response(service_of(request).metrics_text(), media_type="text/plain; version=0.0.4; charset=utf-8")


@router.get("/health/live", operation_id="live", summary="The process lives")
async def live() -> HealthAnswer:
    """The process lives; nothing is computed."""
    return HealthAnswer(status="ok")


@router.get("/health/ready", operation_id="ready", summary="Known passages are scored right", responses=problems(503))
async def ready(request: Request) -> HealthAnswer:
    """Whether the last background check scored the canaries right; the probe itself computes nothing."""
    if reason := service_of(request).unready():
        raise RequestProblem(503, reason)
    return HealthAnswer(status="ok")
