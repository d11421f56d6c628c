"""From annotators' rows to one label a passage: a vote an annotator, most votes win, ties are left out and listed."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from labels.store import Label


@dataclass(frozen=True, slots=True, kw_only=True)
class VotedPassage:
    """What the annotators of a passage make of it together."""

    document: str
    passage: str
    """`labels.store.passage_key` of its text and context."""
    text: str
    context: str
    tags: dict[str, bool | None]
    """null where nobody judged, or as many were for as against."""
    ties: list[str]
    """Tags on which as many annotators were for as against."""
    annotators: list[str]
    agreed: bool
    """Whether nobody contradicted anybody."""


def voted(
    rows: Iterable[Label], names: Sequence[str], base: Mapping[tuple[str, str], Sequence[Mapping[str, bool | None]]] = {}
) -> list[VotedPassage]:
    """One entry a passage, in order of first appearance; `rows` are the annotators' current ones.

    `base`: (document, passage key) -> the votes that a passage has already, as the reviewed base gives them.
    """
    groups: dict[tuple[str, str], list[Label]] = defaultdict(list)
    for row in rows:
        groups[row.document, row.passage].append(row)
    return [_vote(found, names, base.get(key, ())) for key, found in groups.items()]


def _vote(rows: Sequence[Label], names: Sequence[str], base: Sequence[Mapping[str, bool | None]]) -> VotedPassage:
    tags: dict[str, bool | None] = {}
    ties: list[str] = []
    agreed = True
    for name in names:
        counts = Counter(one[name] for one in [*(row.tags for row in rows), *base] if one.get(name) is not None)
        agreed = agreed and len(counts) <= 1
        tied = counts[True] == counts[False]
        tags[name] = None if tied else counts[True] > counts[False]
        if tied and counts:
            ties.append(name)
    first = rows[0]
    return VotedPassage(
        document=first.document,
        passage=first.passage,
        text=first.text,
        context=first.context,
        tags=tags,
        ties=ties,
        annotators=[row.annotator for row in rows],
        agreed=agreed,
    )
