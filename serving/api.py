"""Requests and answers of the HTTP API as types: what `/docs` shows and what bodies are checked against."""

from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, InstanceOf, WithJsonSchema, model_validator

# A lone surrogate is a mistake of one passage, not of the request: texts are checked by the classifier, item by item.
AnyText = Annotated[InstanceOf[str], WithJsonSchema({"type": "string"})]


def _encodable(value: str) -> str:
    """The value itself. Raises ValueError for a lone surrogate, which no answer could echo."""
    value.encode("utf-8")  # UnicodeEncodeError is a ValueError
    return value


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class PassageBody(_Strict):
    """One passage of a request."""

    text: AnyText
    context: AnyText = ""
    """The lead-ins that the passage hangs on."""
    id: Annotated[str, AfterValidator(_encodable)] | None = None
    """Echoed in the answer; default: the passage's index, as a string."""


class TagRequest(_Strict):
    """Either `text` (with `context`) or `passages`."""

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        json_schema_extra={
            "examples": [
                {"text": "We urge the Council to impose an arms embargo."},
                {
                    "passages": [
                        {"id": "p1", "text": "ensure access to shelters for survivors", "context": "States should:"},
                        {"id": "p2", "text": "In 1963 a coup toppled the president after months of protest."},
                    ],
                    "long": "split",
                },
            ]
        },
    )

    text: AnyText | None = None
    context: AnyText = ""
    passages: list[PassageBody] | None = None
    long: Literal["error", "truncate", "split"] = "error"
    """What to do with a passage that is longer than the model reads."""
    timeout_ms: int | None = Field(default=None, ge=1, le=600_000)
    """Milliseconds after which the answer is no longer wanted (504)."""

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.text is None) == (self.passages is None):
            message = "give either `text` or `passages`"
            raise ValueError(message)
        if self.passages is not None and self.context:
            message = "`context` goes with `text`; a passage has its own"
            raise ValueError(message)
        return self


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
    tokens: int


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
    parts: list[PartOut] | None = None
    error: ErrorOut | None = None


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
    results: list[ResultOut]


class TagOut(BaseModel):
    """A tag and what it means."""

    name: str
    title: str
    definition: str
    threshold: float


class TagsAnswer(BaseModel):
    """The tags in the order of the model's logits."""

    codebook: str
    tags: list[TagOut]


class ModelAnswer(BaseModel):
    """What serves, and how good it is on documents that it has not seen."""

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

    status: str


class ProblemOut(BaseModel):
    """An error as RFC 9457 defines it."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    errors: list[dict[str, str]] | None = None
    """Each thing wrong with the request: `pointer` into the body, `detail`."""
