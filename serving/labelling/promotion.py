"""`tagger labels promote`: labels of the store, reviewed, into the base in git, as a diff that can be read.

tagger labels promote --reviewer maria --document report-2024           what all annotators agree on
tagger labels promote --reviewer maria --disputes decide.jsonl          writes what they differ on, to be decided
tagger labels promote --reviewer maria --decisions decide.jsonl         the same file, with `tags` and `reason` filled in
"""

import argparse
import json
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy.exc import DBAPIError

import labels
from labels.annotations import text_sha256
from labels.codebook import Codebook, load_codebook
from labels.database import DatabaseError, open_database
from labels.documents import SEEDS, load_documents
from labels.passages import split_passages
from labels.problems import CorpusError, Problem
from labels.reviewed import FOLDER, ReviewedRow, joined, read_reviewed, write_reviewed
from labels.store import Label, LabelStore, passage_key
from labels.votes import VotedPassage, voted
from serving.model_input import model_input
from serving.settings import load_settings
from serving.whole import whole

_INTO = Path(labels.__file__).parent / "annotations" / FOLDER


class PromotionError(Exception):
    """Raised when nothing can be written; the message says why, a line a problem."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Decision:
    tags: Mapping[str, bool | None]
    reason: str


def main(arguments: list[str]) -> int:
    """Promote labels; the exit status."""
    options = _parser().parse_args(arguments)
    try:
        engine = open_database(load_settings().model_copy(update={"state": options.state}).database_url)
        try:
            _promote(options, LabelStore(engine, load_codebook()))
        finally:
            engine.dispose()
    except (DatabaseError, PromotionError, CorpusError) as error:
        print(f"tagger labels promote: {error}", file=sys.stderr)
        return 1
    except DBAPIError as error:
        print(f"tagger labels promote: the database does not answer: {str(error.orig).strip()}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"tagger labels promote: {error.filename}: {error.strerror}", file=sys.stderr)
        return 1
    return 0


def _promote(options: argparse.Namespace, store: LabelStore) -> None:
    rows = [row for row in store.current() if row.codebook == store.codebook.version]
    chosen = _placed([row for row in rows if not options.document or row.document in options.document])
    if unknown := set(options.document) - {row.document for row in rows}:
        message = f"the store holds no labels of {', '.join(sorted(unknown))}"
        raise PromotionError(message)
    passages = [one for one in voted(chosen, store.codebook.names) if model_input(one.text).text]
    votes: dict[tuple[str, str], list[Label]] = defaultdict(list)
    for row in chosen:
        votes[row.document, row.passage].append(row)
    decisions = _read_decisions(options.decisions, store.codebook) if options.decisions else {}
    if strangers := set(decisions) - {(one.document, one.passage) for one in passages}:
        message = "\n".join(
            f"{options.decisions}: the store holds no passage {key[:16]} of {name}" for name, key in sorted(strangers)
        )
        raise PromotionError(message)
    reviewed = [
        made
        for one in passages
        if (made := _reviewed(one, votes[one.document, one.passage], decisions, options.reviewer, store.codebook))
    ]
    disputed = [one for one in passages if not one.agreed and (one.document, one.passage) not in decisions]
    if options.disputes and not options.dry_run:
        _write_disputes(options.disputes, disputed, votes)
    counts = _write(options.into, reviewed, store.codebook, dry=options.dry_run)
    counts["disputed, left out"] = len(disputed)
    print(", ".join(f"{count} {what}" for what, count in counts.items()))
    for one in disputed:
        print(f"disputed: {one.document}: {one.text[:100]!r}", file=sys.stderr)


def _placed(rows: Sequence[Label]) -> list[Label]:
    """Rows of a seed's passage that was given without its lead-in or its marks become rows of that passage.

    Raises PromotionError for a row that names a seed and holds no passage of it: it would stand beside the seed's own.
    """
    known: dict[str, dict[str, list[tuple[str, str]]]] = {}
    for document in load_documents() if SEEDS.is_dir() else ():  # an installed service has none
        texts = known.setdefault(document.id, defaultdict(list))
        for passage in split_passages(document.text):
            texts[model_input(passage.text).text].append((passage.text, passage.context))
    placed: list[Label] = []
    strangers: list[str] = []
    for row in rows:
        same = known.get(row.document, {}).get(model_input(row.text).text, [])
        exact = [one for one in same if one == (row.text, row.context)]
        found = exact or same
        if row.document in known and len(set(found)) != 1:
            strangers.append(
                f"{row.document} is a seed, and this is {'several' if found else 'none'} of its passages: {row.text[:80]!r}"
            )
        elif found:
            text, context = found[0]
            placed.append(replace(row, text=text, context=context, passage=passage_key(text, context)))
        else:
            placed.append(row)
    if strangers:
        raise PromotionError("\n".join(strangers))
    return placed


def _reviewed(
    one: VotedPassage, rows: Sequence[Label], decisions: Mapping[tuple[str, str], _Decision], reviewer: str, codebook: Codebook
) -> ReviewedRow | None:
    """The row to write; None for a passage whose annotators differ and that nobody has decided."""
    decided = decisions.get((one.document, one.passage))
    if not one.agreed and decided is None:
        return None
    tags = {name: decided.tags.get(name, one.tags[name]) if decided else one.tags[name] for name in codebook.names}
    return ReviewedRow(
        document=one.document,
        text=one.text,
        context=one.context,
        text_sha256=text_sha256(one.text),
        tags=tags,
        annotators=sorted(one.annotators),
        disputed=[name for name in codebook.names if {True, False} <= {row.tags[name] for row in rows}],
        reviewer=reviewer,
        reason=decided.reason if decided else "",
        codebook=codebook.version,
        created=datetime.now(UTC).isoformat(timespec="milliseconds"),
    )


def _write(folder: Path, rows: Iterable[ReviewedRow], codebook: Codebook, *, dry: bool) -> Counter[str]:
    """Put rows among those that the folder holds, which they replace; how many are new, changed and as before."""
    held, problems = read_reviewed(folder, codebook)
    if problems:
        raise PromotionError("\n".join(map(str, problems)))
    before = {(row.document, row.passage): row for row in held}
    after = dict(before)
    counts: Counter[str] = Counter({"new": 0, "changed": 0, "as before": 0})
    for row in rows:
        key = (row.document, row.passage)
        earlier = before.get(key)
        if earlier and None in row.tags.values():  # from another store: what was judged there only is kept
            tags = joined(row.tags, earlier.tags, codebook)
            row = replace(row, tags=tags, annotators=sorted({*row.annotators, *earlier.annotators}))  # noqa: PLW2901
        if earlier and replace(row, created=earlier.created, reviewer=earlier.reviewer) == earlier:
            counts["as before"] += 1
            continue
        counts["changed" if earlier else "new"] += 1
        after[key] = row
    if not dry and (counts["new"] or counts["changed"]):
        touched = {name for (name, key), row in after.items() if before.get((name, key)) is not row}
        for path in write_reviewed(folder, (row for row in after.values() if row.document in touched)):
            print(f"wrote {path}", file=sys.stderr)
    return counts


def _write_disputes(path: Path, disputed: Iterable[VotedPassage], votes: Mapping[tuple[str, str], Sequence[Label]]) -> None:
    if path.exists():
        message = f"{path}: is there already, and may hold decisions; name another file, or give it as --decisions"
        raise PromotionError(message)
    with whole(path) as part, part.open("w", encoding="utf-8") as file:
        for one in disputed:
            said = {row.annotator: row.tags for row in votes[one.document, one.passage]}
            line: dict[str, Any] = {"document": one.document, "passage": one.passage, "context": one.context, "text": one.text}
            file.write(json.dumps({**line, "votes": said, "tags": one.tags, "reason": ""}, ensure_ascii=False) + "\n")


def _read_decisions(path: Path, codebook: Codebook) -> dict[tuple[str, str], _Decision]:
    found: dict[tuple[str, str], _Decision] = {}
    problems: list[Problem] = []
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except UnicodeDecodeError as error:
        message = f"{path}: not UTF-8: byte {error.start} is {error.object[error.start]:#04x}"
        raise PromotionError(message) from error
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        wrong = list(_wrong(line, codebook))
        problems += [Problem(file=str(path), line=number, field=field, message=message) for field, message in wrong]
        if not wrong:
            row = json.loads(line)
            found[row["document"], row["passage"]] = _Decision(tags=row["tags"], reason=row["reason"])
    if problems:
        raise PromotionError("\n".join(map(str, problems)))
    return found


def _wrong(line: str, codebook: Codebook) -> Iterator[tuple[str, str]]:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        yield "", f"not JSON: {error}"
        return
    if not isinstance(row, dict):
        yield "", "a row is a JSON object"
        return
    for name in ("document", "passage", "reason"):
        if not isinstance(row.get(name), str) or not row[name].strip():
            yield name, f"{row.get(name)!r} is no text" + ("; say why it was decided so" if name == "reason" else "")
    yield from _wrong_tags(row.get("tags"), codebook)


def _wrong_tags(tags: Any, codebook: Codebook) -> Iterator[tuple[str, str]]:
    if not isinstance(tags, dict) or not set(tags) <= set(codebook.names):
        yield "tags", f"{tags!r} is no object of the tags {', '.join(codebook.names)}"
        return
    for name in codebook.names:
        if not isinstance(tags.get(name), bool):
            yield "tags", f"{name}: {tags.get(name)!r} is not true or false: decide it"
    for tag in codebook.tags:
        for implied in tag.implies:
            if tags.get(tag.name) and not tags.get(implied):
                yield "tags", f"{tag.name} holds, so {implied} must hold too"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="tagger labels promote", description="Reviewed labels of the store into the base in git."
    )
    parser.add_argument("--reviewer", required=True, help="who stands behind it")
    parser.add_argument("--document", action="append", default=[], help="only this one; may be repeated")
    parser.add_argument("--disputes", type=Path, help="write what annotators differ on here, to be decided")
    parser.add_argument("--decisions", type=Path, help="such a file, decided: `tags` and `reason` of each row")
    parser.add_argument("--dry-run", action="store_true", help="only say what would change")
    parser.add_argument("--into", type=Path, default=_INTO, help="folder (default: labels/annotations/reviewed)")
    parser.add_argument("--state", type=Path, default=load_settings().state, help="state folder (default: %(default)s)")
    return parser
