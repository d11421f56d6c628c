"""Passages that the model is unsure of, kept in the database while a run goes on, to be labelled (`tagger labels queue`)."""

from collections.abc import Mapping

from sqlalchemy import Engine

from labels.seen import SeenPassage, keep
from labels.store import MAX_TEXT
from labels.uncertainty import NEAR, nearest
from serving.batch.local import Scored
from serving.bundle import Manifest
from serving.results import PassageIn


class Keeping:
    """Keeps what is near a threshold of the model; those that a caller chose are no matter, since labels teach the model.

    What is scored again after a stop is kept again, in the same row: a passage of a document stands there once.
    """

    def __init__(self, engine: Engine, manifest: Manifest) -> None:
        """`engine` from `labels.database.open_database`."""
        self._engine = engine
        self._bundle = manifest.name
        self._thresholds = dict(zip(manifest.tags, manifest.decisions.thresholds, strict=True))

    def take(self, chunk: Scored) -> None:
        """Keep of a chunk what is worth a label. Raises DatabaseError."""
        found = (
            self._worth_a_label(item.place["document"], item.passage, result.scores)
            for item, result in chunk
            if item.passage and result
        )
        keep(self._engine, filter(None, found))

    def _worth_a_label(self, document: str, passage: PassageIn, scores: Mapping[str, float]) -> SeenPassage | None:
        near = nearest(scores, self._thresholds)
        if near is None or near.uncertainty < NEAR or max(len(passage.text), len(passage.context)) > MAX_TEXT:
            return None
        return SeenPassage(
            document=document,
            text=passage.text,
            context=passage.context,
            scores=dict(scores),
            uncertainty=near.uncertainty,
            bundle=self._bundle,
        )
