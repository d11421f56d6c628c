"""Answers of the HTTP API as types, with the examples that `/docs` shows."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict


def _example(**fields: Any) -> ConfigDict:
    """The settings of an answer that shows itself in the API's documentation."""
    return ConfigDict(json_schema_extra={"examples": [fields]})


class ErrorOut(BaseModel):
    """Why one passage could not be scored."""

    code: str
    detail: str


class PartOut(BaseModel):
    """A piece of a passage that was split, with offsets into its text."""

    start: int
    end: int
    tags: list[str]
    scores: dict[str, float]
    logits: dict[str, float] | None = None
    tokens: int


class SentenceOut(BaseModel):
    """The sentence that carries a tag, with offsets into the passage's text and the score that it has alone."""

    start: int
    end: int
    score: float


class ResultOut(BaseModel):
    """What the model says of one passage; with `error`, nothing else but `id` stands."""

    id: str
    tags: list[str] | None = None
    scores: dict[str, float] | None = None
    """Calibrated probability of each tag."""
    review: list[str] | None = None
    """Tags whose decision is not safe."""
    tokens: int | None = None
    truncated: bool | None = None
    logits: dict[str, float] | None = None
    parts: list[PartOut] | None = None
    sentences: dict[str, SentenceOut] | None = None
    """Tag -> the sentence that carries it."""
    error: ErrorOut | None = None


class DocumentResultOut(ResultOut):
    """One passage of a document; offsets are Unicode code points of the text that was sent, or that was extracted."""

    start: int
    end: int
    page: int | None = None
    """Of a PDF, from 1."""
    text: str | None = None
    context: str | None = None
    """The lead-ins that the passage was read with."""


class UsageOut(BaseModel):
    """What was computed for this answer."""

    passages: int
    """Scored ones."""
    tokens: int
    truncated: int
    """Passages of which the end was not read."""


class ModelRef(BaseModel):
    """Which bundle answered."""

    version: str
    sha256: str


class TagAnswer(BaseModel):
    """Results in the order of the request."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "model": {"version": "fast-0123456789ab", "sha256": "0123…"},
                    "thresholds": {"advocacy_call": 0.5, "sanctions_demand": 0.5},
                    "usage": {"passages": 1, "tokens": 13, "truncated": 0},
                    "results": [
                        {
                            "id": "0",
                            "tags": ["advocacy_call", "sanctions_demand"],
                            "scores": {"advocacy_call": 0.97, "sanctions_demand": 0.81},
                            "review": [],
                            "tokens": 13,
                            "truncated": False,
                        }
                    ],
                }
            ]
        }
    )

    model: ModelRef
    thresholds: dict[str, float]
    """Those that decided: the model's, or the request's."""
    usage: UsageOut
    results: list[ResultOut]


class DocumentAnswer(BaseModel):
    """The passages of a document in their order."""

    model_config = _example(
        model={"version": "fast-0123456789ab", "sha256": "0123…"},
        thresholds={"advocacy_call": 0.5, "sanctions_demand": 0.5},
        usage={"passages": 2, "tokens": 14, "truncated": 0},
        segmenter="1",
        characters=36,
        tags={"advocacy_call": 2, "sanctions_demand": 1},
        results=[
            {
                "start": 0,
                "end": 14,
                "text": "States should:",
                "context": "",
                "id": "0",
                "tags": ["advocacy_call"],
                "scores": {"advocacy_call": 0.95, "sanctions_demand": 0.05},
                "review": [],
                "tokens": 5,
                "truncated": False,
            },
            {
                "start": 17,
                "end": 36,
                "text": "freeze their assets",
                "context": "States should:",
                "id": "1",
                "tags": ["advocacy_call", "sanctions_demand"],
                "scores": {"advocacy_call": 0.97, "sanctions_demand": 0.88},
                "review": [],
                "tokens": 9,
                "truncated": False,
            },
        ],
    )

    model: ModelRef
    thresholds: dict[str, float]
    usage: UsageOut
    segmenter: str
    """Version of the rules that cut the text into passages."""
    characters: int
    """Of the text that was sent or extracted, in Unicode code points."""
    notes: list[str] | None = None
    """What of the document could not be read, though the rest could."""
    tags: dict[str, int]
    """Tag -> passages that have it."""
    results: list[DocumentResultOut]


class TagOut(BaseModel):
    """A tag and what it means."""

    name: str
    title: str
    definition: str
    threshold: float


class TagsAnswer(BaseModel):
    """The tags in the order of the model's logits."""

    model_config = _example(
        codebook="1.1",
        tags=[
            {
                "name": "advocacy_call",
                "title": "Advocacy call",
                "definition": "Someone asks others to do something in public life.",
                "threshold": 0.5,
            }
        ],
    )

    codebook: str
    tags: list[TagOut]


class ModelAnswer(BaseModel):
    """What serves, and how good it is on documents that it has not seen."""

    model_config = _example(
        version="fast-0123456789ab",
        sha256="0123…",
        profile="fast",
        provisional=False,
        base_model="sentence-transformers/all-MiniLM-L6-v2",
        max_tokens=384,
        segmenter="1",
        codebook="1.1",
        trained_on={"passages": 4579, "authored": 3995, "advocacy_call": 1253},
        metrics={"macro_f1": 0.7, "tags": {"advocacy_call": {"f1": 0.9, "positives": 185}}},
    )

    version: str
    sha256: str
    profile: str
    provisional: bool
    base_model: str
    max_tokens: int
    segmenter: str
    codebook: str
    trained_on: dict[str, int]
    metrics: dict[str, Any]
    """Leave-one-document-out figures, per tag; {} when provisional."""


class HealthAnswer(BaseModel):
    """`ok`, or what stands in the way."""

    model_config = _example(status="ok")

    status: str


class ProblemOut(BaseModel):
    """An error as RFC 9457 defines it."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    errors: list[dict[str, str]] | None = None
    """Each thing wrong with the request: `pointer` into the body, `detail`."""


class AddedOut(BaseModel):
    """What became of one label."""

    key: str
    """Its name, yours or the one that it was given."""
    status: Literal["added", "changed", "unchanged", "repeated"]
    """`changed`: it supersedes an earlier one of its annotator. `repeated`: the key was known, nothing was added."""


class LabelsAnswer(BaseModel):
    """What became of the labels, in the order of the request. All of them are kept when this is answered."""

    model_config = _example(codebook="1.1", results=[{"key": "review-17", "status": "added"}])

    codebook: str
    results: list[AddedOut]
