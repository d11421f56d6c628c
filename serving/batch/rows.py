"""The row that a passage becomes: what stands in every output format."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from serving.batch.items import Item
from serving.results import Result


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which rows are written, and with what."""

    text: bool = True
    tags: Sequence[str] = ()
    """Only passages that are given one of these tags; () wants all."""
    min_score: float = 0.0
    """Only passages with a score of at least this, of the tags wanted or of any."""

    @property
    def all(self) -> bool:
        """Whether no row is left out."""
        return not self.tags and self.min_score <= 0

    def takes(self, row: Mapping[str, Any]) -> bool:
        """Whether a row is written; one of a passage that could not be scored always is."""
        if self.all or "error" in row:
            return True
        if self.tags and not set(self.tags).intersection(row["tags"]):
            return False
        return any(row["scores"][tag] >= self.min_score for tag in (self.tags or row["scores"]))


def row_of(item: Item, result: Result | None, model: str, wanted: Wanted) -> dict[str, Any]:
    """The row of an item, whether it is wanted or not."""
    place = (
        item.place if wanted.text else {name: value for name, value in item.place.items() if name not in {"text", "context"}}
    )
    if result is None:
        return {**place, "error": {"code": item.code, "detail": item.problem}}
    if result.error:
        return {**place, "error": {"code": result.error.code, "detail": result.error.detail}}
    return {
        **place,
        "tags": result.tags,
        "scores": result.scores,
        "review": result.review,
        "tokens": result.tokens,
        "truncated": result.truncated,
        "model": model,
    }
