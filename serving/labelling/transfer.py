"""`tagger labels import` and `tagger labels export`: the labels of the database, in and out of the files of other tools.

tagger labels import FILE --dry-run
tagger labels export FILE --format label-studio
"""

import argparse
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from sqlalchemy.exc import DBAPIError

from labels.codebook import Codebook, load_codebook
from labels.database import DatabaseError, open_database
from labels.formats.rows import FormatError, Reading, Row
from labels.formats.table import FORMATS, format_of
from labels.problems import Problem
from labels.store import Added, Label, LabelsRefusedError, LabelStore, NewLabel, Status, problems_of
from serving.model_input import model_input
from serving.settings import load_settings
from serving.whole import whole

_SHOWN = 50
"""Problems told one by one; of the others their number."""
_STATUSES: dict[Status, str] = {"added": "new", "changed": "changed", "unchanged": "unchanged", "repeated": "repeated"}


@dataclass(slots=True)
class _Read:
    """What a file holds; `places` are the rows of the labels."""

    labels: list[NewLabel] = field(default_factory=list)
    places: list[Row] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    skipped: Counter[str] = field(default_factory=Counter)
    unknown: dict[str, list[Problem]] = field(default_factory=dict)
    """By tag; the problems only say where."""
    conflicting: int = 0


class _StopError(Exception):
    """Raised when there is nothing to go on with; the message is for people."""


def import_labels(arguments: list[str]) -> int:
    """Add the labels of a file to the database, all or none; the exit status."""
    options = _import_parser().parse_args(arguments)
    codebook = load_codebook()
    try:
        form = _format(options.format, options.file)
        found = _read(options, form, codebook)
        with _store(codebook) as store:
            added = _added(store, found, dry=options.dry_run)
            superseded = _superseded(store, added)
    except (_StopError, DatabaseError) as error:
        print(f"tagger labels import: {error}", file=sys.stderr)
        return 1
    except DBAPIError as error:
        away = f"the database does not answer: {str(error.orig).strip()}"
        print(f"tagger labels import: {away}; nothing was kept", file=sys.stderr)
        return 1
    _tell(found, added, superseded)
    if found.problems:
        print(f"nothing was imported: {_number(len(found.problems), 'problem')}", file=sys.stderr)
        return 1
    counts = Counter(one.status for one in added)
    print(
        "dry run: nothing was imported"
        if options.dry_run
        else f"imported {_number(counts['added'] + counts['changed'], 'label')}"
    )
    return 0


