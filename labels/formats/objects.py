"""JSON objects out of a file as a stream: a file of JSON lines, or one JSON array."""

import io
import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import IO, Any, TextIO

from labels.formats.rows import FormatError, Row

_MAX_OBJECT = 2**24
"""Characters of one object."""
_CHUNK = 2**20
_BETWEEN = " \t\r\n,"


def rows_of_objects(path: Path, make: Callable[[int, dict[str, Any]], Iterable[Row]]) -> Iterator[Row]:
    """What `make` makes of each object and its line; a problem for what is no object. Raises FormatError, OSError."""
    with path.open("rb") as file:
        yield from rows_of_stream(file, make)


def rows_of_stream(file: IO[bytes], make: Callable[[int, dict[str, Any]], Iterable[Row]]) -> Iterator[Row]:
    """As `rows_of_objects`, of an open file, which is closed. Raises FormatError, OSError."""
    try:
        with io.TextIOWrapper(file, encoding="utf-8-sig", newline="\n") as text:
            for line, value in values_of(text):
                if isinstance(value, dict):
                    yield from make(line, value)
                elif isinstance(value, _Broken):
                    yield Row(line=line, problems=(("", f"is not JSON: {value}"),))
                else:
                    yield Row(line=line, problems=(("", f"is {type(value).__name__}, not a JSON object"),))
    except UnicodeDecodeError as error:
        message = f"is not UTF-8: byte {error.start} of a piece is {error.object[error.start]:#04x}"
        raise FormatError(message) from error


class _Broken(str):
    """What is wrong with a line that is not JSON."""

    __slots__ = ()


def values_of(text: TextIO) -> Iterator[tuple[int, Any]]:
    """Each value with the line on which it begins. Raises FormatError."""
    line, head = 1, " "
    while head and head in _BETWEEN:  # blank lines before the first value
        line += head == "\n"
        head = text.read(1)
    if head == "[":
        yield from _of_array(text, line)
        return
    yield from _of_lines(head, text, line)


def _of_lines(head: str, text: TextIO, line: int) -> Iterator[tuple[int, Any]]:
    """The values of lines; of the first one `head` has been read."""
    while one := head + text.readline(_MAX_OBJECT):
        if len(one) >= _MAX_OBJECT:
            message = f"a line has more than {_MAX_OBJECT} characters"
            raise FormatError(message, line)
        if one.strip():
            try:
                yield line, json.loads(one)
            except (ValueError, RecursionError) as error:
                yield line, _Broken(error)
        head, line = "", line + 1


def _of_array(text: TextIO, line: int) -> Iterator[tuple[int, Any]]:
    """The elements of an array whose bracket has been read; one after the other, so that a large file needs little memory."""
    decoder = json.JSONDecoder()
    buffer, at = "", 0
    while True:
        while at < len(buffer) and buffer[at] in _BETWEEN:
            line += buffer[at] == "\n"
            at += 1
        if buffer.startswith("]", at):
            return
        try:
            value, end = decoder.raw_decode(buffer, at)
        except (ValueError, RecursionError) as error:
            more = text.read(_CHUNK)
            if not more or len(buffer) - at > _MAX_OBJECT:
                message = f"is not JSON from here on: {getattr(error, 'msg', error)}"
                raise FormatError(message, line) from error
            buffer, at = buffer[at:] + more, 0
            continue
        yield line, value
        line += buffer.count("\n", at, end)
        at = end


def write_objects(path: Path, values: Iterable[dict[str, Any]], *, ascii_only: bool = False) -> None:
    """Write objects as JSON lines. Raises OSError."""
    with path.open("w", encoding="utf-8", newline="\n") as out:
        out.writelines(json.dumps(value, ensure_ascii=ascii_only) + "\n" for value in values)
