"""Answers of the routes around labels, as types, with the examples that `/docs` shows."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict


class NearOut(BaseModel):
    """The tag whose score is nearest to its threshold: why a passage is worth a label."""

    tag: str
    score: float
    threshold: float


class PassageToLabel(BaseModel):
    """A passage that the model is not sure of."""

    document: str
    text: str
    context: str
    tags: list[str]
    """Those that the model gives it: a suggestion, no label."""
    scores: dict[str, float]
    uncertainty: float
    """From 0 to 1, which it is on the threshold."""
    why: NearOut
    model: str
    """The bundle that scored it."""


class QueueAnswer(BaseModel):
    """What to label next, the most useful passage first."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "passages": [
                        {
                            "document": "report-2026",
                            "text": "freeze their assets",
                            "context": "States should:",
                            "tags": ["advocacy_call"],
                            "scores": {"advocacy_call": 0.97, "sanctions_demand": 0.48},
                            "uncertainty": 0.9601,
                            "why": {"tag": "sanctions_demand", "score": 0.48, "threshold": 0.5},
                            "model": "fast-0123456789ab",
                        }
                    ],
                    "waiting": 1,
                }
            ]
        }
    )

    passages: list[PassageToLabel]
    waiting: int
    """How many without a label are kept to choose from."""


class LineOut(BaseModel):
    """A line of a job's log."""

    id: int
    at: str
    line: str


class JobOut(BaseModel):
    """A job, and how far it is."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "id": 7,
                    "kind": "retrain",
                    "asked": {"profile": "accurate", "again": False},
                    "who": "api",
                    "at": "2026-11-22T10:00:00.000+00:00",
                    "state": "running",
                    "started": "2026-11-22T10:00:02.000+00:00",
                    "ended": None,
                    "step": "evaluating without 000 (1 of 5)",
                    "result": None,
                    "log": [
                        {
                            "id": 1,
                            "at": "2026-11-22T10:00:03.000+00:00",
                            "line": "584 reviewed passages, 40 added, 3995 authored",
                        }
                    ],
                }
            ]
        }
    )

    id: int
    kind: str
    asked: dict[str, Any]
    who: str
    at: str
    state: Literal["queued", "running", "done", "failed", "dropped"]
    started: str | None
    ended: str | None
    step: str | None
    """What it is at."""
    result: dict[str, Any] | None
    """Once it has ended: the challenger, whether it was promoted, why, and what each gate said; or `error`."""
    log: list[LineOut]


class JobsAnswer(BaseModel):
    """The newest jobs first, without their logs."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"jobs": []}]})

    jobs: list[JobOut]
