"""Passages that batch scoring was told to keep for labelling: their texts, and what the model made of them.

A passage of a document stands here once, with its latest scores, until the table is emptied; one that has a label is not
listed any more.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import ColumnElement, Engine, and_, delete, exists, func, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import OperationalError

from labels.database import DatabaseError, alone
from labels.store import passage_key
from labels.tables import labels, seen

MAX_DOCUMENT = 300
"""Characters of a document's id."""
_INSERTS: dict[str, Any] = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}
_LATEST = ("scores", "uncertainty", "bundle", "at")
"""What another run replaces."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenPassage:
    """A passage with its scores."""

    document: str
    text: str
    context: str
    scores: dict[str, float]
    uncertainty: float
    """By the thresholds of the bundle: see `labels.uncertainty`."""
    bundle: str
    """The name of the one that scored it."""

    @property
    def passage(self) -> str:
        """What makes two rows of a document rows of one passage."""
        return passage_key(self.text, self.context)


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelledPassage:
    """A passage that has a label."""

    document: str
    passage: str
    text: str


def keep(engine: Engine, passages: Iterable[SeenPassage]) -> None:
    """Keep passages; of one that is kept already, the new scores. Raises DatabaseError."""
    at = datetime.now(UTC).isoformat(timespec="milliseconds")
    rows = {(one.document, one.passage): {**_values(one), "at": at} for one in passages}
    if not rows:
        return
    insert = _INSERTS[engine.dialect.name](seen)
    insert = insert.on_conflict_do_update(
        index_elements=["document", "passage"], set_={name: insert.excluded[name] for name in _LATEST}
    )
    try:
        with alone(engine) as connection:
            connection.execute(insert, list(rows.values()))
    except OperationalError as error:
        url = engine.url.render_as_string(hide_password=True)
        message = f"{url}: passages cannot be kept for labelling: {str(error.orig).strip()}"
        raise DatabaseError(message) from error


def waiting(engine: Engine, *, most: int, of_document: int, document: str | None = None) -> Iterator[SeenPassage]:
    """The most uncertain passages that have no label, so many at most, and of one document so many at most; surest last."""
    rank = func.row_number().over(partition_by=seen.c.document, order_by=(seen.c.uncertainty.desc(), seen.c.id))
    ranked = select(seen.c.id, rank.label("rank")).where(_waits(document)).subquery()
    wanted = (
        select(seen.c.document, seen.c.text, seen.c.context, seen.c.scores, seen.c.uncertainty, seen.c.bundle)
        .join(ranked, ranked.c.id == seen.c.id)
        .where(ranked.c.rank <= of_document)
        .order_by(seen.c.uncertainty.desc(), seen.c.id)
        .limit(most)
    )
    with engine.connect() as connection:
        for row in connection.execute(wanted):
            yield SeenPassage(**row._mapping)  # noqa: SLF001 - the public name of a row's mapping


def count_waiting(engine: Engine, document: str | None = None) -> int:
    """How many passages are kept and have no label."""
    with engine.connect() as connection:
        return int(connection.execute(select(func.count()).select_from(seen).where(_waits(document))).scalar_one())


def labelled(engine: Engine, most: int | None = None) -> list[LabelledPassage]:
    """The passages of the store that have a label, the latest first, at most so many."""
    latest = select(func.max(labels.c.id)).group_by(labels.c.document, labels.c.passage)
    wanted = select(labels.c.document, labels.c.passage, labels.c.text).where(labels.c.id.in_(latest))
    with engine.connect() as connection:
        rows = connection.execute(wanted.order_by(labels.c.id.desc()).limit(most)).mappings()
        return [LabelledPassage(**row) for row in rows]


def forget(engine: Engine) -> int:
    """Delete all passages that are kept; how many there were."""
    with alone(engine) as connection:
        return connection.execute(delete(seen)).rowcount


def _waits(document: str | None) -> ColumnElement[bool]:
    """Whether a row has no label, and is of the document if one is named."""
    unlabelled = ~exists().where(labels.c.document == seen.c.document, labels.c.passage == seen.c.passage)
    return unlabelled if document is None else and_(unlabelled, seen.c.document == document)


def _values(one: SeenPassage) -> dict[str, Any]:
    return {
        "document": one.document[-MAX_DOCUMENT:],  # of a path the end tells more
        "passage": one.passage,
        "text": one.text,
        "context": one.context,
        "scores": one.scores,
        "uncertainty": one.uncertainty,
        "bundle": one.bundle,
    }
