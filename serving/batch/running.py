"""A run on this machine: into a journal that a killed run goes on from, or straight into a stream."""

import json
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO

from labels.passages import SEGMENTER
from serving.batch.inputs import STANDARD_INPUT, Input
from serving.batch.items import Reading, items_of
from serving.batch.journal import Journal, Progress
from serving.batch.keeping import Keeping
from serving.batch.local import scored
from serving.batch.outputs import documents_file, finish
from serving.batch.rows import Wanted, row_of
from serving.bundle import Manifest
from serving.classifier import Classifier
from serving.extraction.isolated import DocumentReader
from serving.extraction.readers import reader_versions
from serving.progress import Shown, rate_shown
from serving.results import Options

_CHECKPOINT_SECONDS = 1.0
STANDARD_OUTPUT = "-"


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """All that shapes the output of a run."""

    inputs: list[Input]
    reading: Reading
    options: Options
    wanted: Wanted
    bundle: Path
    to_queue: bool = False
    """Whether passages that the model is unsure of are kept in the database, to be labelled."""

    def fingerprint(self, manifest: Manifest) -> dict[str, Any]:
        """What must be the same for a killed run to go on."""
        return {
            "model": manifest.name,
            "sha256": manifest.sha256,
            "segmenter": SEGMENTER,
            "options": asdict(self.options),
            "columns": asdict(self.reading.columns),
            "texts": str(self.reading.texts) if self.reading.texts else None,
            "rows": asdict(self.wanted),
            "to_queue": self.to_queue,
            "readers": reader_versions(),
            "inputs": [[one.shown, one.size, one.changed] for one in self.inputs],
        }


def journalled(
    run: Run,
    classifier: Classifier,
    reader: DocumentReader,
    output: Path,
    kind: str,
    *,
    restart: bool,
    keeping: Keeping | None = None,
) -> Progress:
    """Score into the spool and make the output of it; one that is there goes only with `restart`.

    Raises RunError, DatabaseError, OSError.
    """
    journal = Journal(output)
    kept = [] if restart else [output, documents_file(output)]
    if STANDARD_INPUT in (one.shown for one in run.inputs):
        restart = restart or not journal.was_complete()  # read to its end, it only has to be written
        print("tagger score: standard input cannot be read twice: a run that is stopped begins anew", file=sys.stderr)
    try:
        goes_on = journal.begin(run.fingerprint(classifier.manifest), restart=restart, kept=kept)
        if goes_on:
            print(f"tagger score: goes on after {journal.progress.passages} passages", file=sys.stderr)
        saved = time.monotonic()
        with rate_shown("scoring", "passages") as show, _stoppable() as stopping:
            for progress, lines in _scored(run, classifier, reader, journal.progress, show, keeping, spooled=True):
                journal.write(lines)
                if progress.complete or stopping.is_set() or time.monotonic() - saved > _CHECKPOINT_SECONDS:
                    journal.checkpoint(progress)
                    saved = time.monotonic()
                if stopping.is_set() and not progress.complete:
                    raise KeyboardInterrupt
        if journal.rows.exists():
            finish(journal.rows, output, kind, classifier.manifest.tags, run.wanted)
        progress = journal.progress
        journal.remove()
    except OSError:
        journal.remove_if_untouched()
        raise
    finally:
        journal.close()
    return progress


def streamed(run: Run, classifier: Classifier, reader: DocumentReader, output: str, keeping: Keeping | None = None) -> Progress:
    """Score into standard output, a pipe or a device, which is written to as it is and never replaced. Raises DatabaseError."""
    last = Progress()
    if sys.stderr.isatty():
        print("tagger score: this output cannot go on after a stop; name a file with -o for that", file=sys.stderr)
    with _sink(output) as out, rate_shown("scoring", "passages") as show:
        for progress, lines in _scored(run, classifier, reader, last, show, keeping, spooled=False):
            out.write(lines)
            last = progress
        out.flush()
    return last


@contextmanager
def _sink(output: str) -> Iterator[BinaryIO]:
    if output == STANDARD_OUTPUT:
        sys.stdout.flush()
        yield sys.stdout.buffer
    else:
        with Path(output).open("wb") as out:
            yield out


def _scored(
    run: Run,
    classifier: Classifier,
    reader: DocumentReader,
    progress: Progress,
    show: Shown,
    keeping: Keeping | None,
    *,
    spooled: bool,
) -> Iterator[tuple[Progress, bytes]]:
    """How far the run is, and the lines that belong to it, chunk by chunk; at last a piece that is complete.

    A spool takes all rows, for the summaries; what is not wanted is left out of the output made of it.
    """
    if progress.complete:
        return
    total = sum(one.size for one in run.inputs) or 1
    before = [0]
    for one in run.inputs:
        before.append(before[-1] + one.size)
    items = items_of(run.inputs, reader, run.reading, (progress.document, progress.index))
    model = classifier.manifest.name
    for chunk in scored(classifier, items, run.options):
        if keeping:
            keeping.take(chunk)  # before the rows count: a run that is killed between the two keeps them again
        rows = [row_of(item, result, model, run.wanted) for item, result in chunk]
        last = chunk[-1][0]
        failed = sum("error" in row for row in rows)
        taken = sum(map(run.wanted.takes, rows))
        shown = rows if spooled else filter(run.wanted.takes, rows)
        lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in shown]
        progress = replace(
            progress,
            document=last.document + last.ends,
            index=0 if last.ends else last.index + 1,
            passages=progress.passages + len(chunk),
            rows=progress.rows + taken,
            failed=progress.failed + failed,
        )
        show(len(chunk), (before[last.document] + last.read * run.inputs[last.document].size) / total)
        yield progress, "".join(lines).encode()
    yield replace(progress, complete=True), b""


@contextmanager
def _stoppable() -> Iterator[threading.Event]:
    """While this runs, Ctrl-C and SIGTERM ask for a stop at the next chunk, so that what is done is kept; twice they insist."""
    asked = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield asked
        return

    def ask(number: int, _: object) -> None:
        if asked.is_set():
            raise KeyboardInterrupt
        asked.set()
        print(f"tagger score: {signal.Signals(number).name}: stops after this chunk; the same command goes on", file=sys.stderr)

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
