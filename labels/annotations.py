"""Annotations: one row an annotator and passage, stand-off, in JSON lines. Reads and checks; writes nothing.

The row format is fixed in README.md of this folder. An absent row is never a negative; a tag that was not judged
is null.
"""

import datetime as dt
import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from labels.codebook import Codebook
from labels.documents import Document
from labels.passages import SEGMENTER, Passage
from labels.problems import Problem

KINDS = ("human", "llm", "rule")


@dataclass(frozen=True, slots=True, kw_only=True)
class Annotation:
    """What one annotator judged of one passage. Field names are those of the JSON row."""

    passage: str
    """`document:start-end`."""
    document: str
    start: int
    end: int
    text_sha256: str
    tags: dict[str, bool | None]
    """true, false, or null for a tag that was not judged; every tag of the codebook stands here."""
    evidence: dict[str, list[list[int]]]
    """Spans (start, end into the document) of the words that carry a true tag."""
    rule: dict[str, str]
    """The codebook line by which the tag was decided."""
    unsure: list[str]
    annotator: str
    kind: str
    codebook: str
    segmenter: str
    created: str
    supersedes: str | None
    """The passage, when this row replaces an earlier one of its annotator; else None."""


def passage_id(document: str, start: int, end: int) -> str:
    """The id of a passage: `003:1042-1200`."""
    return f"{document}:{start}-{end}"


def text_sha256(text: str) -> str:
    """Hash that ties a row to the passage's text."""
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


class AnnotationReader:
    """Reads annotation files against the documents, their passages and the codebook."""

    def __init__(self, documents: list[Document], passages: dict[str, list[Passage]], codebook: Codebook) -> None:
        """`passages`: document id -> its passages."""
        self._codebook = codebook
        self._documents = {document.id: document for document in documents}
        self._passages = {
            passage_id(document, passage.start, passage.end): passage
            for document, found in passages.items()
            for passage in found
        }

    def read(self, path: Path) -> tuple[list[Annotation], list[Problem]]:
        """The rows that are right, and a problem for everything that is not."""
        rows: list[Annotation] = []
        problems: list[Problem] = []
        seen: dict[tuple[str, str], int] = {}
        try:
            lines = path.read_text(encoding="utf-8").split("\n")
        except (OSError, UnicodeDecodeError) as error:
            return [], [Problem(file=str(path), message=f"cannot be read: {error}")]
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            row, found = _parse(line)
            if row is not None:
                found = list(self._check(row))
                found += _check_order(row, seen)
                seen[row.annotator, row.passage] = number
            problems.extend(Problem(file=str(path), line=number, field=field, message=text) for field, text in found)
            if row is not None and not found:
                rows.append(row)
        return rows, problems

    def _check(self, row: Annotation) -> Iterator[tuple[str, str]]:
        yield from self._check_place(row)
        yield from self._check_tags(row)
        yield from self._check_evidence(row)
        try:
            dt.date.fromisoformat(row.created)
        except ValueError:
            yield "created", f"{row.created!r} is no day (YYYY-MM-DD)"
        if row.kind not in KINDS:
            yield "kind", f"{row.kind!r} is none of {', '.join(KINDS)}"
        if row.codebook != self._codebook.version:
            yield "codebook", f"judged by version {row.codebook!r}, the codebook is {self._codebook.version!r}"
        if row.segmenter != SEGMENTER:
            yield "segmenter", f"cut by version {row.segmenter!r}, the segmentation is {SEGMENTER!r}"

    def _check_place(self, row: Annotation) -> Iterator[tuple[str, str]]:
        document = self._documents.get(row.document)
        if document is None:
            yield "document", f"unknown document {row.document!r} (known: {', '.join(self._documents)})"
            return
        if row.passage != passage_id(row.document, row.start, row.end):
            yield "passage", f"{row.passage!r} is not {passage_id(row.document, row.start, row.end)!r}"
        if not 0 <= row.start < row.end <= len(document.text):
            yield "start", f"{row.start}-{row.end} lies outside the text (0-{len(document.text)})"
        elif row.passage not in self._passages:
            yield "passage", f"{row.passage!r} is no passage of the segmentation"
        elif row.text_sha256 != (digest := text_sha256(self._passages[row.passage].text)):
            yield "text_sha256", f"{row.text_sha256!r} is not the passage's {digest!r}"

    def _check_tags(self, row: Annotation) -> Iterator[tuple[str, str]]:
        names = self._codebook.names
        for name in [*row.tags, *row.evidence, *row.rule, *row.unsure]:
            if name not in names:
                yield "tags", f"unknown tag {name!r} (known: {', '.join(names)})"
        for name in names:
            if name not in row.tags:
                yield "tags", f"{name} is missing; write null for a tag that was not judged"
        for tag in self._codebook.tags:
            for implied in tag.implies:
                if row.tags.get(tag.name) and not row.tags.get(implied):
                    yield "tags", f"{tag.name} holds, so {implied} must hold too"

    def _check_evidence(self, row: Annotation) -> Iterator[tuple[str, str]]:
        for tag in self._codebook.tags:
            holds = row.tags.get(tag.name) is True
            spans, rule = row.evidence.get(tag.name, []), row.rule.get(tag.name)
            if holds != bool(spans):
                yield "evidence", f"{tag.name} {'holds and has no span' if holds else 'has a span and does not hold'}"
            for start, end in spans:
                if not row.start <= start < end <= row.end:
                    yield "evidence", f"{tag.name}: {start}-{end} lies outside the passage ({row.start}-{row.end})"
            allowed = [*tag.yes] if holds else [*tag.no]
            if (holds or rule is not None) and rule not in allowed:
                yield "rule", f"{tag.name}: {rule!r} is none of {', '.join(allowed)}"


