"""What the formats have in common: what a reader is told, what it gives, and the fields that no tool has of its own."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from labels.codebook import Codebook
from labels.store import Label, NewLabel

FIELDS = ("document", "context", "annotator", "kind", "codebook", "suggested", "judged", "key", "fingerprint")
"""What is written beside text and tags, under the tool's name for further fields, so that it comes back with them."""
_STRINGS = ("document", "context", "annotator", "kind", "codebook", "key", "fingerprint")
_TRUTH = {"": None, "true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}


class FormatError(Exception):
    """Raised when a file cannot be read any further as what it was said to be; `line` where it is known."""

    def __init__(self, message: str, line: int | None = None) -> None:
        """Keep the line beside the message."""
        super().__init__(message)
        self.line = line


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What a reader is told about a file. What stands here holds for every row, whatever the row says."""

    codebook: Codebook
    source: str = "import"
    document: str = ""
    document_from: str = ""
    """The field that holds the document's id, in place of `document`."""
    annotator: str = ""
    kind: str = ""
    suggested: bool | None = None
    tags_from: str = ""
    """The field or control that lists the tags, in place of the format's usual one."""
    ignored: tuple[str, ...] = ()
    """Columns of a table that are neither tags nor fields; `*` for all such."""
    empty_is_none: bool = False
    """Whether doccano's empty list means that no tag holds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A row of a file: a label, or why there is none."""

    line: int
    """From 1; of binary tables the row."""
    file: str = ""
    """Within a folder of files."""
    label: NewLabel | None = None
    problems: tuple[tuple[str, str], ...] = ()
    """Field and message; rows with problems have no label."""
    skipped: str = ""
    """Why the row holds no judgement."""


def fingerprint(label: NewLabel | Label, codebook: Codebook) -> str:
    """Hash of what was judged, by whom and of what: it tells whether a row was corrected since it was written."""
    said = [label.document, label.text, label.context, label.annotator, label.kind, label.codebook or codebook.version]
    tags = [label.tags.get(name) for name in codebook.names]
    return hashlib.sha256(json.dumps([*said, label.suggested, tags]).encode()).hexdigest()[:16]


def fields_of(label: Label, codebook: Codebook) -> dict[str, Any]:
    """The FIELDS of a label, as they are written."""
    return {
        "document": label.document,
        "context": label.context,
        "annotator": label.annotator,
        "kind": label.kind,
        "codebook": label.codebook,
        "suggested": label.suggested,
        "judged": [name for name in codebook.names if label.tags.get(name) is not None],
        "key": label.key,
        "fingerprint": fingerprint(label, codebook),
    }


def holding(label: Label, codebook: Codebook) -> list[str]:
    """The tags that hold, in the codebook's order."""
    return [name for name in codebook.names if label.tags.get(name)]


def listed_row(reading: Reading, line: int, *, text: Any, tags: Any, fields: Mapping[str, Any], identity: str = "") -> Row:
    """A row of a tool that lists the tags which hold; the others that were judged are false.

    Which were judged stands in the field `judged`; without it all were.
    """
    judged = fields.get("judged")
    problems = [
        (name, f"{value!r} is not a list of tags")
        for name, value in (("tags", tags), ("judged", judged or []))
        if not _is_list_of_strings(value)
    ]
    if problems:
        return Row(line=line, problems=tuple(problems))
    known: Iterable[str] = reading.codebook.names if judged is None else judged
    return row_of(
        reading, line, text=text, tags=dict.fromkeys(known, False) | dict.fromkeys(tags, True), fields=fields, identity=identity
    )


def row_of(
    reading: Reading, line: int, *, text: Any, tags: Mapping[str, bool | None], fields: Mapping[str, Any], identity: str = ""
) -> Row:
    """The label that a row's fields make up, or what is wrong with them.

    A key that stands in the row is taken as it is, unless a fingerprint beside it says that the row was corrected since.
    `identity` names the row and its last change in the tool; a row without a key gets one made of it.
    """
    problems: list[tuple[str, str]] = []
    values = {name: _string(name, fields.get(name), problems) for name in _STRINGS}
    if reading.document_from:
        values["document"] = _string(reading.document_from, fields.get(reading.document_from), problems)
    if not isinstance(text, str):
        problems.append(("text", "is missing" if text is None else f"{text!r} is not a string"))
    suggested = fields.get("suggested")
    if isinstance(suggested, str) and suggested.lower() in _TRUTH:
        suggested = _TRUTH[suggested.lower()]
    if suggested is not None and not isinstance(suggested, bool):
        problems.append(("suggested", f"{suggested!r} is not true or false"))
    document, annotator = reading.document or values["document"], reading.annotator or values["annotator"]
    if not document and not any(field in {"document", reading.document_from} for field, _ in problems):
        problems.append(
            (reading.document_from or "document", "is missing; name the document with --document or --document-from")
        )
    if not annotator and not any(field == "annotator" for field, _ in problems):
        problems.append(("annotator", "is missing; name who judged with --annotator"))
    if problems:
        return Row(line=line, problems=tuple(problems))
    label = NewLabel(
        document=document,
        text=text,
        context=values["context"],
        # What went out from here was a whole judgement; a tool's own row may be of one tag, and takes back none.
        tags=(dict.fromkeys(reading.codebook.names) if values["fingerprint"] else {}) | dict(tags),
        annotator=annotator,
        kind=reading.kind or values["kind"] or "human",
        codebook=values["codebook"],
        suggested=bool(suggested) if reading.suggested is None else reading.suggested,
        source=reading.source,
    )
    said = fingerprint(label, reading.codebook)
    key = values["key"] if values["fingerprint"] in ("", said) else ""
    return Row(line=line, label=replace(label, key=key or (f"{identity}:{said}" if identity else "")))


def truth(value: object) -> bool | None:
    """A judgement as tables write it: true, false, 1, 0, yes, no, or nothing for not judged. Raises ValueError."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int | float) and value in (0, 1):
        return bool(value)
    if isinstance(value, str) and (known := value.strip().lower()) in _TRUTH:
        return _TRUTH[known]
    message = f"{value!r} is not true, false, 1, 0, yes, no or empty"
    raise ValueError(message)


def _string(name: str, value: object, problems: list[tuple[str, str]]) -> str:
    if value is None:
        return ""
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)  # ids of documents and annotators are numbers in some tools
    if isinstance(value, str):
        return value
    problems.append((name, f"{value!r} is not a string"))
    return ""


def _is_list_of_strings(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(one, str) for one in value)
