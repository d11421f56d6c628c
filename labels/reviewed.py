"""Labels of the store that were reviewed: rows of `labels/annotations/reviewed/*.jsonl`, part of the base in git.

A row carries its text, since the documents of callers are not among the seeds. One that names a seed and a passage of it
replaces that passage's gold label; any other is a gold passage of a further document.
"""

import datetime as dt
import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from labels.adjudication import GoldRow
from labels.annotations import read_object, text_sha256
from labels.codebook import Codebook
from labels.problems import Problem
from labels.store import passage_key

FOLDER = "reviewed"
"""Within `labels/annotations`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReviewedRow:
    """One reviewed passage. Field names are those of the JSON row."""

    document: str
    text: str
    context: str
    text_sha256: str
    tags: dict[str, bool | None]
    annotators: list[str]
    disputed: list[str]
    """Tags on which the annotators differed; the reviewer decided them."""
    reviewer: str
    reason: str
    """Why it was decided so; may be empty when nothing was disputed."""
    codebook: str
    created: str
    """When it was reviewed: ISO 8601, UTC; the day at least."""

    @property
    def passage(self) -> str:
        """`labels.store.passage_key` of text and context."""
        return passage_key(self.text, self.context)


def read_reviewed(folder: Path, codebook: Codebook) -> tuple[list[ReviewedRow], list[Problem]]:
    """The rows of all files of a folder, in order, and a problem for everything that is not right."""
    rows: list[ReviewedRow] = []
    problems: list[Problem] = []
    seen: dict[tuple[str, str], str] = {}
    for path in sorted(folder.glob("*.jsonl")):
        try:
            lines = path.read_text(encoding="utf-8").split("\n")
        except (OSError, UnicodeDecodeError) as error:
            problems.append(Problem(file=str(path), message=f"cannot be read: {error}"))
            continue
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            data, wrong = read_object(line, ReviewedRow)
            wrong = wrong or list(_wrong(data, codebook))
            row = None if wrong else ReviewedRow(**data)
            if (
                row
                and (place := seen.setdefault((row.document, row.passage), f"{path.name}:{number}")) != f"{path.name}:{number}"
            ):
                wrong = [("text", f"this passage of {row.document!r} stands in {place} already")]
            problems += [Problem(file=str(path), line=number, field=field, message=message) for field, message in wrong]
            if row and not wrong:
                rows.append(row)
    return rows, problems


def write_reviewed(folder: Path, rows: Iterable[ReviewedRow]) -> list[Path]:
    """Write rows into a file a document, sorted by passage, so that a change is a clean diff; the files written.

    `rows` are all rows of the documents that they name.
    """
    by_document: dict[str, list[ReviewedRow]] = {}
    for row in rows:
        by_document.setdefault(row.document, []).append(row)
    folder.mkdir(parents=True, exist_ok=True)
    written: list[Path] = []
    for document, found in sorted(by_document.items()):
        path = folder / f"{file_name(document)}.jsonl"
        part = path.with_suffix(".tmp")
        lines = [json.dumps(asdict(row), ensure_ascii=False) + "\n" for row in sorted(found, key=lambda row: row.passage)]
        part.write_text("".join(lines), encoding="utf-8", newline="\n")
        part.replace(path)
        written.append(path)
    return written


def merged(gold: Sequence[GoldRow], reviewed: Iterable[ReviewedRow], codebook: Codebook) -> list[GoldRow]:
    """Gold rows of the seeds with the reviewed ones in their places, and those of further documents after them."""
    places = {(row.document, passage_key(row.text, row.context)): at for at, row in enumerate(gold)}
    found = list(gold)
    for row in reviewed:
        at = places.get((row.document, row.passage))
        earlier = gold[at] if at is not None else None
        new = GoldRow(
            passage=earlier.passage if earlier else f"{row.document}#{row.passage[:16]}",
            document=row.document,
            start=earlier.start if earlier else 0,
            end=earlier.end if earlier else len(row.text),
            context=row.context,
            text=row.text,
            tags=joined(row.tags, earlier.tags if earlier else {}, codebook),
            unsure=row.disputed,
            method="adjudicated" if row.disputed else "agreed" if len(row.annotators) > 1 else "single",
            sources=row.annotators,
        )
        if at is None:
            found.append(new)
        else:
            found[at] = new
    return found


def file_name(document: str) -> str:
    """The name of a document's file: what can be read of its id, and a hash, since that may be of any length and marks."""
    shown = "".join(mark if mark.isascii() and (mark.isalnum() or mark in ".-") else "_" for mark in document)
    return f"{shown[:60].strip('.')}-{hashlib.sha256(document.encode('utf-8')).hexdigest()[:12]}"


def joined(said: Mapping[str, bool | None], before: Mapping[str, bool | None], codebook: Codebook) -> dict[str, bool | None]:
    """What was said now, and what stood there before for the tags that were not judged now.

    A tag that stood there no longer holds where one that it implies was judged not to.
    """
    tags = {name: said[name] if said.get(name) is not None else before.get(name) for name in codebook.names}
    for tag in codebook.tags:
        if said.get(tag.name) is None and any(tags[one] is False for one in tag.implies):
            tags[tag.name] = False if tags[tag.name] is not None else None
    return tags


def _wrong(data: dict[str, Any], codebook: Codebook) -> Iterator[tuple[str, str]]:
    for name in ("document", "text", "context", "text_sha256", "reviewer", "reason", "codebook", "created"):
        if not isinstance(data[name], str):
            yield name, f"{data[name]!r} is not a string"
            return
    for name in ("annotators", "disputed"):
        if not isinstance(data[name], list) or not all(isinstance(one, str) for one in data[name]):
            yield name, f"{data[name]!r} is not a list of strings"
            return
    yield from _wrong_tags(data["tags"], codebook)
    if data["text_sha256"] != text_sha256(data["text"]):
        yield "text_sha256", f"{data['text_sha256']!r} is not that of the text"
    if data["codebook"] != codebook.version:
        yield "codebook", f"judged by version {data['codebook']!r}, the codebook is {codebook.version!r}"
    if data["disputed"] and not data["reason"].strip():
        yield "reason", "what was disputed needs a reason"
    try:
        dt.datetime.fromisoformat(data["created"])
    except ValueError:
        yield "created", f"{data['created']!r} is no day or time (YYYY-MM-DD, YYYY-MM-DDTHH:MM:SS+00:00)"


def _wrong_tags(tags: Any, codebook: Codebook) -> Iterator[tuple[str, str]]:
    if not isinstance(tags, dict) or set(tags) != set(codebook.names) or any(not _is_judgement(one) for one in tags.values()):
        yield "tags", f"{tags!r} is not true, false or null for each of {', '.join(codebook.names)}"
        return
    for tag in codebook.tags:
        for implied in tag.implies:
            if tags[tag.name] and not tags[implied]:
                yield "tags", f"{tag.name} holds, so {implied} must hold too"


def _is_judgement(value: object) -> bool:
    return value is None or isinstance(value, bool)