def export_labels(arguments: list[str]) -> int:
    """Write each annotator's current label of each passage to a file, whole or not at all; the exit status."""
    parser = _export_parser()
    options = parser.parse_args(arguments)
    if options.file is None and not options.config:
        parser.error("name the file to write")
    codebook = load_codebook()
    try:
        if options.config:
            return _write_config(options, codebook)
        form = FORMATS[options.format or _by_ending(options.file)]
        with _store(codebook) as store:
            chosen = [one for one in store.current() if _is_wanted(one, options)]
        with _whole_folder(options.file) if form.folder else whole(options.file) as part:
            form.write(part, chosen, codebook)
    except (_StopError, DatabaseError, FormatError) as error:
        print(f"tagger labels export: {error}", file=sys.stderr)
        return 1
    except DBAPIError as error:
        print(f"tagger labels export: the database does not answer: {str(error.orig).strip()}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"tagger labels export: {options.file}: cannot be written: {error.strerror}", file=sys.stderr)
        return 1
    print(f"{_number(len(chosen), 'label')} in {options.file}")
    return 0


def _format(name: str | None, path: Path) -> str:
    """The format that was named, or that the file is unmistakably in. Raises _StopError."""
    try:
        if found := name or format_of(path):
            return found
    except OSError as error:
        message = f"{path}: cannot be read: {error.strerror}"
        raise _StopError(message) from error
    except FormatError as error:
        raise _StopError(str(Problem(file=str(path), line=error.line, message=str(error)))) from error
    message = f"{path}: the format cannot be told from the file; name it with --format ({', '.join(FORMATS)})"
    raise _StopError(message)


def _read(options: argparse.Namespace, form: str, codebook: Codebook) -> _Read:
    reading = Reading(
        codebook=codebook,
        source=f"{form}:{options.file.name}"[:300],
        document=options.document or "",
        document_from=options.document_from or "",
        annotator=options.annotator or "",
        kind=options.kind or "",
        suggested=True if options.suggested else None,
        tags_from=options.tags_from or "",
        ignored=tuple(options.ignore),
        empty_is_none=options.empty_is_none,
    )
    found = _Read()
    try:
        for row in FORMATS[form].read(options.file, reading):
            _take(found, row, options.file, codebook)
    except FormatError as error:
        found.problems.append(Problem(file=str(options.file), line=error.line, message=str(error)))
    except OSError as error:
        found.problems.append(Problem(file=str(options.file), message=f"cannot be read: {error.strerror}"))
    return found


def _take(found: _Read, row: Row, path: Path, codebook: Codebook) -> None:
    problems = list(row.problems)
    if row.label:
        problems += problems_of(row.label, codebook)
        if row.label.text.strip() and not model_input(row.label.text).text:
            problems.append(("text", "holds nothing once its marks are taken off"))
        for name in row.label.tags:
            if name not in codebook.names:
                found.unknown.setdefault(name, []).append(_problem(path, row, "tags", ""))
    if row.skipped:
        found.skipped[row.skipped] += 1
    elif problems or row.label is None:
        found.problems += [_problem(path, row, name, message) for name, message in problems]
    else:
        found.labels.append(row.label)
        found.places.append(Row(line=row.line, file=str(path / row.file) if row.file else str(path)))


def _problem(path: Path, row: Row, name: str, message: str) -> Problem:
    return Problem(file=str(path / row.file) if row.file else str(path), line=row.line, field=name, message=message)


def _added(store: LabelStore, found: _Read, *, dry: bool) -> list[Added]:
    """What becomes of the labels; only said, not done, when there are problems.

    Those whose key stands for another label become problems too, and are left out.
    """
    while True:
        try:
            return store.add(found.labels, dry=dry or bool(found.problems))
        except LabelsRefusedError as error:
            out = {at: (name, message) for at, name, message in error.problems}
            for at, (name, message) in out.items():
                place = found.places[at]
                found.problems.append(Problem(file=place.file, line=place.line, field=name, message=message))
            found.conflicting += len(out)
            found.labels = [one for at, one in enumerate(found.labels) if at not in out]
            found.places = [one for at, one in enumerate(found.places) if at not in out]


def _superseded(store: LabelStore, added: Sequence[Added]) -> int:
    """How many labels repeat a row that is not its annotator's latest one any more: it stays so."""
    repeated = {one.id for one in added if one.status == "repeated"}
    return len(repeated - {one.id for one in store.current()}) if repeated else 0


def _tell(found: _Read, added: Sequence[Added], superseded: int) -> None:
    for problem in found.problems[:_SHOWN]:
        print(problem, file=sys.stderr)
    if len(found.problems) > _SHOWN:
        print(f"… and {_number(len(found.problems) - _SHOWN, 'more problem')}", file=sys.stderr)
    counts = Counter(one.status for one in added)
    for status, word in _STATUSES.items():
        more = f" ({superseded} of them superseded since; they stay so)" if status == "repeated" and superseded else ""
        print(f"{word:<12}{counts[status]:>8}{more}")
    print(f"{'conflicting':<12}{found.conflicting:>8}")
    print(f"{'skipped':<12}{found.skipped.total():>8}")
    for why, count in found.skipped.most_common():
        print(f"{'':<12}{count:>8} {why}")
    for name, places in found.unknown.items():
        print(f"unknown tag {name!r} in {_number(len(places), 'row')}, first at {places[0].file}:{places[0].line}")


def _write_config(options: argparse.Namespace, codebook: Codebook) -> int:
    """What a project of the tool must be set up with, to the file or to standard output. Raises _StopError, OSError."""
    make = FORMATS[options.format].config if options.format else None
    if make is None:
        having = ", ".join(name for name, one in FORMATS.items() if one.config)
        message = f"--config needs a --format whose tool takes one ({having})"
        raise _StopError(message)
    if options.file is None:
        print(make(codebook))
        return 0
    with whole(options.file) as part:
        part.write_text(make(codebook) + "\n", encoding="utf-8")
    print(f"the configuration is in {options.file}")
    return 0


def _by_ending(path: Path) -> str:
    if (name := path.suffix.removeprefix(".")) in FORMATS:
        return name
    message = f"name a file that ends in .csv or .tsv, or the format with --format ({', '.join(FORMATS)})"
    raise _StopError(message)


def _is_wanted(label: Label, options: argparse.Namespace) -> bool:
    return (not options.document or label.document in options.document) and (
        not options.annotator or label.annotator in options.annotator
    )


@contextmanager
def _store(codebook: Codebook) -> Iterator[LabelStore]:
    """The labels of the database that the settings name. Raises DatabaseError."""
    engine = open_database(load_settings().database_url)
    try:
        yield LabelStore(engine, codebook)
    finally:
        engine.dispose()


@contextmanager
def _whole_folder(target: Path) -> Iterator[Path]:
    """A folder to write, which takes the name of `target` at the end. Raises _StopError when there is something, OSError."""
    if target.exists():
        message = f"{target}: there is something of that name; a folder is written, name a new one"
        raise _StopError(message)
    with TemporaryDirectory(prefix=f".{target.name}.", dir=target.parent) as making:
        part = Path(making) / target.name
        yield part
        part.rename(target)


def _number(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"


def _import_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="tagger labels import",
        description="Add the labels of a file to the database: all or none. Unknown tags are refused. What is said here of "
        "document, annotator and kind holds for every row of the file, whatever the row says.",
    )
    parser.add_argument("file", type=Path, help="a file, or a folder of a Hugging Face dataset")
    parser.add_argument("--format", choices=FORMATS, help="default: told from the file")
    parser.add_argument("--dry-run", action="store_true", help="only say what would become of the labels")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--document", metavar="ID", help="the document of all rows (default: the field `document`)")
    which.add_argument("--document-from", metavar="FIELD", help="the field or column that holds the document's id")
    parser.add_argument(
        "--annotator", metavar="NAME", help="who judged all rows; name whoever corrected labels of others in a tool"
    )
    parser.add_argument(
        "--kind", choices=("human", "llm", "rule"), help="what the annotator is (default: the field `kind`, or human)"
    )
    parser.add_argument("--suggested", action="store_true", help="the annotator was shown the model's tags before judging")
    parser.add_argument("--tags-from", metavar="FIELD", help="the column or control that lists the tags which hold")
    parser.add_argument(
        "--ignore",
        metavar="COLUMN",
        action="append",
        default=[],
        help="a column of a table that is no tag; repeat it, or * for all",
    )
    parser.add_argument(
        "--empty-is-none", action="store_true", help="of doccano: a row without a label was judged, and no tag holds"
    )
    return parser


def _export_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="tagger labels export",
        description="Write each annotator's current label of each passage to a file (to a folder: huggingface).",
    )
    parser.add_argument("file", type=Path, nargs="?")
    parser.add_argument("--format", choices=FORMATS, help="default: by the ending of the file: .csv or .tsv")
    parser.add_argument("--document", metavar="ID", action="append", default=[], help="only of this document; may be repeated")
    parser.add_argument(
        "--annotator", metavar="NAME", action="append", default=[], help="only of this annotator; may be repeated"
    )
    parser.add_argument(
        "--config", action="store_true", help="write what a project must be set up with, not labels (label-studio, doccano)"
    )
    return parser
