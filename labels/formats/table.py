"""The formats by name, and which one a file is in."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from labels.codebook import Codebook
from labels.formats import delimited, doccano, huggingface, labelstudio, prodigy
from labels.formats.objects import values_of
from labels.formats.rows import FormatError, Reading, Row
from labels.store import Label


@dataclass(frozen=True, slots=True, kw_only=True)
class Format:
    """How labels are read and written."""

    read: Callable[[Path, Reading], Iterator[Row]]
    """Raises FormatError, OSError, also while it is iterated."""
    write: Callable[[Path, Iterable[Label], Codebook], None]
    """Raises FormatError, OSError."""
    config: Callable[[Codebook], str] | None = None
    """What a project of the tool must be set up with."""
    folder: bool = False
    """Whether a folder is written, not a file."""


FORMATS = {
    "doccano": Format(read=doccano.read, write=doccano.write, config=doccano.config),
    "label-studio": Format(read=labelstudio.read, write=labelstudio.write, config=labelstudio.config),
    "prodigy": Format(read=prodigy.read, write=prodigy.write),
    "csv": Format(read=delimited.read_csv, write=delimited.write_csv),
    "tsv": Format(read=delimited.read_tsv, write=delimited.write_tsv),
    "huggingface": Format(read=huggingface.read, write=huggingface.write, folder=True),
}
_BY_SUFFIX = {".zip": "doccano", ".csv": "csv", ".tsv": "tsv", ".parquet": "huggingface", ".arrow": "huggingface"}


def format_of(path: Path) -> str:
    """The format of a file by its ending and its first object; empty when it can be mistaken. Raises FormatError, OSError."""
    if path.is_dir():
        return "huggingface"
    if path.suffix in {".json", ".jsonl", ".ndjson"}:
        return _of_object(_first(path))
    return _BY_SUFFIX.get(path.suffix, "")


def _first(path: Path) -> Any:
    try:
        with path.open(encoding="utf-8-sig", newline="\n") as text:
            return next((value for _, value in values_of(text)), None)
    except UnicodeDecodeError as error:
        message = f"is not UTF-8: {error}"
        raise FormatError(message) from error


def _of_object(first: Any) -> str:
    if not isinstance(first, dict):
        return ""
    if isinstance(first.get("data"), dict) or "annotation_id" in first:
        return "label-studio"
    if "answer" in first and "text" in first:
        return "prodigy"
    return "doccano" if "text" in first and isinstance(first.get("label"), list) else ""
