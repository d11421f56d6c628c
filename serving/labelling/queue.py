"""`tagger labels queue`: what to label next, of the passages that batch scoring kept or of files that it wrote.

    tagger score reports/ -o scores.jsonl --to-queue && tagger labels queue -o to-label.jsonl
    tagger labels queue scores.jsonl --size 100 --tag sanctions_demand

A line a passage, the most useful one first; passages that have a label in the store are left out. Of given files nothing is
kept.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from sqlalchemy import Engine
from sqlalchemy.exc import OperationalError

from labels.database import DatabaseError, open_database
from labels.seen import forget
from serving.arguments import positive, share
from serving.batch.scores import ScoresError
from serving.bundle import BundleError, Manifest, read_bundle
from serving.labelling.candidates import Queue, QueueError, Wanted, queue_of_files, queue_of_kept, thresholds_in
from serving.labelling.choice import SHARE, Candidate
from serving.registry import champion_path
from serving.settings import Settings, load_settings
from serving.whole import whole


def main(arguments: list[str]) -> int:
    """Print or write what to label next, or forget what is kept; the exit status."""
    options = _parser().parse_args(arguments)
    settings = load_settings()
    try:
        engine = open_database(settings.database_url)
        try:
            return _forget(engine, options) if options.forget else _main(engine, settings, options)
        finally:
            engine.dispose()
    except (DatabaseError, ScoresError, BundleError, QueueError) as error:
        print(f"tagger labels queue: {error}", file=sys.stderr)
    except OperationalError as error:
        print(f"tagger labels queue: the database does not answer: {str(error.orig).strip()}", file=sys.stderr)
    except BrokenPipeError:
        raise
    except OSError as error:
        print(f"tagger labels queue: {error.filename or options.output}: {error.strerror}", file=sys.stderr)
    return 1


def line_of(one: Candidate) -> dict[str, Any]:
    """A passage of the queue as JSON."""
    return {
        "document": one.document,
        **one.place,
        "text": one.text,
        "context": one.context,
        "tags": list(one.tags),
        "scores": {tag: round(score, 4) for tag, score in one.scores.items()},
        "uncertainty": round(one.near.uncertainty, 4),
        "why": {"tag": one.near.tag, "score": round(one.near.score, 4), "threshold": one.near.threshold},
        "model": one.bundle,
    }


def _main(engine: Engine, settings: Settings, options: argparse.Namespace) -> int:
    wanted = Wanted(size=options.size, tag=options.tag, document=options.document, share=options.share)
    otherwise = _otherwise(settings, options.bundle)
    if otherwise and wanted.tag and wanted.tag not in otherwise.tags:
        message = f"{wanted.tag!r} is no tag of this model (tags: {', '.join(otherwise.tags)})"
        raise QueueError(message)
    thresholds = thresholds_in(settings.models, otherwise)
    if options.files:
        found = queue_of_files(engine, options.files, thresholds, wanted)
    else:
        found = queue_of_kept(engine, thresholds, wanted)
    lines = [json.dumps(line_of(one), ensure_ascii=False) + "\n" for one in found.passages]
    if options.output:
        with whole(options.output) as part:
            part.write_text("".join(lines), encoding="utf-8", newline="\n")
    else:
        sys.stdout.writelines(lines)
    print(_told(found, options), file=sys.stderr)
    return 0


def _told(found: Queue, options: argparse.Namespace) -> str:
    where = f" in {options.output}" if options.output else ""
    hint = "" if found.waiting or options.files else "; `tagger score … --to-queue` keeps some"
    return f"tagger labels queue: {len(found.passages)} to label{where}, {found.waiting} wait{hint}"


def _forget(engine: Engine, options: argparse.Namespace) -> int:
    if options.files:
        message = "--forget empties the table of kept passages; of files nothing is kept"
        raise QueueError(message)
    print(f"tagger labels queue: forgot {forget(engine)} passages", file=sys.stderr)
    return 0


def _otherwise(settings: Settings, named: Path | None) -> Manifest | None:
    """The bundle that was named, else the champion, if there is one. Raises BundleError for a bad one that was named."""
    if named:
        return read_bundle(named)
    try:
        return read_bundle(champion_path(settings))
    except BundleError:
        return None


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="tagger labels queue", description="What to label next.")
    parser.add_argument("files", nargs="*", type=Path, help="outputs of `tagger score` (default: the passages it kept)")
    parser.add_argument("-o", "--output", type=Path, help="a file of JSON lines (default: standard output)")
    parser.add_argument("--size", type=positive, default=50, help="passages at most (default: %(default)s)")
    parser.add_argument("--tag", help="by this tag alone (default: by the one that is nearest to its threshold)")
    parser.add_argument("--document", help="of this document alone")
    parser.add_argument(
        "--share", type=share, default=SHARE, help="that one document may fill while others have any (default: %(default)s)"
    )
    parser.add_argument("--bundle", type=Path, help="judges passages of bundles that are not here (default: the champion)")
    parser.add_argument("--forget", action="store_true", help="delete all passages that batch scoring kept")
    return parser
