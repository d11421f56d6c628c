"""Gold labels from annotations: a passage on which all annotators agree takes their tags, any other an adjudication.

Reads `labels/adjudications.jsonl`, one row for each passage with a disagreement: what was decided of each disputed tag, and
why. Writes nothing.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from labels.annotations import Annotation, passage_id, read_object, text_sha256
from labels.codebook import Codebook
from labels.passages import Passage
from labels.problems import Problem


@dataclass(frozen=True, slots=True, kw_only=True)
class GoldRow:
    """The label of one passage as training and evaluation use it."""

    passage: str
    document: str
    start: int
    end: int
    context: str
    text: str
    tags: dict[str, bool | None]
    unsure: list[str]
    """Tags that an annotator was unsure of, or that were in dispute."""
    method: str
    """How the label came about: 'single' (one annotator), 'agreed' or 'adjudicated'."""
    sources: list[str]
    """Annotators."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Adjudication:
    """What was decided of a passage whose annotators differ. Field names are those of the JSON row."""

    passage: str
    text_sha256: str
    tags: dict[str, bool]
    """The disputed tags, no other."""
    reason: dict[str, str]
    """Why, for each disputed tag."""
    adjudicator: str
    codebook: str


def current_rows(annotations: Iterable[Annotation]) -> dict[str, dict[str, Annotation]]:
    """Passage -> annotator -> the row that counts; a later row of an annotator supersedes the earlier one."""
    found: dict[str, dict[str, Annotation]] = defaultdict(dict)
    for row in annotations:
        found[row.passage][row.annotator] = row
    return found


def disputed(rows: Iterable[Annotation]) -> list[str]:
    """The tags that some annotators gave and others did not; a tag that one did not judge is no dispute."""
    judged: dict[str, set[bool]] = defaultdict(set)
    for row in rows:
        for tag, holds in row.tags.items():
            if holds is not None:
                judged[tag].add(holds)
    return [tag for tag, values in judged.items() if len(values) > 1]


def read_adjudications(path: Path) -> tuple[list[Adjudication], list[Problem]]:
    """The rows of the file, none when there is no file, and a problem for every line that is not one."""
    if not path.exists():
        return [], []
    rows: list[Adjudication] = []
    problems: list[Problem] = []
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        return [], [Problem(file=str(path), message=f"cannot be read: {error}")]
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        row, wrong = _parse(line)
        problems += [Problem(file=str(path), line=number, field=field, message=message) for field, message in wrong]
        if row and any(other.passage == row.passage for other in rows):
            problems.append(
                Problem(file=str(path), line=number, field="passage", message=f"{row.passage!r} stands there twice")
            )
        elif row:
            rows.append(row)
    return rows, problems


def derive_gold(
    passages: dict[str, list[Passage]],
    annotations: list[Annotation],
    adjudications: list[Adjudication],
    codebook: Codebook,
    file: str,
) -> tuple[list[GoldRow], list[Problem]]:
    """Gold rows in document order, and every passage that has no annotation or whose dispute is not settled.

    `file` is named in the problems found.
    """
    by_passage = current_rows(annotations)
    settled = {row.passage: row for row in adjudications}
    gold: list[GoldRow] = []
    problems: list[Problem] = []
    known: set[str] = set()
    for document, found in passages.items():
        for passage in found:
            name = passage_id(document, passage.start, passage.end)
            known.add(name)
            rows = list(by_passage.get(name, {}).values())
            decided = settled.get(name)
            if not rows:
                problems.append(Problem(file=file, message=f"no annotation of passage {name}"))
                continue
            dispute = disputed(rows)
            wrong = _check(passage, dispute, decided, codebook.version)
            problems += [Problem(file=file, message=f"{name}: {message}") for message in wrong]
            if wrong:
                continue
            row = _gold_row(name, document, passage, rows, dispute, decided, codebook.names)
            broken = [
                (tag.name, one) for tag in codebook.tags for one in tag.implies if row.tags[tag.name] and not row.tags[one]
            ]
            problems += [Problem(file=file, message=f"{name}: {tag} holds, so {one} must hold too") for tag, one in broken]
            gold.append(row)
    strangers = [name for name in settled if name not in known]
    problems += [Problem(file=file, message=f"{name}: is no passage of the segmentation") for name in strangers]
    return gold, problems


def _gold_row(
    name: str,
    document: str,
    passage: Passage,
    rows: list[Annotation],
    dispute: list[str],
    decided: Adjudication | None,
    names: tuple[str, ...],
) -> GoldRow:
    tags: dict[str, bool | None] = {
        tag: next((row.tags[tag] for row in rows if row.tags[tag] is not None), None) for tag in names
    }
    doubted = {tag for row in rows for tag in row.unsure} | set(dispute)
    return GoldRow(
        passage=name,
        document=document,
        start=passage.start,
        end=passage.end,
        context=passage.context,
        text=passage.text,
        tags={**tags, **(decided.tags if decided else {})},
        unsure=[tag for tag in names if tag in doubted],
        method="adjudicated" if decided else "agreed" if len(rows) > 1 else "single",
        sources=sorted(row.annotator for row in rows),
    )


def _check(passage: Passage, dispute: list[str], decided: Adjudication | None, codebook: str) -> list[str]:
    if decided is None:
        return [f"the annotators differ on {', '.join(dispute)}; settle it in adjudications.jsonl"] if dispute else []
    wrong: list[str] = []
    if sorted(decided.tags) != sorted(dispute):
        wrong.append(f"adjudicated are {', '.join(decided.tags) or 'no tags'}, in dispute are {', '.join(dispute) or 'none'}")
    if sorted(decided.reason) != sorted(decided.tags) or not all(map(str.strip, decided.reason.values())):
        wrong.append("each adjudicated tag needs a reason")
    if decided.text_sha256 != text_sha256(passage.text):
        wrong.append(f"text_sha256 {decided.text_sha256!r} is not that of the passage")
    if decided.codebook != codebook:
        wrong.append(f"adjudicated by codebook {decided.codebook!r}, it is {codebook!r}")
    return wrong


def _parse(line: str) -> tuple[Adjudication | None, list[tuple[str, str]]]:
    data, wrong = read_object(line, Adjudication)
    wrong += [(name, f"{data[name]!r} is not {what}") for name, what, fits in _SHAPES if name in data and not fits(data[name])]
    return (None, wrong) if wrong else (Adjudication(**data), [])


def _is_string(value: Any) -> bool:
    return isinstance(value, str)


def _is_object_of(kind: type, value: Any) -> bool:
    return isinstance(value, dict) and all(isinstance(entry, kind) for entry in value.values())


_SHAPES = (
    *((name, "a string", _is_string) for name in ("passage", "text_sha256", "adjudicator", "codebook")),
    ("tags", "an object of true or false", lambda value: _is_object_of(bool, value)),
    ("reason", "an object of strings", lambda value: _is_object_of(str, value)),
)
