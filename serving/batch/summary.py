"""`tagger summary`: what a run found, by document and tag; as a page to look at; and as a file to label.

tagger summary scores.parquet --html scores.html
tagger summary scores.jsonl --review --to-labels to-label.jsonl
"""

import argparse
import heapq
import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from serving.batch.page import SHOWN_DOCUMENTS, SHOWN_PASSAGES, Found, page
from serving.batch.scores import ScoresError, read_scores
from serving.whole import whole


class SummaryError(Exception):
    """Raised when what was asked for cannot be done; the message is for people."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """Which rows are looked at."""

    tags: Sequence[str] = ()
    min_score: float = 0.0
    review: bool = False

    def takes(self, row: dict[str, Any]) -> bool:
        """Whether a scored row is one of them."""
        if self.review and not row["review"]:
            return False
        if self.tags and not set(self.tags).intersection([*row["tags"], *row["review"]]):
            return False
        return max((row["scores"].get(tag, 0.0) for tag in self.tags or row["scores"]), default=0.0) >= self.min_score


def main(arguments: list[str]) -> int:
    """Print the table and write what was asked for; the exit status."""
    options = _parser().parse_args(arguments)
    chosen = Chosen(tags=tuple(options.tag), min_score=options.min_score, review=options.review)
    try:
        _check_paths(options.scores, options.html, options.to_labels)
        with _lines(options.to_labels) as labels:
            documents, tags, written = _gathered(_read(options.scores), chosen, labels, shown=bool(options.html))
            _check_tags(options.tag, tags, options.scores)
        if options.html:
            with _written(options.html) as part:
                part.write_text(page(documents, tags, options.scores.name), encoding="utf-8")
    except (ScoresError, SummaryError) as error:
        print(f"tagger summary: {error}", file=sys.stderr)
        return 2
    _print(documents, tags)
    if options.to_labels:
        print(f"{written} passages to label in {options.to_labels}")
    if options.html:
        print(f"a page to look at: {options.html}")
    return 0


def _check_paths(scores: Path, page_file: Path | None, labels: Path | None) -> None:
    """Raise SummaryError for an input that is not there, and for outputs that would destroy it, each other or labels."""
    outputs = [one for one in (page_file, labels) if one]
    if not scores.exists():
        message = f"{scores}: no such file"
        raise SummaryError(message)
    inputs = [scores, *(scores.iterdir() if scores.is_dir() else ())]
    for number, output in enumerate(outputs):
        if any(_is_same(one, output) for one in inputs) or scores.resolve() in output.resolve().parents:
            message = f"{output} is the input and an output; name another output"
            raise SummaryError(message)
        if any(_is_same(one, output) for one in outputs[:number]):
            message = f"{output} is named for two outputs; name another one"
            raise SummaryError(message)
        if output.exists() and not output.is_file():
            message = f"{output} is no file that could be replaced; name another output"
            raise SummaryError(message)
    if labels and labels.exists():
        message = f"{labels} exists already, perhaps with labels in it; name another file, or remove it"
        raise SummaryError(message)


def _is_same(one: Path, other: Path) -> bool:
    """Whether two paths are one file, links of both kinds included."""
    return one.resolve() == other.resolve() or (one.exists() and other.exists() and one.samefile(other))


def _check_tags(asked: Sequence[str], tags: Sequence[str], scores: Path) -> None:
    """Raise SummaryError for a tag that no row knows; where nothing was scored there is none to know."""
    for tag in asked:
        if tags and tag not in tags:
            message = f"{tag!r} is no tag of {scores} (tags: {', '.join(tags)})"
            raise SummaryError(message)


def _read(path: Path) -> Iterator[dict[str, Any]]:
    try:
        yield from read_scores(path)
    except OSError as error:
        message = f"{path}: {error.strerror or error}"
        raise SummaryError(message) from error


@contextmanager
def _written(path: Path) -> Iterator[Path]:
    """A file that is whole or not there. Raises SummaryError."""
    try:
        with whole(path) as part:
            yield part
    except OSError as error:
        message = f"{path}: cannot be written: {error.strerror}"
        raise SummaryError(message) from error


@contextmanager
def _lines(path: Path | None) -> Iterator[TextIO | None]:
    """A file of lines; without a name none."""
    if path is None:
        yield None
        return
    with _written(path) as part, part.open("w", encoding="utf-8", newline="\n") as out:
        yield out


def _gathered(
    rows: Iterable[dict[str, Any]], chosen: Chosen, labels: TextIO | None, *, shown: bool
) -> tuple[list[Found], list[str], int]:
    """The documents in their order, the tags, and how many rows were written to label; few rows in memory."""
    found: dict[str, Found] = {}
    tags: dict[str, None] = {}
    written = 0
    for number, row in enumerate(rows):
        one = found.setdefault(row["document"], Found(document=row["document"]))
        if "error" in row:
            one.failed += 1
            continue
        tags.update(dict.fromkeys(row["scores"]))
        one.passages += 1
        one.review += bool(row["review"])
        for tag in row["tags"]:
            one.tags[tag] = one.tags.get(tag, 0) + 1
        if not chosen.takes(row):
            continue
        if labels and "text" in row:
            labels.write(json.dumps(_to_label(row), ensure_ascii=False) + "\n")
            written += 1
        if shown and (row["tags"] or row["review"]) and (one.best or len(found) <= SHOWN_DOCUMENTS):
            heapq.heappush(one.best, (max(row["scores"].values()), -number, row))
            if len(one.best) > SHOWN_PASSAGES:
                heapq.heappop(one.best)
    return list(found.values()), list(tags), written


def _to_label(row: dict[str, Any]) -> dict[str, Any]:
    """A passage as somebody labels it: its place, and what the model suggests."""
    place: dict[str, Any] = {
        name: row[name] for name in ("document", "start", "end", "page", "line", "row", "id") if name in row
    }
    return {
        **place,
        "text": row["text"],
        "context": row.get("context", ""),
        "suggested": row["tags"],
        "review": row["review"],
        "scores": {tag: round(score, 4) for tag, score in row["scores"].items()},
        "model": row.get("model"),
    }


def _print(documents: Sequence[Found], tags: Sequence[str]) -> None:
    """The documents, and where they come from when that is more than one place."""
    console = Console(width=None if sys.stdout.isatty() else 1000)
    console.print(_table("document", documents, tags))
    sources: dict[str, Found] = {}
    for one in documents:
        place = one.document.rpartition("/")[0] or "."
        source = sources.setdefault(place, Found(document=place))
        source.passages += one.passages
        source.failed += one.failed
        source.review += one.review
        for tag, count in one.tags.items():
            source.tags[tag] = source.tags.get(tag, 0) + count
    if len(sources) > 1:
        console.print(_table("source", list(sources.values()), tags))


def _table(title: str, rows: Sequence[Found], tags: Sequence[str]) -> Table:
    table = Table(title, "passages", *tags, "review", "failed")
    for one in rows:
        counts = (one.passages, *(one.tags.get(tag, 0) for tag in tags), one.review, one.failed)
        table.add_row(escape(one.document), *map(str, counts))
    if len(rows) > 1:
        table.add_section()
        totals = [sum(one.tags.get(tag, 0) for one in rows) for tag in tags]
        ends = (sum(one.review for one in rows), sum(one.failed for one in rows))
        table.add_row("all", *map(str, (sum(one.passages for one in rows), *totals, *ends)))
    return table


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="tagger summary", description="What a run of `tagger score` found.")
    parser.add_argument("scores", type=Path, help="an output of `tagger score`: .jsonl, .csv, .tsv or .parquet")
    parser.add_argument("--html", type=Path, help="write a page to look at")
    parser.add_argument("--to-labels", type=Path, metavar="FILE", help="write the chosen passages as JSON lines to label")
    parser.add_argument(
        "--tag", action="append", default=[], help="only passages with this tag, given or in doubt; may be repeated"
    )
    parser.add_argument("--min-score", type=float, default=0.0, help="only passages with a score of at least this")
    parser.add_argument("--review", action="store_true", help="only passages with a decision that is not safe")
    return parser
