"""Labels added while the service runs: append-only rows of a database, apart from the reviewed base in git.

A row is one annotator's judgement of one passage: true, false or not judged (null) a tag. A later row of the same annotator
and passage supersedes the earlier one and names it; nothing is overwritten. A row whose key is known is not added again, so
that a caller who got no answer can simply send it once more.
"""

import hashlib
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from sqlalchemy import Connection, Engine, func, select

from labels.annotations import KINDS
from labels.codebook import Codebook
from labels.database import alone
from labels.tables import labels

MAX_TEXT = 20_000
"""Characters of a passage; its context may have as many."""
_LENGTHS = {"key": 200, "document": 300, "annotator": 120, "source": 300}
_PIECE = 400
"""Keys asked for at once: SQLite bounds the number of values in a statement."""
Status = Literal["added", "changed", "unchanged", "repeated"]


@dataclass(frozen=True, slots=True, kw_only=True)
class NewLabel:
    """What somebody judged of a passage."""

    document: str
    """The caller's id of the document: what is held out together."""
    text: str
    tags: Mapping[str, bool | None]
    """True, false, or null for a tag that was not judged; one that is missing was not judged."""
    annotator: str
    context: str = ""
    kind: str = "human"
    codebook: str = ""
    """The version by which it was judged; default: the present one."""
    suggested: bool = False
    """Whether the annotator was shown the model's tags before judging."""
    source: str = "api"
    key: str = ""
    """Makes sending again harmless; without one a row that says what the annotator's current one says is not added."""

    @property
    def passage(self) -> str:
        """What makes two rows of a document rows of one passage."""
        return passage_key(self.text, self.context)


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """A row of the store."""

    id: int
    key: str
    document: str
    passage: str
    text: str
    context: str
    tags: dict[str, bool | None]
    annotator: str
    kind: str
    codebook: str
    suggested: bool
    source: str
    at: str
    """ISO 8601, UTC."""
    supersedes: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Added:
    """What became of a label: `changed` supersedes the annotator's earlier row, `repeated` had a known key."""

    status: Status
    key: str
    id: int
    """Of the row that holds it."""


class LabelsRefusedError(ValueError):
    """Raised when labels cannot be added; nothing was. `problems`: index of the label, field, and what is wrong."""

    def __init__(self, problems: Sequence[tuple[int, str, str]]) -> None:
        """The message is the first problem."""
        index, field, message = problems[0]
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        super().__init__(f"label {index}: {field}: {message}{more}")
        self.problems = problems


class KeyReusedError(LabelsRefusedError):
    """Raised when a key is known and stands for something else."""


def passage_key(text: str, context: str = "") -> str:
    """Identity of a passage within its document: hash of context and text."""
    return hashlib.sha256(f"{context}\x1f{text}".encode("utf-8", "surrogatepass")).hexdigest()


class LabelStore:
    """The labels of one database. Thread-safe; several processes may write."""

    def __init__(self, engine: Engine, codebook: Codebook) -> None:
        """`engine` from `labels.database.open_database`."""
        self.engine = engine
        self.codebook = codebook

    def add(self, new: Sequence[NewLabel], *, dry: bool = False) -> list[Added]:
        """Add labels, all or none; `dry` only says what would become of each.

        Raises LabelsRefusedError for labels that are not right, KeyReusedError for a key that stands for something else.
        """
        if problems := [(at, field, text) for at, one in enumerate(new) for field, text in problems_of(one, self.codebook)]:
            raise LabelsRefusedError(problems)
        if dry:  # reads only: nobody waits for it
            with self.engine.connect() as connection:
                return _Adding(self.codebook, connection, new).planned(None)
        with alone(self.engine) as connection:
            return _Adding(self.codebook, connection, new).planned(connection)

    def current(self) -> list[Label]:
        """Each annotator's latest row of each passage, in the order in which they were added."""
        with self.engine.connect() as connection:
            return _current(connection)

    def rows(self, after: int = 0) -> list[Label]:
        """Every row, superseded ones too, whose id is above `after`."""
        with self.engine.connect() as connection:
            return [*_rows(connection.execute(select(labels).where(labels.c.id > after).order_by(labels.c.id)).mappings())]

    def newest(self) -> int:
        """The id of the latest row; 0 when there is none."""
        with self.engine.connect() as connection:
            return int(connection.execute(select(func.max(labels.c.id))).scalar() or 0)

    def count(self, after: int = 0) -> int:
        """How many rows were added after that one."""
        with self.engine.connect() as connection:
            return int(connection.execute(select(func.count()).where(labels.c.id > after)).scalar_one())


