"""What a run reads: files, the known files of folders, and patterns, in one fixed order."""

import glob
import hashlib
import io
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, cast

from serving.extraction.kinds import SUFFIXES, kind_of_name

TABLES = {".jsonl": "jsonl", ".ndjson": "jsonl", ".csv": "csv", ".tsv": "tsv", ".parquet": "parquet"}
"""Ending -> format of files that hold a passage a row."""
KNOWN = frozenset({*SUFFIXES, *TABLES})
STANDARD_INPUT = "-"
_GLOB = frozenset("*?[")


class InputsError(Exception):
    """Raised when the inputs cannot be listed; the message is for people."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Input:
    """A file to read, with what tells whether it has changed since."""

    path: Path
    shown: str
    """The path as text; bytes of a file name that are no UTF-8 show as U+FFFD."""
    kind: str | None
    """Kind of document or format of table; None when the ending names none."""
    size: int = 0
    """Bytes; 0 when it cannot be read."""
    changed: int = 0
    """Modification time in nanoseconds."""
    url: str | None = None
    """Of an object store, in place of the path."""

    def open(self) -> AbstractContextManager[BinaryIO]:
        """Its bytes. Raises OSError."""
        if self.url:
            opened: AbstractContextManager[BinaryIO] = _fsspec().open(self.url, "rb")
            return opened
        if self.shown == STANDARD_INPUT:
            return nullcontext(sys.stdin.buffer)
        return self.path.open("rb")

    @property
    def is_table(self) -> bool:
        """Whether it holds a passage a row."""
        return self.kind in TABLES.values()


def list_inputs(names: Sequence[str], outputs: Sequence[Path], standard_input_kind: str | None = None) -> list[Input]:
    """The inputs of a run. In folders hidden files, other types and this run's own outputs are left alone.

    Raises InputsError for a pattern or a folder that names nothing, and for an output named as an input.
    """
    found: list[Input] = []
    for name in names:
        if name == STANDARD_INPUT:
            found.append(Input(path=Path(STANDARD_INPUT), shown=STANDARD_INPUT, kind=standard_input_kind))
            continue
        if "://" in name:
            found += _of_url(name)
            continue
        path = Path(name)
        if path.is_dir():
            inside = [_input(one) for one in _of_folder(path) if not _is_one_of(one, outputs)]
            if not inside:
                message = f"{name}: no file of a known type in this folder ({', '.join(sorted(KNOWN))})"
                raise InputsError(message)
            found += inside
        elif path.exists() or not _GLOB.intersection(name):
            if _is_one_of(path, outputs):
                message = f"{name} is an input and the output; name another output"
                raise InputsError(message)
            found.append(_input(path))
        else:
            matched = [Path(one) for one in sorted(glob.glob(name, recursive=True))]  # noqa: PTH207 - patterns may be absolute
            inside = [_input(one) for one in matched if one.is_file() and not _is_one_of(one, outputs)]
            if not inside:
                message = f"{name}: no file matches"
                raise InputsError(message)
            found += inside
    return found


def _of_folder(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.rglob("*")):
        hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
        if not hidden and path.suffix.lower() in KNOWN and path.is_file():
            yield path


def _of_url(name: str) -> list[Input]:
    """The objects at a URL, below it, or that its pattern matches. Raises InputsError."""
    try:
        files, path = _fsspec().core.url_to_fs(name)
        names = files.glob(path) if _GLOB.intersection(path) else files.find(path) if files.isdir(path) else [path]
        found = [files.info(one) for one in sorted(names)]
    except (OSError, ValueError, ImportError) as error:
        message = f"{name}: cannot be listed: {error}"
        raise InputsError(message) from error
    inputs = []
    for info in found:
        url, suffix = files.unstrip_protocol(info["name"]), Path(info["name"]).suffix.lower()
        if info["type"] == "file" and (len(found) == 1 or suffix in KNOWN):
            kind = TABLES.get(suffix) or kind_of_name(info["name"])
            changed = str(info.get("ETag") or info.get("mtime") or info.get("LastModified") or "")
            stamp = int.from_bytes(hashlib.sha256(changed.encode()).digest()[:6])
            inputs.append(Input(path=Path(info["name"]), shown=url, kind=kind, size=info["size"] or 0, changed=stamp, url=url))
    if not inputs:
        message = f"{name}: no file of a known type there"
        raise InputsError(message)
    return inputs


def _fsspec() -> Any:
    try:
        import fsspec  # noqa: PLC0415 - the extra `ray`
    except ModuleNotFoundError as error:
        message = 'URLs need the extra `ray`: pip install "passage-tagger[ray]"'
        raise InputsError(message) from error
    return fsspec


def _is_one_of(path: Path, outputs: Sequence[Path]) -> bool:
    return path.exists() and any(output.exists() and path.samefile(output) for output in outputs)


def _input(path: Path) -> Input:
    shown = os.fsencode(path).decode("utf-8", "replace")
    kind = TABLES.get(path.suffix.lower()) or kind_of_name(path.name)
    try:
        state = path.stat()
    except OSError:
        return Input(path=path, shown=shown, kind=kind)
    return Input(path=path, shown=shown, kind=kind, size=state.st_size, changed=state.st_mtime_ns)


def standard_input_kind(wanted: str | None) -> str:
    """What standard input holds: what the caller says, else JSON lines when its first byte opens an object, else text."""
    if wanted:
        return wanted
    head = cast("io.BufferedReader", sys.stdin.buffer).peek(64).lstrip()
    return "jsonl" if head.startswith(b"{") else "text"
