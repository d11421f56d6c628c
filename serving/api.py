"""Requests of the HTTP API as types: what `/docs` shows and what bodies are checked against."""

from typing import Annotated, Literal, Self

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
    id: Annotated[str, Field(max_length=256), AfterValidator(_encodable)] | None = None
    """Echoed in the answer; default: the passage's index, as a string."""


class Asked(_Strict):
    """How passages are scored, and what of it the answer shows: the same for texts, documents and streams."""

    long: Literal["error", "truncate", "split"] = "error"
    """What to do with a passage that is longer than the model reads."""
    thresholds: dict[str, Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]] = Field(default_factory=dict)
    """Tag -> threshold, in place of the model's own; such a tag is never listed for review."""
    top_k: int | None = Field(default=None, ge=1)
    """Show only the scores of the so many most likely tags, highest first; `tags` are not touched."""
    logits: bool = False
    """Show what the model gave before calibration."""
    sentences: bool = False
    """Show which sentence carries each tag; scores each sentence of a tagged passage too."""
    timeout_ms: int | None = Field(default=None, ge=1, le=600_000)
    """Milliseconds after which the answer is no longer wanted (504); a stream has none."""


class TagRequest(Asked):
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
            ],
            "oneOf": [
                {"required": ["text"], "properties": {"text": {"type": "string"}, "passages": {"type": "null"}}},
                {
                    "required": ["passages"],
                    "properties": {"passages": {"type": "array"}, "text": {"type": "null"}, "context": {"const": ""}},
                },
            ],
        },
    )

    text: AnyText | None = None
    context: AnyText = ""
    passages: list[PassageBody] | None = None

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.text is None) == (self.passages is None):
            message = "give either `text` or `passages`"
            raise ValueError(message)
        if self.passages is not None and self.context:
            message = "`context` goes with `text`; a passage has its own"
            raise ValueError(message)
        return self


class DocumentRequest(Asked):
    """A whole document, text or Markdown."""

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        json_schema_extra={"examples": [{"text": "# Statement\n\nWe urge the Council to act.\n\n- freeze their assets\n"}]},
    )

    text: AnyText
    texts: bool = True
    """Show the text and the context of each passage beside its offsets."""


class LabelBody(_Strict):
    """What somebody judged of one passage."""

    document: AnyText
    """Your id of the document: what is held out together when models are compared."""
    text: AnyText
    context: AnyText = ""
    """The lead-ins that the passage hangs on."""
    tags: dict[str, bool | None]
    """True, false, or null for a tag that was not judged; one that is missing was not judged."""
    annotator: AnyText
    kind: Literal["human", "llm", "rule"] = "human"
    suggested: bool = False
    """Whether the annotator was shown the model's tags before judging."""
    codebook: str = ""
    """The version by which it was judged; default: the present one."""
    key: AnyText = ""
    """Your name for this judgement: sent again, it is not added again."""


class LabelsRequest(_Strict):
    """Labels to add: all or none."""

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        json_schema_extra={
            "examples": [
                {
                    "labels": [
                        {
                            "key": "review-17",
                            "document": "report-2024",
                            "text": "We urge the Council to act.",
                            "tags": {"advocacy_call": True, "sanctions_demand": False},
                            "annotator": "maria",
                        }
                    ]
                }
            ]
        },
    )

    labels: list[LabelBody] = Field(min_length=1)


class JobRequest(_Strict):
    """Work to be done by the worker."""

    model_config = ConfigDict(extra="forbid", strict=True, json_schema_extra={"examples": [{"profile": "accurate"}]})

    kind: Literal["retrain"] = "retrain"
    profile: Literal["accurate", "fast", "quick"] = "accurate"
    again: bool = False
    """Even if this very run was made before."""
