"""Tables of passages: JSON lines, CSV, TSV and Parquet, a passage a row, read as a stream.

The text stands in the column that was named, else in the first of TEXT_COLUMNS that there is. Each row comes as a
`Row`, or as one that tells what is wrong with it; what is wrong with the table as a whole raises TableError.
"""

import codecs
import csv
import io
import json
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO, cast

from serving.extraction.extracted import ExtractionError
from serving.extraction.plain import detected_encoding

TEXT_COLUMNS = ("text", "passage", "sentence", "content", "body", "paragraph", "comment")
_BATCH_ROWS = 1024
_MAX_FIELD = 2**23
_MAX_LINE = 2**24
"""Bytes of a line of JSON; characters of a row of CSV."""
_LARGE_COLUMN = 2**26
"""Bytes of a Parquet column's piece above which few of its rows are unpacked at a time: they may all be one huge text."""
_FEW_ROWS = 8
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
    done = number = 0
    while line := file.readline(_MAX_LINE + 1):
        number += 1
        done += len(line)
        long = len(line) > _MAX_LINE
        while long and not line.endswith(b"\n") and (line := file.readline(_MAX_LINE)):  # its rest
            done += len(line)
        read = min(1.0, done / size) if size else 0.0
        if long:
            yield Row(number=number, problem=f"line {number} has more than {_MAX_LINE} bytes", read=read)
        elif line.strip():
            yield _of_line(number, line, columns, read)


def _of_line(number: int, line: bytes, columns: Columns, read: float) -> Row:
    try:
        data = json.loads(line.decode("utf-8-sig"), parse_constant=_refuse_constant)
        name = data.get(columns.id) if isinstance(data, dict) else None
        json.dumps(name)  # nested as deep as can just be read, it could not be written
    except (ValueError, RecursionError) as error:
        return Row(number=number, problem=f"line {number} is not JSON: {error}", read=read)
    if not isinstance(data, dict):
        return Row(number=number, problem=f"line {number} is not a JSON object with `text`", read=read)
    return _of_values(number, data, columns, "line", read)


def _of_values(number: int, values: Mapping[str, Any], columns: Columns, what: str, read: float) -> Row:
    column = columns.text or next((name for name in TEXT_COLUMNS if name in values), "text")
    text, context, name = values.get(column), values.get(columns.context), values.get(columns.id)
    context = "" if context is None else context
    name = _plain(name)
    if isinstance(name, str) and _is_broken(name):
        return Row(number=number, problem=f"{what} {number}: `{columns.id}` holds a lone surrogate", read=read)
    for field, value in ((column, text), (columns.context, context)):
        if not isinstance(value, str):
            problem = f"{what} {number}: `{field}` is {type(value).__name__}, not a string"
            return Row(number=number, id=name, problem=problem, read=read)
    return Row(number=number, text=str(text), context=str(context), id=name, read=read)


def _of_csv(file: BinaryIO, columns: Columns, size: int, delimiter: str | None) -> Iterator[Row]:
    head = _head(file)
    try:
        encoding = _encoding(file, head)
    except ExtractionError as error:
        raise TableError(error.detail) from error
    csv.field_size_limit(_MAX_FIELD)
    text = io.TextIOWrapper(file, encoding=encoding, errors="replace", newline="")
    try:
        reader = csv.reader(_lines(text), delimiter=delimiter or _delimiter(head.decode(encoding, "replace")), strict=True)
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
        return file.read(_HEAD_BYTES)
    return cast("io.BufferedReader", file).peek(_HEAD_BYTES)


def _lines(text: io.TextIOWrapper) -> Iterator[str]:
    """The lines of a text. Raises TableError for one without an end."""
    while line := text.readline(_MAX_LINE):
        if len(line) == _MAX_LINE:
            message = f"a line has more than {_MAX_LINE} characters"
            raise TableError(message)
        yield line


def _encoding(file: BinaryIO, head: bytes) -> str:
    """UTF-8 when all of it is, UTF-16 by its mark, else what the piece around the first other byte looks like.

    A pipe cannot be read twice: of it only the head is looked at.
    """
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        if file.seekable():
            file.seek(0, os.SEEK_SET)
        return "utf-16"
    check = codecs.getincrementaldecoder("utf-8")()
    before, chunk = b"", head
    try:
        while chunk:
            check.decode(chunk, final=False)
            before, chunk = chunk, file.read(_HEAD_BYTES) if file.seekable() else b""
        if file.seekable():
            check.decode(b"", final=True)
    except UnicodeDecodeError as error:
        return detected_encoding(before + chunk, len(before) + error.start)
    finally:
        if file.seekable():
            file.seek(0, os.SEEK_SET)
    return "utf-8-sig"


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
        for batch in table.iter_batches(batch_size=_batch_rows(table.metadata), columns=wanted):
            for values in batch.to_pylist():
                number += 1
                yield _of_values(number, values, columns, "row", number / max(total, number))
    except (pa.ArrowException, ValueError, OverflowError, KeyError) as error:  # whatever damaged files make of it
        message = f"is no whole Parquet file: {error}"
        raise TableError(message) from error


def _batch_rows(metadata: Any) -> int:
    """How many rows of a Parquet file are unpacked at a time."""
    groups = [metadata.row_group(index) for index in range(metadata.num_row_groups)]
    largest = max((one.column(at).total_uncompressed_size for one in groups for at in range(one.num_columns)), default=0)
    return _FEW_ROWS if largest > _LARGE_COLUMN else _BATCH_ROWS


def _plain(value: object) -> str | int | float | None:
    """An id as JSON can hold it: dates, bytes and the like as text."""
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    return json.dumps(value, ensure_ascii=False, default=str) if isinstance(value, list | dict) else str(value)


def _is_broken(value: str) -> bool:
    """Whether a text holds what no file can hold."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return True
    return False


def _refuse_constant(name: str) -> None:
    message = f"{name} is no JSON"
    raise ValueError(message)
