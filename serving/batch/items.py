"""The passages of the inputs, one after the other, each with the place that it came from."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from labels.passages import split_passages
from serving.batch.inputs import KNOWN, Input, InputsError
from serving.batch.tables import Columns, TableError, rows_of
from serving.extraction.extracted import Extracted, ExtractionError
from serving.extraction.isolated import DocumentReader
from serving.results import PassageIn
from serving.whole import whole


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """A passage to score, or what is wrong with the place where one should be."""

    document: int
    """Index of the input."""
    index: int
    """Of the item within its input, from 0."""
    place: dict[str, Any] = field(default_factory=dict)
    """What its row says of where it came from."""
    passage: PassageIn | None = None
    code: str = "unreadable"
    problem: str = ""
    read: float = 1.0
    """Share of the input that has been read with it."""
    ends: bool = False
    """Whether it says that the input as a whole cannot be read (any further)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """How inputs are read."""

    columns: Columns = field(default_factory=Columns)
    texts: Path | None = None
    """Folder for the text of each document, to which the offsets count; None keeps none."""


def items_of(
    inputs: Sequence[Input], reader: DocumentReader, reading: Reading, start: tuple[int, int] = (0, 0)
) -> Iterator[Item]:
    """All items from a place on: (index of the input, index within it).

    Raises OSError when a text cannot be kept, InputsError when an input does not read as far as it did before.
    """
    first, skipped = start
    for number in range(first, len(inputs)):
        missing = skipped if number == first else 0
        found = (
            _of_table(number, inputs[number], reading)
            if inputs[number].is_table
            else _of_document(number, inputs[number], reader, reading)
        )
        for item in found:
            if missing and item.ends:
                break
            if item.index >= missing:
                missing = 0
                yield item
            elif item.index == missing - 1:
                missing = 0
        if missing:
            message = (
                f"{inputs[number].shown} does not read any more as it did when this run was begun "
                f"({missing} passages were read of it); begin anew with --restart"
            )
            raise InputsError(message)


def _of_document(number: int, source: Input, reader: DocumentReader, reading: Reading) -> Iterator[Item]:
    place: dict[str, Any] = {"document": source.shown}
    if source.problem:
        yield Item(document=number, index=0, place=place, problem=source.problem, ends=True)
        return
    if source.kind is None:
        suffix = source.path.suffix or "none"
        problem = f"a file of type {suffix!r} (known: {', '.join(sorted(KNOWN))})"
        yield Item(document=number, index=0, place=place, code="unknown_type", problem=problem, ends=True)
        return
    try:
        found = reader.read(_content(source, reader), source.kind)
    except OSError as error:
        problem = f"cannot be read: {error.strerror or error}"
        yield Item(document=number, index=0, place=place, problem=problem, ends=True)
        return
    except ExtractionError as error:
        yield Item(document=number, index=0, place=place, code=error.code, problem=error.detail, ends=True)
        return
    if reading.texts:
        _keep(reading.texts, number, source, found)
    passages = split_passages(found.text)
    if not passages:
        problem = "the document holds no passage: no line of it has a letter"
        yield Item(document=number, index=0, place=place, code="no_text", problem=problem, ends=True)
        return
    count = len(passages) + len(found.notes)
    for index, passage in enumerate(passages):
        where = {"start": passage.start, "end": passage.end}
        if (page := found.page_at(passage.start)) is not None:
            where["page"] = page
        yield Item(
            document=number,
            index=index,
            place={**place, **where, "context": passage.context, "text": passage.text},
            passage=PassageIn(text=passage.text, context=passage.context),
            read=(index + 1) / count,
        )
    for index, note in enumerate(found.notes, start=len(passages)):
        yield Item(document=number, index=index, place=place, code="incomplete", problem=note, read=(index + 1) / count)


def _content(source: Input, reader: DocumentReader) -> bytes:
    with source.open() as file:
        return file.read(reader.limits.file_bytes + 1)


def _keep(folder: Path, number: int, source: Input, found: Extracted) -> None:
    """Write a document's text under its number and name, whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / text_name(number, source)
    with whole(target) as part:
        part.write_text(found.text, encoding="utf-8", newline="")


def text_name(number: int, source: Input) -> str:
    """The name under which a document's text is kept: unique in a run, and safe on any file system."""
    return f"{number:05d}-{re.sub(r'[^A-Za-z0-9._-]+', '_', Path(source.shown).name)[:80]}.txt"


def _of_table(number: int, source: Input, reading: Reading) -> Iterator[Item]:
    index = 0
    try:
        with source.open() as file:
            for row in rows_of(file, source.kind or "", reading.columns, source.size):
                line = "line" if source.kind == "jsonl" else "row"
                place: dict[str, Any] = {"document": source.shown, line: row.number}
                if row.id is not None:
                    place["id"] = row.id
                if row.problem:
                    yield Item(document=number, index=index, place=place, problem=row.problem, read=row.read)
                else:
                    if _is_whole(row.text) and _is_whole(row.context):  # else the row could not be written with them
                        place |= {"context": row.context, "text": row.text}
                    passage = PassageIn(text=row.text, context=row.context)
                    yield Item(document=number, index=index, place=place, passage=passage, read=row.read)
                index += 1
    except OSError as error:
        problem = f"cannot be read: {error.strerror or error}"
        yield Item(document=number, index=index, place={"document": source.shown}, problem=problem, ends=True)
    except TableError as error:
        yield Item(document=number, index=index, place={"document": source.shown}, problem=str(error), ends=True)
    else:
        if not index:
            problem = "the table holds no row"
            yield Item(document=number, index=0, place={"document": source.shown}, code="no_text", problem=problem, ends=True)


def _is_whole(text: str) -> bool:
    """Whether a text can be written: no lone surrogate in it."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