class _Adding:
    """Labels on their way into the store: what each becomes, beside what is there."""

    def __init__(self, codebook: Codebook, connection: Connection, new: Sequence[NewLabel]) -> None:
        """Read the rows that matter to these labels. Raises KeyReusedError."""
        self._codebook, self._new = codebook, new
        self._known = _by_key(connection, [one.key for one in new if one.key])
        self._current = {
            (one.document, one.passage, one.annotator): one
            for one in _current(connection, {(one.document, one.passage) for one in new})
        }
        self._after = int(connection.execute(select(func.max(labels.c.id))).scalar() or 0)
        self._waiting: list[Label] = []
        if reused := [problem for at, one in enumerate(new) if (problem := self._reused(at, one))]:
            raise KeyReusedError(reused)

    def planned(self, connection: Connection | None) -> list[Added]:
        """What becomes of the labels; without a connection nothing is written. Raises KeyReusedError."""
        added: list[Added] = []
        for at, one in enumerate(self._new):
            added.append(self._add(at, one))
            if connection is not None and len(self._waiting) >= _PIECE:
                self._write(connection)
        if connection is not None:
            self._write(connection)
        return added

    def _write(self, connection: Connection) -> None:
        """Ids are given here and not by the database, so that rows can name each other: the writer is alone."""
        if self._waiting:
            connection.execute(labels.insert(), [asdict(row) for row in self._waiting])
            self._waiting = []

    def _reused(self, at: int, new: NewLabel) -> tuple[int, str, str] | None:
        """What is wrong with a key that is known, if it stands for something else."""
        found = self._known.get(new.key) if new.key else None
        field = _difference(_values(new, self._codebook, found), found) if found else None
        if found is None or field is None:
            return None
        # Whoever knows a key need not know the passage behind it.
        was = "another one" if field in {"text", "context", "passage"} else repr(getattr(found, field))
        return at, "key", f"{new.key!r} was used for another label already: its {field} was {was}"

    def _add(self, at: int, new: NewLabel) -> Added:
        if new.key and (found := self._known.get(new.key)):
            if problem := self._reused(at, new):  # by a label of the same request
                raise KeyReusedError([problem])
            return Added(status="repeated", key=found.key, id=found.id)
        earlier = self._current.get((new.document, new.passage, new.annotator))
        values = _values(new, self._codebook, earlier=earlier)
        if earlier and not new.key and _difference(values, earlier) is None:
            return Added(status="unchanged", key=earlier.key, id=earlier.id)
        self._after += 1
        row = Label(
            id=self._after,
            key=new.key or uuid.uuid4().hex,
            at=datetime.now(UTC).isoformat(timespec="milliseconds"),
            supersedes=earlier.id if earlier else None,
            **values,
        )
        self._waiting.append(row)
        self._known[row.key] = self._current[row.document, row.passage, row.annotator] = row
        return Added(status="changed" if earlier else "added", key=row.key, id=row.id)


def problems_of(label: NewLabel, codebook: Codebook) -> Iterator[tuple[str, str]]:
    """Field and message of everything that is wrong with a label."""
    for field, most in _LENGTHS.items():
        yield from ((field, text) for text in _bad_text(getattr(label, field), most, needed=field != "key"))
    for field in ("document", "annotator"):  # who 'maria ' is besides 'maria' nobody sees, and both would have a vote
        if (name := getattr(label, field)).strip() not in ("", name):
            yield field, f"{name!r} begins or ends with a blank, it is {name.strip()!r} that is meant"
    yield from (("text", text) for text in _bad_text(label.text, MAX_TEXT, needed=True))
    yield from (("context", text) for text in _bad_text(label.context, MAX_TEXT, needed=False))
    if label.kind not in KINDS:
        yield "kind", f"{label.kind!r} is none of {', '.join(KINDS)}"
    if label.codebook not in ("", codebook.version):
        yield "codebook", f"judged by version {label.codebook!r}, the codebook is {codebook.version!r}"
    yield from _bad_tags(label.tags, codebook)


