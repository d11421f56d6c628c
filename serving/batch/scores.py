"""The rows of an output that was written before, whatever its format, one after the other."""

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_SCORE = "score_"
_NUMBERS = ("line", "row", "start", "end", "page", "tokens")


class ScoresError(Exception):
    """Raised when a file is no output of `tagger score`; the message is for people."""


def read_scores(path: Path) -> Iterator[dict[str, Any]]:
    """The rows of a JSON-lines, CSV, TSV or Parquet output (a file, or a folder of Parquet files), in the shape of JSON lines.

    Raises ScoresError, OSError.
    """
    try:
        yield from _rows(path)
    except (ValueError, KeyError, AttributeError, TypeError, csv.Error) as error:
        message = f"{path}: is no whole output of `tagger score`: {type(error).__name__}: {error}"
        raise ScoresError(message) from error


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    suffix = path.suffix.lower()
    if suffix == ".parquet":
        yield from map(_nested, _of_parquet(path))
    elif suffix in {".csv", ".tsv"}:
        yield from map(_nested, _of_csv(path, "\t" if suffix == ".tsv" else ","))
    else:
        yield from _of_lines(path)


def _of_lines(path: Path) -> Iterator[dict[str, Any]]:
    with path.open(encoding="utf-8", newline="\n") as lines:
        for number, line in enumerate(lines, start=1):
            try:
                row = json.loads(line)
            except ValueError as error:
                message = f"{path}: line {number} is not JSON: {error}"
                raise ScoresError(message) from error
            if (
                not isinstance(row, dict)
                or not ("error" in row or {"tags", "scores", "review"} <= set(row))
                or "document" not in row
            ):
                message = f"{path}: line {number} is no row of `tagger score`"
                raise ScoresError(message)
            yield row


def _of_csv(path: Path, delimiter: str) -> Iterator[dict[str, Any]]:
    csv.field_size_limit(2**24)
    with path.open(encoding="utf-8", newline="") as lines:
        reader = csv.DictReader(lines, delimiter=delimiter)
        _check_columns(path, reader.fieldnames or ())
        for row in reader:
            yield {
                **{name: value or None for name, value in row.items()},
                **{name: int(row[name]) if row.get(name) else None for name in _NUMBERS},
                **{name: float(value) if value else None for name, value in row.items() if name.startswith(_SCORE)},
                "context": row.get("context") or "",
                "tags": row["tags"].split(";") if row["tags"] else [],
                "review": row["review"].split(";") if row["review"] else [],
            }


def _of_parquet(path: Path) -> Iterator[dict[str, Any]]:
    try:
        import pyarrow.dataset as tables  # noqa: PLC0415 - the extra `documents`
    except ModuleNotFoundError as error:
        message = 'Parquet needs the extra `documents`: pip install "passage-tagger[documents]"'
        raise ScoresError(message) from error
    files = sorted(path.glob("*.parquet")) if path.is_dir() else [path]
    try:
        table = tables.dataset(files, format="parquet")
        _check_columns(path, table.schema.names)
        for batch in table.to_batches():
            yield from batch.to_pylist()
    except (ValueError, TypeError) as error:  # pyarrow's own errors are these
        message = f"{path}: is no whole Parquet file: {error}"
        raise ScoresError(message) from error


def _check_columns(path: Path, names: Any) -> None:
    if not {"document", "tags", "error_code"} <= set(names):
        message = f"{path}: is no output of `tagger score`: it lacks the columns document, tags, error_code"
        raise ScoresError(message)


def _nested(row: dict[str, Any]) -> dict[str, Any]:
    """A flat row in the shape of JSON lines."""
    scores = {name.removeprefix(_SCORE): row.pop(name) for name in list(row) if name.startswith(_SCORE)}
    code, detail = row.pop("error_code"), row.pop("error_detail")
    found = {name: value for name, value in row.items() if value is not None}
    if code:
        place = {name: value for name, value in found.items() if name not in {"tags", "review"}}
        return {**place, "error": {"code": code, "detail": detail}}
    return {**found, "scores": scores}
