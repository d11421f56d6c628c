"""Tables of passages: JSON lines, CSV, TSV and Parquet, a passage a row, read as a stream.

The text stands in the column that was named, else in the first of TEXT_COLUMNS that there is. Each row comes as a
`Row`, or as one that tells what is wrong with it; what is wrong with the table as a whole raises TableError.
"""

import csv
import io
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO, cast

from serving.extraction.extracted import ExtractionError
from serving.extraction.plain import decode

TEXT_COLUMNS = ("text", "passage", "sentence", "content", "body", "paragraph", "comment")
_BATCH_ROWS = 1024
_MAX_FIELD = 2**24
_HEAD_BYTES = 2**20
"""Of a CSV, from which its encoding and its delimiter are told."""


class TableError(Exception):
    """Raised when a table cannot be read any further; the message is for people."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """Which columns hold what; None looks for the usual names."""

    text: str | None = None
    context: str = "context"
    id: str = "id"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A row of a table; `problem` tells why it holds no passage."""

    number: int
    """Line of a JSON-lines file, from 1; of other tables the row, from 1, its head not counted."""
    text: str = ""
    context: str = ""
    id: Any = None
    problem: str = ""
    read: float = 0.0
    """Share of the table that has been read."""


def rows_of(file: BinaryIO, kind: str, columns: Columns, size: int) -> Iterator[Row]:
    """The rows of a table of any format. Raises TableError, OSError."""
    if kind == "jsonl":
        return _of_lines(file, columns, size)
    if kind == "parquet":
        return _of_parquet(file, columns)
    return _of_csv(file, columns, size, "\t" if kind == "tsv" else None)


def _of_lines(file: BinaryIO, columns: Columns, size: int) -> Iterator[Row]:
    done = 0
    for number, line in enumerate(file, start=1):
        done += len(line)
        if line.strip():
            yield _of_line(number, line, columns, done / size if size else 0.0)


def _of_line(number: int, line: bytes, columns: Columns, read: float) -> Row:
    try:
        data = json.loads(line.decode("utf-8-sig"), parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        return Row(number=number, problem=f"line {number} is not JSON: {error}", read=read)
    if not isinstance(data, dict):
        return Row(number=number, problem=f"line {number} is not a JSON object with `text`", read=read)
    return _of_values(number, data, columns, "line", read)


def _of_values(number: int, values: Mapping[str, Any], columns: Columns, what: str, read: float) -> Row:
    column = columns.text or next((name for name in TEXT_COLUMNS if name in values), "text")
    text, context, name = values.get(column), values.get(columns.context), values.get(columns.id)
    context = "" if context is None else context
    if _is_broken(name):
        return Row(number=number, problem=f"{what} {number}: `{columns.id}` holds a lone surrogate", read=read)
    for field, value in ((column, text), (columns.context, context)):
        if not isinstance(value, str):
            problem = f"{what} {number}: `{field}` is {type(value).__name__}, not a string"
            return Row(number=number, id=name, problem=problem, read=read)
    return Row(number=number, text=str(text), context=str(context), id=name, read=read)


def _of_csv(file: BinaryIO, columns: Columns, size: int, delimiter: str | None) -> Iterator[Row]:
    head = _head(file)
    try:
        encoding = _encoding(head)
    except ExtractionError as error:
        raise TableError(error.detail) from error
    csv.field_size_limit(_MAX_FIELD)
    text = io.TextIOWrapper(file, encoding=encoding, errors="replace", newline="")
    try:
        reader = csv.reader(text, delimiter=delimiter or _delimiter(head.decode(encoding, "replace")), strict=True)
        try:
            names = next(reader, None)
            if names is None:
                message = "the table is empty"
                raise TableError(message)
            _text_column(names, columns)
            for number, cells in enumerate(reader, start=1):
                read = file.tell() / size if size and file.seekable() else 0.0
                if not cells:
                    continue
                if len(cells) != len(names):
                    problem = f"row {number} has {len(cells)} cells, the head of the table {len(names)}"
                    yield Row(number=number, problem=problem, read=read)
                else:
                    yield _of_values(number, dict(zip(names, cells, strict=True)), columns, "row", read)
        except csv.Error as error:
            message = f"line {reader.line_num} cannot be read: {error}"
            raise TableError(message) from error
    finally:
        text.detach()  # the file is the caller's to close


def _head(file: BinaryIO) -> bytes:
    if file.seekable():
        head = file.read(_HEAD_BYTES)
        file.seek(0, os.SEEK_SET)
        return head
    return cast("io.BufferedReader", file).peek(_HEAD_BYTES)


def _encoding(head: bytes) -> str:
    """`utf-8-sig`, or what the head looks like when it is not UTF-8; a head may end within a character."""
    for encoding in ("utf-8-sig", "utf-16" if head.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8-sig"):
        try:
            head.decode(encoding)
        except UnicodeDecodeError as error:
            if error.start >= len(head) - 4 and encoding == "utf-8-sig":
                return encoding
        else:
            return encoding
    decode(head)  # raises for what is no text at all
    from charset_normalizer import from_bytes  # noqa: PLC0415 - the extra `documents`, which `decode` has asked for

    best = from_bytes(head).best()
    return best.encoding if best else "utf-8-sig"


def _delimiter(head: str) -> str:
    """Of the usual ones the one that stands most often in the first line."""
    first = head.partition("\n")[0]
    return max(",;\t|", key=first.count)


def _text_column(names: Sequence[str], columns: Columns) -> str:
    """The column of the text. Raises TableError when there is none."""
    if columns.text:
        if columns.text in names:
            return columns.text
        message = f"there is no column {columns.text!r} (columns: {', '.join(names)})"
        raise TableError(message)
    if found := next((name for name in TEXT_COLUMNS if name in names), None):
        return found
    message = f"none of the columns ({', '.join(names)}) is one of {', '.join(TEXT_COLUMNS)}; name it with --text-column"
    raise TableError(message)


def _of_parquet(file: BinaryIO, columns: Columns) -> Iterator[Row]:
    try:
        import pyarrow as pa  # noqa: PLC0415 - the extra `documents`
        from pyarrow import parquet  # noqa: PLC0415 - the extra `documents`
    except ModuleNotFoundError as error:
        message = 'Parquet needs the extra `documents`: pip install "passage-tagger[documents]"'
        raise TableError(message) from error
    try:
        table = parquet.ParquetFile(file)
        names = table.schema_arrow.names
        wanted = [name for name in (_text_column(names, columns), columns.context, columns.id) if name in names]
        number, total = 0, table.metadata.num_rows
        for batch in table.iter_batches(batch_size=_BATCH_ROWS, columns=wanted):
            for values in batch.to_pylist():
                number += 1
                yield _of_values(number, values, columns, "row", number / total)
    except pa.ArrowException as error:
        message = f"is no whole Parquet file: {error}"
        raise TableError(message) from error


def _is_broken(value: object) -> bool:
    """Whether a value holds text that no file can hold, or is none that JSON can."""
    try:
        json.dumps(value, ensure_ascii=False, default=str).encode()
    except UnicodeEncodeError:
        return True
    return False


def _refuse_constant(name: str) -> None:
    message = f"{name} is no JSON"
    raise ValueError(message)
