"""Hugging Face datasets: a folder with `data.parquet` and a dataset card is written; Parquet, Arrow and JSON lines are read.

Read is what `save_to_disk`, `to_parquet` and `to_json` of the package datasets write: a file, or a folder of such files.
Needs pyarrow, of the extra `documents`, and never datasets.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from labels.codebook import Codebook
from labels.formats.columns import check_columns, columns_of, row_of_columns, values_of
from labels.formats.objects import rows_of_objects
from labels.formats.rows import FormatError, Reading, Row
from labels.store import Label

_BATCH_ROWS = 1024


def read(path: Path, reading: Reading) -> Iterator[Row]:
    """The rows of a file, or of all files of a folder. Raises FormatError, OSError."""
    files = _files(path) if path.is_dir() else [path]
    for one in files:
        name = str(one.relative_to(path)) if path.is_dir() else ""
        for row in _of_lines(one, reading) if one.suffix in {".jsonl", ".json"} else _of_arrow(one, reading):
            yield Row(line=row.line, file=name, label=row.label, problems=row.problems, skipped=row.skipped)


def write(path: Path, labels: Iterable[Label], codebook: Codebook) -> None:
    """A new folder that `load_dataset(folder)` reads. Raises FormatError without pyarrow, OSError."""
    pa, parquet = _pyarrow(), _parquet()
    kinds = dict.fromkeys(columns_of(codebook), pa.string()) | dict.fromkeys([*codebook.names, "suggested"], pa.bool_())
    schema = pa.schema(list(kinds.items()))
    path.mkdir()
    counts = dict.fromkeys(codebook.names, 0)
    rows = 0
    remaining = iter(labels)
    with parquet.ParquetWriter(path / "data.parquet", schema) as table:
        while batch := [values_of(label, codebook) for label in islice(remaining, _BATCH_ROWS)]:
            table.write_batch(pa.RecordBatch.from_pylist(batch, schema=schema))
            rows += len(batch)
            counts = {name: count + sum(bool(one[name]) for one in batch) for name, count in counts.items()}
    (path / "README.md").write_text(_card(rows, counts, codebook), encoding="utf-8")


def _card(rows: int, counts: Mapping[str, int], codebook: Codebook) -> str:
    tags = "\n".join(f"| `{tag.name}` | {counts[tag.name]} | {tag.definition} |" for tag in codebook.tags)
    return f"""---
configs:
- config_name: default
  data_files:
  - split: train
    path: data.parquet
task_categories:
- text-classification
---

# Labels of passages

{rows} rows; a row is what one annotator judged of one passage. Codebook version {codebook.version}.

| tag | holds in | what it means |
| --- | --- | --- |
{tags}

A tag is true, false, or null where it was not judged. Passages with the same `document` are held out together.
"""


def _files(folder: Path) -> list[Path]:
    """The files of data: those that `save_to_disk` lists, else all of the first kind that there is."""
    try:
        if (listing := folder / "dataset_dict.json").exists():
            return [file for split in _listed(listing)["splits"] for file in _files(folder / split)]
        if (listing := folder / "state.json").exists():
            return [folder / one["filename"] for one in _listed(listing)["_data_files"]]
    except (KeyError, TypeError) as error:
        message = f"{listing.name} does not list files as `save_to_disk` does: {error}"
        raise FormatError(message) from error
    for suffix in ("parquet", "arrow", "jsonl", "json"):
        shown = (
            file for file in folder.rglob(f"*.{suffix}") if not any(part[0] in "._" for part in file.relative_to(folder).parts)
        )
        if found := sorted(shown):
            return found
    message = "there is no file *.parquet, *.arrow, *.jsonl or *.json in the folder"
    raise FormatError(message)


def _listed(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        message = f"{path.name} is not JSON: {error}"
        raise FormatError(message) from error


def _of_lines(path: Path, reading: Reading) -> Iterator[Row]:
    checked: dict[tuple[str, ...], str] = {}  # rows of JSON may differ in their columns

    def rows(line: int, data: dict[str, Any]) -> Iterator[Row]:
        try:
            listing = checked[tuple(data)] if tuple(data) in checked else check_columns([*data], reading)
        except FormatError as error:
            yield Row(line=line, problems=(("", str(error)),))
            return
        checked[tuple(data)] = listing
        yield row_of_columns(reading, line, data, listing)

    return rows_of_objects(path, rows)


def _of_arrow(path: Path, reading: Reading) -> Iterator[Row]:
    pa = _pyarrow()
    number = 0
    try:
        schema, batches = _of_parquet(path) if path.suffix == ".parquet" else _of_stream(path)
        listing = check_columns(schema.names, reading)
        names = _class_names(schema.metadata)
        for batch in batches:
            for values in batch.to_pylist():
                number += 1
                yield row_of_columns(
                    reading, number, {name: _named(value, names.get(name)) for name, value in values.items()}, listing
                )
    except (pa.ArrowException, ValueError, LookupError, TypeError) as error:  # whatever damaged files make of it
        message = f"is no whole {path.suffix[1:]} file: {error}"
        raise FormatError(message) from error


def _of_parquet(path: Path) -> tuple[Any, Iterator[Any]]:
    file = _parquet().ParquetFile(path)
    return file.schema_arrow, file.iter_batches(batch_size=_BATCH_ROWS)


def _of_stream(path: Path) -> tuple[Any, Iterator[Any]]:
    from pyarrow import OSFile, ipc  # noqa: PLC0415 - the extra `documents`

    stream = ipc.open_stream(OSFile(str(path)))
    return stream.schema, iter(stream)


def _class_names(metadata: Mapping[bytes, bytes] | None) -> dict[str, Sequence[str]]:
    """Of columns that hold classes by number, the classes' names, as datasets writes them into a schema."""
    features = json.loads((metadata or {}).get(b"huggingface", b"{}")).get("info", {}).get("features", {})
    found = {}
    for column, feature in features.items():
        inner = feature[0] if isinstance(feature, list) else feature.get("feature") or feature
        if isinstance(inner, dict) and "names" in inner:
            found[column] = inner["names"]
    return found


def _named(value: Any, names: Sequence[str] | None) -> Any:
    """The name of a class by its number, or those of a list of them; -1 is datasets' way to say that there is none."""
    if names is None or value is None or value == -1:
        return None if value == -1 else value
    return [names[one] for one in value] if isinstance(value, list) else names[value]


def _pyarrow() -> Any:
    try:
        import pyarrow as pa  # noqa: PLC0415 - the extra `documents`
    except ModuleNotFoundError as error:
        message = 'Hugging Face datasets need pyarrow, of the extra `documents`: pip install "passage-tagger[documents]"'
        raise FormatError(message) from error
    return pa


def _parquet() -> Any:
    from pyarrow import parquet  # noqa: PLC0415 - the extra `documents`

    return parquet