def _bad_tags(tags: Mapping[str, object], codebook: Codebook) -> Iterator[tuple[str, str]]:
    for name, holds in tags.items():
        if name not in codebook.names:
            yield "tags", f"unknown tag {name!r} (known: {', '.join(codebook.names)})"
        if holds is not None and not isinstance(holds, bool):
            yield "tags", f"{name}: {holds!r} is not true, false or null"
    if all(tags.get(name) is None for name in codebook.names):
        yield "tags", "no tag was judged; give at least one of them true or false"
    for tag in codebook.tags:
        for implied in tag.implies:
            if tags.get(tag.name) and not tags.get(implied):
                yield "tags", f"{tag.name} holds, so {implied} must hold too"


def _bad_text(value: str, most: int, *, needed: bool) -> Iterator[str]:
    if needed and not value.strip():
        yield "is empty"
    if len(value) > most:
        yield f"has {len(value)} characters, at most {most} are allowed"
    if "\0" in value:
        yield "holds the character NUL"
    if any("\ud800" <= mark <= "\udfff" for mark in value):
        yield "holds half a character (a lone surrogate)"


def _values(new: NewLabel, codebook: Codebook, known: Label | None = None, earlier: Label | None = None) -> dict[str, Any]:
    """The columns that say what was judged; a version that was not named is that of the row `known`, if there is one.

    A tag that is not named is what it was in the row `known`, or in the annotator's `earlier` one of the same codebook: who
    judges tag by tag takes nothing back. null does.
    """
    version = known.codebook if known else codebook.version
    before = known or (earlier if earlier and earlier.codebook == version else None)
    names = known.tags if known else codebook.names
    tags = {name: new.tags[name] if name in new.tags else before.tags.get(name) if before else None for name in names}
    for tag in codebook.tags:
        if tags.get(tag.name) and tag.name not in new.tags and any(tags.get(one) is False for one in tag.implies):
            tags[tag.name] = False
    values = asdict(new) | {"passage": new.passage, "tags": tags, "codebook": new.codebook or version}
    del values["key"]
    return values


def _difference(values: Mapping[str, Any], row: Label) -> str | None:
    """The first field in which a row says something else; where it came from is no matter."""
    return next((name for name, value in values.items() if name != "source" and getattr(row, name) != value), None)


def _current(connection: Connection, passages: Iterable[tuple[str, str]] | None = None) -> list[Label]:
    """Each annotator's latest row, of all passages or of these (document, passage)."""
    latest = select(func.max(labels.c.id)).group_by(labels.c.document, labels.c.passage, labels.c.annotator)
    if passages is None:
        return [*_rows(connection.execute(select(labels).where(labels.c.id.in_(latest)).order_by(labels.c.id)).mappings())]
    found: list[Label] = []
    wanted = set(passages)
    for keys in _pieces(key for _, key in wanted):
        some = latest.where(labels.c.passage.in_(keys))
        rows = connection.execute(select(labels).where(labels.c.id.in_(some)).order_by(labels.c.id)).mappings()
        found += (row for row in _rows(rows) if (row.document, row.passage) in wanted)
    return found


def _by_key(connection: Connection, keys: Iterable[str]) -> dict[str, Label]:
    found: dict[str, Label] = {}
    for piece in _pieces(keys):
        rows = connection.execute(select(labels).where(labels.c.key.in_(piece))).mappings()
        found |= {row.key: row for row in _rows(rows)}
    return found


def _pieces(values: Iterable[str]) -> Iterator[list[str]]:
    ordered = sorted(set(values))
    return (ordered[start : start + _PIECE] for start in range(0, len(ordered), _PIECE))


def _rows(found: Iterable[Mapping[Any, Any]]) -> Iterator[Label]:
    return (Label(**row) for row in found)
