"""What goes into the classifier and what comes out of it, as types: no model, no threads."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

LongPolicy: TypeAlias = Literal["error", "truncate", "split"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PassageIn:
    """A passage to score, with the lead-ins it hangs on, if any."""

    text: str
    context: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How passages are scored and decided."""

    long: LongPolicy = "error"
    """What becomes of a passage that is longer than the model reads."""
    thresholds: Mapping[str, float] = field(default_factory=dict)
    """Tag -> threshold, in place of the bundle's."""
    sentences: bool = False
    """Whether to say which sentence carries each tag; each sentence of a tagged passage is then scored too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemError:
    """Why one passage could not be scored."""

    code: Literal[
        "empty",
        "too_long",
        "lone_surrogate",
        "nul_character",
        "not_finite",
        "not_json",
        "not_a_passage",
        "line_too_long",
    ]
    """The last three are of lines of a stream."""
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A piece of a passage that was too long, scored alone. Offsets into the passage's text."""

    start: int
    end: int
    tags: list[str]
    scores: dict[str, float]
    logits: list[float]
    tokens: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Sentence:
    """The sentence that carries a tag (of very many, a few together). Offsets into the passage's text; `score` is its own."""

    start: int
    end: int
    score: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What the classifier says of one passage; `error` stands in place of all else when it could not be scored."""

    tags: list[str] = field(default_factory=list)
    scores: dict[str, float] = field(default_factory=dict)
    """Calibrated probability per tag, in tag order."""
    logits: list[float] = field(default_factory=list)
    """In tag order."""
    review: list[str] = field(default_factory=list)
    """Tags whose decision is not safe; never one whose threshold the caller chose."""
    tokens: int = 0
    """Tokens of the passage."""
    extra_tokens: int = 0
    """Tokens that were computed besides, for its sentences."""
    truncated: bool = False
    parts: list[Part] | None = None
    sentences: dict[str, Sentence] | None = None
    """Tag -> the sentence that carries it, for every tag given; None when it was not asked for."""
    error: ItemError | None = None
