"""What a run reads: files, the known files of folders, and patterns, in one fixed order."""

import functools
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
    problem: str = ""
    """Why it cannot be read, when that is known beforehand."""
    url: str | None = None
    """Of an object store, in place of the path."""

    def open(self) -> AbstractContextManager[BinaryIO]:
        """Its bytes. Raises OSError."""
        if self.url:
            opened: AbstractContextManager[BinaryIO] = _fsspec().open(self.url, "rb")
            return opened
        if self.shown == STANDARD_INPUT:
            return nullcontext(_standard_input())
        return self.path.open("rb")

    @property
    def is_table(self) -> bool:
        """Whether it holds a passage a row."""
        return self.kind in TABLES.values()


def list_inputs(
    names: Sequence[str], outputs: Sequence[Path], standard_input_kind: str | None = None, begun: Sequence[str] = ()
) -> list[Input]:
    """The inputs of a run. In folders hidden files, other types and this run's own outputs are left alone.

    Raises InputsError for a path, a pattern or a folder that names nothing, and for an output named as an input. What a
    run was `begun` with stays in its list also when it is gone: the journal tells what has changed.
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
            inside = list(_of_folder(path, outputs))
            if not inside:
                message = f"{name}: no file of a known type in this folder ({', '.join(sorted(KNOWN))})"
                raise InputsError(message)
            found += inside
        elif path.exists() or not _GLOB.intersection(name):
            if _is_one_of(path, outputs):
                message = f"{name} is an input and the output; name another output"
                raise InputsError(message)
            one = _input(path)
            if not path.exists() and one.shown not in begun:
                message = f"{one.shown}: no such file or folder"
                raise InputsError(message)
            found.append(one)
        else:
            matched = [Path(one) for one in sorted(glob.glob(name, recursive=True))]  # noqa: PTH207 - patterns may be absolute
            inside = [_input(one) for one in matched if one.is_file() and not _is_one_of(one, outputs)]
            if not inside:
                message = f"{name}: no file matches"
                raise InputsError(message)
            found += inside
    return found


def _of_folder(folder: Path, outputs: Sequence[Path]) -> Iterator[Input]:
    """The known files below a folder; links are followed, once each; what cannot be opened is an input that says so."""
    seen: set[Path] = set()
    problems: list[Input] = []
    found: list[Path] = []

    def note(error: OSError) -> None:
        shown = os.fsencode(error.filename).decode("utf-8", "replace")
        problems.append(Input(path=Path(error.filename), shown=shown, kind=None, problem=f"cannot be read: {error.strerror}"))

    for root, folders, names in os.walk(folder, onerror=note, followlinks=True):
        place = Path(root)
        if place.resolve() in seen or _is_one_of(place, outputs):
            folders.clear()
            continue
        seen.add(place.resolve())
        folders[:] = [one for one in folders if not one.startswith(".")]
        files = (place / one for one in names if not one.startswith(".") and Path(one).suffix.lower() in KNOWN)
        found += [one for one in files if (one.is_file() or not one.exists()) and not _is_one_of(one, outputs)]
    yield from sorted([*map(_input, found), *problems], key=lambda one: one.path)


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
    """Whether a path is an output of this run, or lies within one that is a folder."""
    real = path.resolve()
    return any(real == output.resolve() or output.resolve() in real.parents for output in outputs)


@functools.cache
def _reader_of(descriptor: int) -> io.BufferedReader:
    """Of our own: the interpreter's may be waited for by a thread that is still reading when the process ends."""
    return io.BufferedReader(io.FileIO(descriptor, closefd=False))


def _standard_input() -> io.BufferedReader:
    try:
        return _reader_of(sys.stdin.fileno())
    except (OSError, ValueError):  # put in place of the real one by who calls this in process
        return cast("io.BufferedReader", sys.stdin.buffer)


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
    head = _standard_input().peek(64).lstrip()
    return "jsonl" if head.startswith(b"{") else "text"