def _check_order(row: Annotation, seen: dict[tuple[str, str], int]) -> list[tuple[str, str]]:
    """A row replaces an earlier one of its annotator and passage exactly when it says so."""
    earlier = seen.get((row.annotator, row.passage))
    if earlier and row.supersedes != row.passage:
        message = f"{row.annotator} has judged {row.passage} on line {earlier} already; name the passage in `supersedes`"
        return [("passage", message)]
    if not earlier and row.supersedes is not None:
        return [("supersedes", f"{row.supersedes!r}: there is no earlier row of {row.annotator} for {row.passage}")]
    return []


def read_object(line: str, row: type) -> tuple[dict[str, Any], list[tuple[str, str]]]:
    """The JSON object of a line and what is wrong with its fields, which are those of the dataclass `row`.

    The object is empty when the line holds none.
    """
    try:
        data = json.loads(line)
    except (ValueError, RecursionError) as error:
        return {}, [("", f"not JSON: {error}")]
    if not isinstance(data, dict):
        return {}, [("", f"a row is a JSON object, this is {type(data).__name__}")]
    expected = [field.name for field in fields(row)]
    problems = [(name, "is missing") for name in expected if name not in data]
    problems += [(name, f"unknown field (known: {', '.join(expected)})") for name in data if name not in expected]
    return data, problems


def _parse(line: str) -> tuple[Annotation | None, list[tuple[str, str]]]:
    data, problems = read_object(line, Annotation)
    problems += [(name, f"{data[name]!r} is not {what}") for name, what in _SHAPES if not _fits(data, name, what)]
    return (None, problems) if problems else (Annotation(**data), [])


_SHAPES = (
    *((name, "a string") for name in ("passage", "document", "text_sha256", "annotator", "kind", "codebook")),
    *((name, "a string") for name in ("segmenter", "created")),
    ("start", "an integer"),
    ("end", "an integer"),
    ("tags", "an object of true, false or null"),
    ("evidence", "an object of lists of [start, end]"),
    ("rule", "an object of strings"),
    ("unsure", "a list of strings"),
    ("supersedes", "a string or null"),
)


def _fits(data: dict[str, Any], name: str, what: str) -> bool:  # noqa: PLR0911 - one return a shape
    if name not in data:
        return True  # already reported as missing
    value = data[name]
    match what:
        case "a string":
            return isinstance(value, str)
        case "an integer":
            return type(value) is int
        case "a string or null":
            return value is None or isinstance(value, str)
        case "a list of strings":
            return isinstance(value, list) and all(isinstance(entry, str) for entry in value)
        case "an object of strings":
            return isinstance(value, dict) and all(isinstance(entry, str) for entry in value.values())
        case "an object of true, false or null":
            return isinstance(value, dict) and all(entry is None or isinstance(entry, bool) for entry in value.values())
    return isinstance(value, dict) and all(isinstance(spans, list) and all(map(_is_span, spans)) for spans in value.values())


def _is_span(value: object) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(type(entry) is int for entry in value)  # noqa: PLR2004 - start, end
