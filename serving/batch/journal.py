"""The spool of a run, and how far it is: what lets a killed run go on where it stood.

    .scores.csv.run/     beside the output `scores.csv`
        run.json         what the run is: inputs with sizes and times, model, options
        rows.jsonl       the rows so far
        progress.json    how much of the spool counts, and which item comes next; replaced in one step

Rows are synced before the progress that counts them, so rows beyond it are cut off and scored again: none is lost,
none stands twice.
"""

import fcntl
import json
import os
import shutil
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from serving.whole import sync, whole

_RUN, _ROWS, _PROGRESS, _LOCK = "run.json", "rows.jsonl", "progress.json", "lock"


class RunError(Exception):
    """Raised when a run cannot begin or go on; the message says why, and the way out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far a run is."""

    bytes: int = 0
    """Of the spool that count."""
    document: int = 0
    """Index of the input of the next item."""
    index: int = 0
    """Of the next item within its input."""
    passages: int = 0
    """Scored so far."""
    rows: int = 0
    """Written so far."""
    failed: int = 0
    """Items that could not be read or scored."""
    complete: bool = False
    """Whether all inputs have been read to their ends."""


def refuse_existing(paths: Sequence[Path]) -> None:
    """Raise RunError when one of these files is there."""
    for path in paths:
        if path.exists():
            shown = path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
            message = f"{shown} exists already; --restart replaces it, or name another output"
            raise RunError(message)


class Journal:
    """The work folder of one output, locked for one run."""

    def __init__(self, output: Path) -> None:
        """Name the folder; nothing is made yet."""
        self.folder = output.with_name(f".{output.name}.run")
        self.rows = self.folder / _ROWS
        self._ended = self.folder.with_name(f"{self.folder.name}.ended")
        self._lock: int | None = None
        self._spool: Any = None
        self._output = output
        self._fresh = False
        self.progress = Progress()

    def begin(self, run: Mapping[str, Any], *, restart: bool, kept: Sequence[Path] = ()) -> bool:
        """Open the spool, at its start or where a killed run stood; whether it goes on.

        What is `kept` is replaced by nothing but the run that was begun for it. Raises RunError when one of them is there
        without such a run, when another run is at work, or when this one is not the one that was begun; OSError.
        """
        self.folder.mkdir(exist_ok=True)
        self._lock = os.open(self.folder / _LOCK, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            message = "another run is writing this output; wait for it, or name another output"
            raise RunError(message) from error
        shutil.rmtree(self._ended, ignore_errors=True)
        known, progress = self._read(_RUN), self._read(_PROGRESS)
        if known is None or progress is None:
            self._refuse(kept)
        if restart:
            known = None
        if progress and progress["complete"] and not self.rows.exists() and not self._output.exists():
            known = None  # it was finished, and what it wrote is gone
        if known is None or progress is None:
            self._fresh = True
            for name in (_PROGRESS, _ROWS, _RUN):
                (self.folder / name).unlink(missing_ok=True)
            self._write(_RUN, run)
            self._spool = self.rows.open("wb")
            self.checkpoint(Progress())
            return False
        if difference := _difference(known, json.loads(json.dumps(run))):
            message = (
                f"a run of other making was begun for this output ({difference}); finish that one, or begin anew with --restart"
            )
            raise RunError(message)
        self.progress = Progress(**progress)
        if not (self.progress.complete and not self.rows.exists()):
            self._spool = self.rows.open("r+b")
            self._spool.truncate(self.progress.bytes)
            self._spool.seek(self.progress.bytes)
        return True

    def _refuse(self, kept: Sequence[Path]) -> None:
        try:
            refuse_existing(kept)
        except RunError:
            self.remove()  # made just now, or of a run that had not begun to score
            raise

    def was_complete(self) -> bool:
        """Whether a run before read all its inputs to their ends, and was stopped while it wrote its output."""
        progress = self._read(_PROGRESS)
        return bool(progress and progress["complete"])

    def model(self) -> str | None:
        """The name of the bundle with which a run was begun that has not ended."""
        found = (self._read(_RUN) or {}).get("model")
        return found if isinstance(found, str) else None

    def inputs(self) -> list[str]:
        """What such a run reads."""
        return [entry[0] for entry in (self._read(_RUN) or {}).get("inputs", [])]

    def write(self, lines: bytes) -> None:
        """Append rows to the spool; they count from the next checkpoint on."""
        self._spool.write(lines)

    def checkpoint(self, progress: Progress) -> None:
        """Make all rows so far count."""
        self._spool.flush()
        os.fsync(self._spool.fileno())
        self.progress = replace(progress, bytes=self._spool.tell())
        self._write(_PROGRESS, asdict(self.progress))

    def close(self) -> None:
        """Let the next run of this output go on."""
        if self._spool:
            self._spool.close()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def remove(self) -> None:
        """Delete the folder of a finished run; its output stands, so what cannot be deleted is no matter."""
        if self._spool:
            self._spool.close()
        shutil.rmtree(self._ended, ignore_errors=True)
        with suppress(OSError):
            self.folder.rename(self._ended)  # in one step: half a folder would tell of no run, and its output of another's
        shutil.rmtree(self._ended, ignore_errors=True)

    def remove_if_untouched(self) -> None:
        """Delete the folder of a run that has done nothing: there is nothing to go on with."""
        if self._fresh and self.progress.passages == 0 and not self.progress.complete:
            self.remove()

    def _read(self, name: str) -> dict[str, Any] | None:
        try:
            found: dict[str, Any] = json.loads((self.folder / name).read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):
            return None
        return found

    def _write(self, name: str, content: Mapping[str, Any]) -> None:
        with whole(self.folder / name) as part:
            part.write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")
        sync(self.folder)


def _difference(known: Mapping[str, Any], wanted: Mapping[str, Any]) -> str:
    """What has changed since a run was begun, for people; "" for nothing."""
    for name in sorted({*known, *wanted} - {"inputs"}):
        if known.get(name) != wanted.get(name):
            return f"{name}: {known.get(name)!r} then, {wanted.get(name)!r} now"
    before, now = ({entry[0]: entry[1:] for entry in run.get("inputs", [])} for run in (known, wanted))
    for path in [*before, *now]:
        if path not in now:
            return f"the input {path} is gone"
        if path not in before:
            return f"the input {path} is new"
        if before[path] != now[path]:
            return f"the input {path} has changed"
    return "" if known.get("inputs") == wanted.get("inputs") else "the order of the inputs"
