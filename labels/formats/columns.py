"""Tables of labels: a row a label; a column each for text, fields and tags, or one column that lists the tags which hold."""

from collections.abc import Mapping, Sequence
from typing import Any

from labels.codebook import Codebook
from labels.formats.rows import FIELDS, FormatError, Reading, Row, fields_of, listed_row, row_of, truth
from labels.store import Label

_KNOWN = ("text", *FIELDS, "at")
_NOT_JUDGED = "not judged"


def columns_of(codebook: Codebook) -> list[str]:
    """The columns of a table that is written."""
    return [
        "document",
        "context",
        "text",
        *codebook.names,
        "annotator",
        "kind",
        "suggested",
        "codebook",
        "key",
        "fingerprint",
        "at",
    ]


def values_of(label: Label, codebook: Codebook) -> dict[str, Any]:
    """The cells of a label, by column."""
    values = fields_of(label, codebook) | {name: label.tags.get(name) for name in codebook.names}
    values |= {"text": label.text, "at": label.at}
    return {name: values[name] for name in columns_of(codebook)}


def check_columns(names: Sequence[str], reading: Reading) -> str:
    """The column that lists the tags; empty when each tag has a column. Raises FormatError when it is no table of labels."""
    if twice := sorted({name for name in names if names.count(name) > 1}):
        message = f"the column {twice[0]!r} is there twice"
        raise FormatError(message)
    for name in ("text", *filter(None, (reading.tags_from, reading.document_from))):
        if name not in names:
            message = f"there is no column {name!r} (columns: {', '.join(map(repr, names))})"
            raise FormatError(message)
    own = [name for name in names if name in reading.codebook.names]
    listing = reading.tags_from or ("tags" if "tags" in names else "")
    if listing and own:
        message = f"the column {listing!r} lists tags, and {', '.join(own)} have columns of their own; give one or the other"
        raise FormatError(message)
    if not listing and not own:
        message = f"no column is a tag ({', '.join(reading.codebook.names)}), and none, like `tags`, lists them (--tags-from)"
        raise FormatError(message)
    if not listing and "*" not in reading.ignored:
        passed = {*_KNOWN, *own, *reading.ignored, reading.document_from}
        if unknown := [name for name in names if name not in passed]:
            message = (
                f"unknown tags or columns: {', '.join(map(repr, unknown))} (tags: {', '.join(reading.codebook.names)}; "
                f"columns: {', '.join(_KNOWN)}); pass over what is no tag with --ignore COLUMN, or all with --ignore '*'"
            )
            raise FormatError(message)
    return listing


def row_of_columns(reading: Reading, line: int, values: Mapping[str, Any], listing: str) -> Row:
    """The label of a row's cells; `listing` as `check_columns` found it."""
    text = values.get("text")
    if listing:
        tags = _parted(values.get(listing))
        if tags is None:
            return Row(line=line, skipped=_NOT_JUDGED)
        fields = dict(values) | {"judged": _parted(values.get("judged"))}
        return listed_row(reading, line, text=text, tags=tags, fields=fields)
    judged: dict[str, bool | None] = {}
    problems: list[tuple[str, str]] = []
    for name in reading.codebook.names:
        try:
            judged[name] = truth(values.get(name))
        except ValueError as error:
            problems.append((name, str(error)))
    if problems:
        return Row(line=line, problems=tuple(problems))
    if all(holds is None for holds in judged.values()):
        return Row(line=line, skipped=_NOT_JUDGED)
    return row_of(reading, line, text=text, tags=judged, fields=values)


def _parted(value: object) -> object:
    """The tags of a cell of text, parted by semicolons; anything else as it is."""
    return [name.strip() for name in value.split(";") if name.strip()] if isinstance(value, str) else value
