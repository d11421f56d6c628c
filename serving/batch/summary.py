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
from dataclasses import dataclass, field
from pathlib import Path
from string import Template
from typing import Any, TextIO

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from serving.batch.scores import ScoresError, read_scores
from serving.whole import whole

_PAGE = Path(__file__).with_name("page.html")
_SHOWN_PASSAGES = 300
"""Of a document on the page: those with the highest scores."""
_SHOWN_DOCUMENTS = 5000


@dataclass(slots=True, kw_only=True)
class Found:
    """What was found in one document."""

    document: str
    passages: int = 0
    failed: int = 0
    review: int = 0
    tags: dict[str, int] = field(default_factory=dict)
    best: list[tuple[float, int, dict[str, Any]]] = field(default_factory=list)
    """(highest score, minus the number of the row, row) of the passages to show, a heap."""


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
        with _lines(options.to_labels) as labels:
            documents, tags, written = _gathered(read_scores(options.scores), chosen, labels, shown=bool(options.html))
        if options.html:
            with whole(options.html) as part:
                part.write_text(page(documents, tags, options.scores.name), encoding="utf-8")
    except (ScoresError, OSError) as error:
        print(f"tagger summary: {error}", file=sys.stderr)
        return 2
    _print(documents, tags)
    if options.to_labels:
        print(f"{written} passages to label in {options.to_labels}")
    if options.html:
        print(f"a page to look at: {options.html}")
    return 0


@contextmanager
def _lines(path: Path | None) -> Iterator[TextIO | None]:
    """A file of lines; without a name none."""
    if path is None:
        yield None
        return
    with whole(path) as part, part.open("w", encoding="utf-8", newline="\n") as out:
        yield out


def _gathered(
    rows: Iterable[dict[str, Any]], chosen: Chosen, labels: TextIO | None, *, shown: bool
) -> tuple[list[Found], list[str], int]:
    """The documents in their order, the tags, and how many rows were written to label; few rows in memory."""
    found: dict[str, Found] = {}
    tags: list[str] = []
    written = 0
    for number, row in enumerate(rows):
        one = found.setdefault(row["document"], Found(document=row["document"]))
        if "error" in row:
            one.failed += 1
            continue
        tags = tags or list(row["scores"])
        one.passages += 1
        one.review += bool(row["review"])
        for tag in row["tags"]:
            one.tags[tag] = one.tags.get(tag, 0) + 1
        if not chosen.takes(row):
            continue
        if labels and "text" in row:
            labels.write(json.dumps(_to_label(row), ensure_ascii=False) + "\n")
            written += 1
        if shown and (row["tags"] or row["review"]) and (one.best or len(found) <= _SHOWN_DOCUMENTS):
            heapq.heappush(one.best, (max(row["scores"].values()), -number, row))
            if len(one.best) > _SHOWN_PASSAGES:
                heapq.heappop(one.best)
    return list(found.values()), tags, written


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


def page(documents: Sequence[Found], tags: Sequence[str], title: str) -> str:
    """The page: one file, no network."""
    data = {
        "title": title,
        "tags": list(tags),
        "documents": [
            {
                "name": one.document,
                "passages": one.passages,
                "failed": one.failed,
                "review": one.review,
                "tags": [one.tags.get(tag, 0) for tag in tags],
                "best": [_shown(row, tags) for _, _, row in sorted(one.best, key=lambda entry: -entry[1])],
            }
            for one in documents[:_SHOWN_DOCUMENTS]
        ],
        "more": max(0, len(documents) - _SHOWN_DOCUMENTS),
        "most": _SHOWN_PASSAGES,
    }
    # `</script>` within a passage would end the data.
    return Template(_PAGE.read_text(encoding="utf-8")).substitute(
        data=json.dumps(data, ensure_ascii=False).replace("<", "\\u003c")
    )


def _shown(row: dict[str, Any], tags: Sequence[str]) -> dict[str, Any]:
    place = next((f"{name} {row[name]}" for name in ("page", "line", "row") if name in row), "")
    return {
        "text": row.get("text", ""),
        "context": row.get("context", ""),
        "place": place,
        "tags": row["tags"],
        "review": row["review"],
        "scores": [round(row["scores"].get(tag) or 0.0, 3) for tag in tags],
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
