"""Where passages to label come from: the table that batch scoring keeps them in, or files that it wrote."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from sqlalchemy import Engine

from labels.seen import count_waiting, labelled, waiting
from labels.store import passage_key
from labels.uncertainty import nearest
from serving.batch.scores import read_scores
from serving.bundle import BundleError, Manifest, read_bundle
from serving.labelling.choice import POOL, SHARE, Candidate, chosen, of_document, pool

_LABELLED = 2000
"""Of the labelled passages so many of the latest are compared with, so that the time does not grow with the store."""
_OF_ONE_TAG = 20_000
"""Kept passages that are looked at for one tag: their order in the database is that of all tags together."""
_PLACE = ("start", "end", "page", "line", "row", "id")
Thresholds = Callable[[str], Mapping[str, float]]
"""Name of a bundle -> tag -> threshold. Raises BundleError."""


class QueueError(Exception):
    """Raised when it cannot be said what to label next; the message is for people."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What is asked for."""

    size: int
    tag: str | None = None
    """By this tag alone."""
    document: str | None = None
    """Of this document alone."""
    share: float = SHARE
    """Of the queue that one document may fill."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Queue:
    """What to label next."""

    passages: list[Candidate]
    """The most useful one first."""
    waiting: int
    """How many without a label there are to choose from."""


def queue_of_kept(engine: Engine, thresholds: Thresholds, wanted: Wanted) -> Queue:
    """Of the passages that batch scoring kept. Raises BundleError, sqlalchemy's errors when the database does not answer."""
    most = _OF_ONE_TAG if wanted.tag else max(POOL, 4 * wanted.size)
    of_one = most if wanted.tag else of_document(wanted.size)
    candidates = (
        _candidate(one.document, one.text, one.context, one.scores, one.bundle, {}, thresholds(one.bundle), wanted.tag)
        for one in waiting(engine, most=most, of_document=of_one, document=wanted.document)
    )
    found = pool(filter(None, candidates), wanted.size)
    texts = [one.text for one in labelled(engine, _LABELLED)] if found else []
    return Queue(passages=chosen(found, texts, wanted.size, wanted.share), waiting=count_waiting(engine, wanted.document))


def queue_of_files(engine: Engine, paths: Sequence[Path], thresholds: Thresholds, wanted: Wanted) -> Queue:
    """Of outputs of `tagger score`; the database is only asked what has a label. Raises QueueError, ScoresError, OSError."""
    done = labelled(engine)
    known = {(one.document, one.passage) for one in done}
    number = 0

    def candidates() -> Iterator[Candidate | None]:
        nonlocal number
        for row in _rows(paths, wanted.document):
            document, text, context = str(row["document"]), row["text"], row.get("context") or ""
            if (document, passage_key(text, context)) in known:
                continue
            number += 1
            bundle = str(row.get("model") or "")
            place = {name: row[name] for name in _PLACE if name in row}
            scores = {tag: score for tag, score in row["scores"].items() if score is not None and 0 <= score <= 1}
            yield _candidate(document, text, context, scores, bundle, place, thresholds(bundle), wanted.tag)

    found = pool(filter(None, candidates()), wanted.size)
    texts = [one.text for one in done[:_LABELLED]]
    return Queue(passages=chosen(found, texts, wanted.size, wanted.share), waiting=number)


def thresholds_in(models: Path, otherwise: Manifest | None) -> Thresholds:
    """Those of the bundle that scored a passage, when it is in `models`; else those of `otherwise`, if there is one.

    Thresholds that a caller chose for a run are no matter: what is learnt is learnt for the model's own.
    """
    known: dict[str, Mapping[str, float]] = {}

    def find(bundle: str) -> Mapping[str, float]:
        if bundle not in known:
            try:
                known[bundle] = _thresholds(models / bundle) if bundle else _of(otherwise)
            except BundleError:
                known[bundle] = _of(otherwise)
        return known[bundle]

    return find


@lru_cache(maxsize=32)
def _thresholds(folder: Path) -> Mapping[str, float]:
    """Those of a bundle, which never change: it is named by its content. Raises BundleError."""
    return _of(read_bundle(folder))


def _of(manifest: Manifest | None) -> Mapping[str, float]:
    if manifest is None:
        message = "the bundle that scored these passages is not here, and there is no champion: name one with --bundle"
        raise BundleError(message)
    return dict(zip(manifest.tags, manifest.decisions.thresholds, strict=True))


def _candidate(
    document: str,
    text: str,
    context: str,
    scores: Mapping[str, float],
    bundle: str,
    place: Mapping[str, Any],
    thresholds: Mapping[str, float],
    tag: str | None,
) -> Candidate | None:
    """The passage with what the model makes of it; None when it has no score of the tags asked for."""
    near = nearest({tag: scores[tag]} if tag in scores else {}, thresholds) if tag else nearest(scores, thresholds)
    if near is None:
        return None
    return Candidate(
        document=document,
        text=text,
        context=context,
        scores=scores,
        tags=[name for name, score in scores.items() if name in thresholds and score >= thresholds[name]],
        near=near,
        bundle=bundle,
        place=place,
    )


def _rows(paths: Iterable[Path], document: str | None) -> Iterator[dict[str, Any]]:
    """The rows of passages that were scored. Raises QueueError for one without its text."""
    for path in paths:
        for number, row in enumerate(read_scores(path), start=1):
            if "error" in row or (document is not None and row["document"] != document):
                continue
            if not isinstance(row.get("text"), str):
                message = f"{path}: row {number}: text: is not there (a run with --no-text?); what is to be labelled needs it"
                raise QueueError(message)
            scores = row.get("scores")
            if not isinstance(scores, dict) or any(isinstance(one, bool | str | list | dict) for one in scores.values()):
                message = f"{path}: row {number}: scores: {scores!r} is no object of a number a tag"
                raise QueueError(message)
            yield row
