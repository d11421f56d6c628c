"""Spooled rows into the output: JSON lines as they are, or a CSV or Parquet table; and a line for each document.

Every file appears under its name only when it is whole.
"""

import csv
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from serving.batch.journal import RunError
from serving.batch.rows import Wanted
from serving.whole import sync, whole

_BATCH = 10_000
_BATCH_CHARACTERS = 2**24
_PLACE = {
    "document": "string",
    "line": "int64",
    "row": "int64",
    "id": "string",
    "start": "int64",
    "end": "int64",
    "page": "int32",
}
_TEXT = ("context", "text")
Rows = Iterator[dict[str, Any]]


@dataclass(slots=True, kw_only=True)
class DocumentSummary:
    """What was found in one input."""

    document: str
    passages: int = 0
    tags: dict[str, int] = field(default_factory=dict)
    review: int = 0
    """Passages with a tag whose decision is not safe."""
    errors: list[str] = field(default_factory=list)
    """The first of them, with their codes."""
    failed: int = 0


_MAX_ERRORS = 5


def format_of(output: str) -> str:
    """`jsonl`, `csv`, `tsv` or `parquet`, by the ending. Raises RunError for another one."""
    suffix = Path(output).suffix.lower()
    found = {".csv": "csv", ".tsv": "tsv", ".parquet": "parquet", ".jsonl": "jsonl", ".ndjson": "jsonl", "": "jsonl"}.get(
        suffix
    )
    if found is None:
        message = f"{output}: an output ends in .jsonl, .csv, .tsv or .parquet"
        raise RunError(message)
    if found == "parquet":
        _arrow()
    return found


def documents_file(output: Path) -> Path:
    """Where the summaries of the documents go: `scores.documents.jsonl` beside `scores.csv`."""
    return output.with_name(f"{output.stem}.documents.jsonl")


def finish(spool: Path, output: Path, kind: str, tags: Sequence[str], wanted: Wanted) -> None:
    """Write the summaries of all rows and the output of those wanted from the spool. Raises OSError."""
    with whole(documents_file(output)) as part:
        _write_summaries(part, spool, tags)
    if kind == "jsonl" and wanted.all:
        os.replace(spool, output)  # noqa: PTH105 - the atomic form, named as what it is
    else:
        with whole(output) as part:
            rows = filter(wanted.takes, read_rows(spool))
            if kind == "jsonl":
                _write_lines(part, rows)
            elif kind == "parquet":
                _write_parquet(part, rows, tags)
            else:
                _write_csv(part, rows, tags, "," if kind == "csv" else "\t")
    sync(output.parent)


def read_rows(path: Path) -> Rows:
    """The rows of a JSON-lines file."""
    with path.open(encoding="utf-8", newline="\n") as lines:
        for line in lines:
            yield json.loads(line)


def summaries(rows: Rows, tags: Sequence[str]) -> Iterator[DocumentSummary]:
    """One summary for each run of rows of one document."""
    current: DocumentSummary | None = None
    for row in rows:
        if current is None or row["document"] != current.document:
            if current:
                yield current
            current = DocumentSummary(document=row["document"], tags=dict.fromkeys(tags, 0))
        if error := row.get("error"):
            current.failed += 1
            if len(current.errors) < _MAX_ERRORS:
                current.errors.append(f"{error['code']}: {error['detail']}")
            continue
        current.passages += 1
        current.review += bool(row["review"])
        for tag in row["tags"]:
            current.tags[tag] += 1
    if current:
        yield current


def _write_summaries(part: Path, spool: Path, tags: Sequence[str]) -> None:
    with part.open("w", encoding="utf-8", newline="\n") as out:
        for one in summaries(read_rows(spool), tags):
            out.write(summary_line(one))


def summary_line(one: DocumentSummary) -> str:
    """A document's summary as a line of JSON."""
    line = {
        "document": one.document,
        "passages": one.passages,
        "tags": one.tags,
        "review": one.review,
        "failed": one.failed,
        **({"errors": one.errors} if one.errors else {}),
    }
    return json.dumps(line, ensure_ascii=False) + "\n"


def flat(row: dict[str, Any], tags: Sequence[str], *, joined: bool) -> dict[str, Any]:
    """A row without nesting: a column a score, errors as two columns; lists joined by `;` when `joined`."""
    scores, error = row.get("scores", {}), row.get("error", {})
    name = row.get("id")
    found = {
        **{column: row.get(column) for column in (*_PLACE, *_TEXT)},
        "id": name if name is None or isinstance(name, str) else json.dumps(name, ensure_ascii=False),
        "tags": row.get("tags", []),
        **{f"score_{tag}": scores.get(tag) for tag in tags},
        "review": row.get("review", []),
        "tokens": row.get("tokens"),
        "truncated": row.get("truncated"),
        "model": row.get("model"),
        "error_code": error.get("code"),
        "error_detail": error.get("detail"),
    }
    if joined:
        found |= {"tags": ";".join(found["tags"]), "review": ";".join(found["review"])}
    return found


def _write_lines(part: Path, rows: Rows) -> None:
    with part.open("w", encoding="utf-8", newline="\n") as out:
        out.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def _write_csv(part: Path, rows: Rows, tags: Sequence[str], delimiter: str) -> None:
    with part.open("w", encoding="utf-8", newline="") as out:
        writer = csv.DictWriter(
            out, fieldnames=list(flat({}, tags, joined=True)), delimiter=delimiter, lineterminator="\r\n"
        )  # with it a lone carriage return is quoted too
        writer.writeheader()
        writer.writerows(flat(row, tags, joined=True) for row in rows)


def _write_parquet(part: Path, rows: Rows, tags: Sequence[str]) -> None:
    arrow, parquet = _arrow()
    with parquet.ParquetWriter(part, schema(tags)) as writer:
        for batch in _batches(rows):
            flattened = [flat(row, tags, joined=False) for row in batch]
            writer.write_table(arrow.Table.from_pylist(flattened, schema=schema(tags)))


def _batches(rows: Rows) -> Iterator[list[dict[str, Any]]]:
    """Rows in pieces that fit in memory, however long their texts."""
    batch: list[dict[str, Any]] = []
    characters = 0
    for row in rows:
        batch.append(row)
        characters += len(row.get("text", ""))
        if len(batch) == _BATCH or characters > _BATCH_CHARACTERS:
            yield batch
            batch, characters = [], 0
    if batch:
        yield batch


def schema(tags: Sequence[str]) -> Any:
    """The columns of a Parquet output."""
    arrow, _ = _arrow()
    types = {
        **_PLACE,
        **dict.fromkeys(_TEXT, "string"),
        "tags": arrow.list_(arrow.string()),
        **{f"score_{tag}": "float64" for tag in tags},
        "review": arrow.list_(arrow.string()),
        "tokens": "int64",
        "truncated": arrow.bool_(),
        **dict.fromkeys(("model", "error_code", "error_detail"), "string"),
    }
    return arrow.schema([(name, getattr(arrow, kind)() if isinstance(kind, str) else kind) for name, kind in types.items()])


def _arrow() -> tuple[Any, Any]:
    try:
        import pyarrow as pa  # noqa: PLC0415 - the extra `documents`
        from pyarrow import parquet  # noqa: PLC0415 - the extra `documents`
    except ModuleNotFoundError as error:
        message = 'Parquet needs the extra `documents`: pip install "passage-tagger[documents]"'
        raise RunError(message) from error
    return pa, parquet
