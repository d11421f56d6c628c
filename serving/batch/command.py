"""`tagger score`: documents and tables in, one row a passage out, with a line for each document beside.

    tagger score reports/ 'more/*.pdf' passages.csv -o scores.parquet

A run that was stopped or killed goes on when the same command is given again; what comes out is the same to the byte.
"""

import argparse
import json
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import get_args

from labels.database import DatabaseError, open_database
from labels.seen import count_waiting
from serving.arguments import positive, share
from serving.batch.inputs import STANDARD_INPUT, TABLES, InputsError, list_inputs, standard_input_kind
from serving.batch.items import Reading
from serving.batch.journal import Journal, Progress, RunError
from serving.batch.keeping import Keeping
from serving.batch.outputs import documents_file, format_of
from serving.batch.rows import Wanted
from serving.batch.running import STANDARD_OUTPUT, Run, journalled, streamed
from serving.batch.tables import Columns
from serving.bundle import BundleError, Manifest, read_bundle
from serving.classifier import Classifier
from serving.extraction.isolated import DocumentReader
from serving.extraction.kinds import MEDIA_TYPES
from serving.registry import champion_path, of_profile
from serving.results import LongPolicy, Options
from serving.settings import Settings, load_settings


def main(arguments: list[str]) -> int:
    """Score inputs; 0 when all went well, 1 when something could not be read or scored, 2 when the run could not be done."""
    options = _parser().parse_args(arguments)
    try:
        return _main(options)
    except (RunError, InputsError, BundleError, DatabaseError) as error:
        print(f"tagger score: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:
        raise
    except OSError as error:
        print(f"tagger score: {error.filename or options.output}: cannot be written: {error.strerror}", file=sys.stderr)
        if STANDARD_INPUT not in options.inputs and _journal_of(options.output).rows.exists():
            print("tagger score: what is done is kept; the same command goes on from there", file=sys.stderr)
        return 2


def _journal_of(output: str) -> Journal:
    return Journal(Path(output).resolve())


def _main(options: argparse.Namespace) -> int:
    started = time.monotonic()
    settings = load_settings()
    if options.bundle and options.profile:
        message = "--bundle names one bundle and --profile another; give one of both"
        raise RunError(message)
    bundle = options.bundle or (of_profile(settings, options.profile) if options.profile else champion_path(settings))
    begun = None if options.bundle or options.profile or options.restart else _journal_of(options.output).model()
    if begun and (settings.models / begun).is_dir():
        bundle = settings.models / begun  # what a run was begun with ends it, whoever is the champion now
    manifest = read_bundle(bundle)
    if options.engine == "ray":
        if options.to_queue:
            message = (
                "--to-queue keeps passages in this machine's database, which --engine ray does not write to; "
                "give the output to `tagger labels queue`"
            )
            raise RunError(message)
        try:
            from serving.batch import cluster  # noqa: PLC0415 - the extra `ray`
        except ModuleNotFoundError as error:
            message = f'--engine ray needs {error.name}, of the extra `ray`: pip install "passage-tagger[ray]"'
            raise RunError(message) from error
        run = _run(options, manifest, bundle, cluster.outputs(options.output))
        progress = cluster.scored(run, manifest, options.output, options.ray_address, restart=options.restart)
        return _told(progress, options, time.monotonic() - started)
    output = Path(options.output)
    if output.is_dir():
        message = f"{output} is a folder; name a file in it"
        raise RunError(message)
    is_stream = options.output == STANDARD_OUTPUT or (output.exists() and not output.resolve().is_file())
    kind = "jsonl" if is_stream else format_of(options.output)
    output = output.resolve()  # a link is followed
    known = [] if is_stream or options.restart else _journal_of(options.output).inputs()
    run = _run(options, manifest, bundle, [] if is_stream else [output, documents_file(output)], known)
    classifier = Classifier.load(bundle, options.threads or settings.threads)
    reader = DocumentReader()
    try:
        with _keeping(run, settings, manifest) as keeping:
            if is_stream:
                progress = streamed(run, classifier, reader, options.output, keeping)
            else:
                progress = journalled(run, classifier, reader, output, kind, restart=options.restart, keeping=keeping)
    finally:
        classifier.close()
        reader.close()
    return _told(progress, options, time.monotonic() - started)


@contextmanager
def _keeping(run: Run, settings: Settings, manifest: Manifest) -> Iterator[Keeping | None]:
    """What keeps passages for labelling, when that is switched on. Raises DatabaseError."""
    if not run.to_queue:
        yield None
        return
    engine = open_database(settings.database_url)
    try:
        yield Keeping(engine, manifest)
        print(f"tagger score: {count_waiting(engine)} passages wait for a label: `tagger labels queue`", file=sys.stderr)
    finally:
        engine.dispose()


def _run(options: argparse.Namespace, manifest: Manifest, bundle: Path, outputs: list[Path], begun: Sequence[str] = ()) -> Run:
    """The run that a command line asks for. Raises InputsError, RunError."""
    _check_tags(options.tag, manifest)
    kind = standard_input_kind(options.stdin_type) if STANDARD_INPUT in options.inputs else None
    if options.keep_text:
        outputs = [*outputs, options.keep_text]
    return Run(
        inputs=list_inputs(options.inputs, outputs, kind, begun),
        reading=Reading(
            columns=Columns(text=options.text_column, context=options.context_column, id=options.id_column),
            texts=options.keep_text,
        ),
        options=Options(long=options.long, thresholds=_thresholds(options.threshold, manifest)),
        wanted=Wanted(text=not options.no_text, tags=tuple(options.tag), min_score=options.min_score),
        bundle=bundle.resolve(),
        to_queue=options.to_queue,
    )


def _told(progress: Progress, options: argparse.Namespace, seconds: float) -> int:
    """Say how a run went, and its status."""
    summary = {
        "passages": progress.passages,
        "rows": progress.rows,
        "failed": progress.failed,
        "seconds": round(seconds, 2),
        "output": options.output,
    }
    if options.json:
        print(json.dumps(summary), file=sys.stderr if options.output == STANDARD_OUTPUT else sys.stdout)
    if progress.failed:
        print(f"tagger score: {progress.failed} of the inputs or passages failed; their rows say why", file=sys.stderr)
    return 1 if progress.failed else 0


def _thresholds(entries: list[str], manifest: Manifest) -> dict[str, float]:
    found: dict[str, float] = {}
    for entry in entries:
        tag, _, value = entry.rpartition(":")
        try:
            number = float(value)
        except ValueError:
            number = -1.0
        if not 0 <= number <= 1:
            message = f"--threshold {entry}: give TAG:VALUE with a value from 0 to 1"
            raise RunError(message)
        found[tag] = number
    _check_tags(list(found), manifest)
    return found


def _check_tags(tags: list[str], manifest: Manifest) -> None:
    for tag in tags:
        if tag not in manifest.tags:
            message = f"{tag!r} is no tag of this model (tags: {', '.join(manifest.tags)})"
            raise RunError(message)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="tagger score", description="Tag documents and tables of passages.")
    parser.add_argument("inputs", nargs="+", help="files, folders, patterns ('reports/**/*.pdf'), - for standard input")
    parser.add_argument(
        "-o",
        "--output",
        default=STANDARD_OUTPUT,
        type=_name,
        help="a .jsonl, .csv, .tsv or .parquet file; - for JSON lines on standard output (default), which cannot be resumed",
    )
    parser.add_argument("--bundle", type=Path, help="folder of the bundle (default: the champion)")
    parser.add_argument("--profile", help="the newest bundle of this profile (accurate, fast)")
    parser.add_argument("--threads", type=positive, help="scoring threads (default: one a core)")
    parser.add_argument("--engine", choices=("local", "ray"), default="local", help="ray: on a cluster (extra `ray`)")
    parser.add_argument("--ray-address", help="of a running cluster (default: one on this machine for the run)")
    parser.add_argument("--long", choices=get_args(LongPolicy), default="split", help="passages too long for the model")
    rows = parser.add_argument_group("rows")
    rows.add_argument("--threshold", action="append", default=[], metavar="TAG:VALUE", help="in place of the model's")
    rows.add_argument("--tag", action="append", default=[], help="only passages that carry this tag; may be repeated")
    rows.add_argument("--min-score", type=share, default=0.0, help="only passages with a score of at least this")
    rows.add_argument("--no-text", action="store_true", help="leave the passages' text and context out")
    rows.add_argument("--keep-text", type=Path, metavar="FOLDER", help="keep the text of each document, which offsets count in")
    rows.add_argument(
        "--to-queue",
        action="store_true",
        help="keep passages near a threshold of the model, with their text, in the database for `tagger labels queue`",
    )
    tables = parser.add_argument_group("tables")
    tables.add_argument("--text-column", help="the column of the passages (default: text, passage, sentence, content, …)")
    tables.add_argument("--context-column", default="context", help="their lead-ins (default: %(default)s)")
    tables.add_argument("--id-column", default="id", help="what they are called (default: %(default)s)")
    kinds = sorted({*MEDIA_TYPES.values(), *TABLES.values()})
    tables.add_argument("--stdin-type", choices=kinds, help="what standard input holds (default: seen from its first byte)")
    run = parser.add_argument_group("run")
    run.add_argument(
        "--restart", action="store_true", help="begin anew: do not go on with a stopped run, replace an output that is there"
    )
    run.add_argument("--json", action="store_true", help="print a summary as JSON at the end")
    return parser


def _name(value: str) -> str:
    if not value:
        message = "an empty name; give a file, or - for standard output"
        raise argparse.ArgumentTypeError(message)
    return value
