"""CSV and TSV: a column each for text, fields and tags (true, false or empty), or one column `tags`, parted by `;`.

A spreadsheet takes a cell that begins with one of = + - @ for a formula and spoils it, as it does list items ("- act"); a
malicious text would even be run. Such a cell gets an apostrophe before it, which is taken off when the table is read.
"""

import codecs
import csv
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from labels.codebook import Codebook
from labels.formats.columns import check_columns, columns_of, row_of_columns, values_of
from labels.formats.rows import FormatError, Reading, Row
from labels.store import Label

_FORMULA = re.compile(r"'*[=+\-@\t\r]")


def read_csv(path: Path, reading: Reading) -> Iterator[Row]:
    """The rows of a table parted by whichever of , ; | and tab its head holds most. Raises FormatError, OSError."""
    return _read(path, reading, None)


def read_tsv(path: Path, reading: Reading) -> Iterator[Row]:
    """The rows of a table parted by tabs. Raises FormatError, OSError."""
    return _read(path, reading, "\t")


def write_csv(path: Path, labels: Iterable[Label], codebook: Codebook) -> None:
    """A table parted by commas. Raises OSError."""
    _write(path, labels, codebook, ",")


def write_tsv(path: Path, labels: Iterable[Label], codebook: Codebook) -> None:
    """A table parted by tabs. Raises OSError."""
    _write(path, labels, codebook, "\t")


def _read(path: Path, reading: Reading, delimiter: str | None) -> Iterator[Row]:
    with path.open("rb") as file:
        encoding = "utf-16" if file.read(2) in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE) else "utf-8-sig"
    with path.open(encoding=encoding, newline="") as text:
        line = 1
        try:
            delimiter = delimiter or max(",;\t|", key=text.readline().count)
            text.seek(0)
            cells = csv.reader(text, delimiter=delimiter, strict=True)
            names = [name.strip() for name in next(cells, [])]
            listing = check_columns(names, reading)
            while True:
                line = cells.line_num + 1
                row = next(cells, None)
                if row is None:
                    return
                if len(row) == len(names):
                    yield row_of_columns(reading, line, dict(zip(names, map(_unescaped, row), strict=True)), listing)
                elif row:
                    yield Row(line=line, problems=(("", f"has {len(row)} cells, the head of the table {len(names)}"),))
        except csv.Error as error:
            message = f"cannot be read: {error}"
            raise FormatError(message, line) from error
        except UnicodeError as error:
            message = f"is not {encoding.removesuffix('-sig').upper()} ({error}); save the table as UTF-8"
            raise FormatError(message, line) from error


def _write(path: Path, labels: Iterable[Label], codebook: Codebook, delimiter: str) -> None:
    with path.open("w", encoding="utf-8", newline="") as out:
        table = csv.writer(out, delimiter=delimiter)
        table.writerow(columns_of(codebook))
        for label in labels:
            table.writerow(map(_cell, values_of(label, codebook).values()))


def _cell(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    text = "" if value is None else str(value)
    return f"'{text}" if _FORMULA.match(text) else text


def _unescaped(cell: str) -> str:
    return cell[1:] if cell.startswith("'") and _FORMULA.match(cell) else cell
