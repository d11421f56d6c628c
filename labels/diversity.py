"""How varied the authored passages are: distinct n-grams, likeness to the nearest other passage, genres by tag.

Distinct n-grams: Li et al. 2016, "A Diversity-Promoting Objective Function". 1 is a text in which no run of n words comes
twice.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Sequence

from labels.authored import AuthoredPassage
from labels.shingles import shingles

_GENRES = 30
"""Genres that the table shows one by one; the others are one line."""
_RUN = 4
"""Words of the runs by which two passages are alike."""


def distinct(passages: Sequence[AuthoredPassage], size: int) -> float:
    """Share of runs of `size` words, over all passages, that are distinct; nan without any."""
    seen: set[tuple[str, ...]] = set()
    total = 0
    for passage in passages:
        for run in shingles(passage.text, size):
            seen.add(run)
            total += 1
    return len(seen) / total if total else float("nan")


def likeness(passages: Sequence[AuthoredPassage]) -> float:
    """Mean over passages of the largest share of their runs of four words that one passage of another family holds too."""
    holders: dict[tuple[str, ...], list[int]] = defaultdict(list)
    runs = [set(shingles(passage.text, _RUN)) for passage in passages]
    for index, found in enumerate(runs):
        for run in found:
            holders[run].append(index)
    shares: list[float] = []
    for index, found in enumerate(runs):
        shared: Counter[int] = Counter()
        for run in found:
            shared.update(other for other in holders[run] if passages[other].family != passages[index].family)
        if found:
            shares.append(max(shared.values(), default=0) / len(found))
    return sum(shares) / len(shares) if shares else float("nan")


def genre_of(passage: AuthoredPassage) -> str:
    """The genre without its details: 'statute, explanatory note' and 'Statutes' count as 'statute'."""
    head = re.split(r"[,(:]", passage.genre.replace("_", " ").lower())[0].strip()
    return head.removesuffix("s") if not head.endswith("ss") else head


def diversity_table(passages: Sequence[AuthoredPassage], names: Sequence[str]) -> str:
    """Markdown, as `tagger labels diversity` and the dataset card show it."""
    grams = ", ".join(f"{size} words {distinct(passages, size):.3f}" for size in (1, 2, 3, 4))
    places = {passage.place for passage in passages if passage.place}
    genres: dict[str, list[AuthoredPassage]] = defaultdict(list)
    for passage in passages:
        genres[genre_of(passage)].append(passage)
    ranked = sorted(genres, key=lambda genre: (-len(genres[genre]), genre))
    lines = [
        f"Distinct runs of words: {grams}. Share of a passage's runs of {_RUN} words that its nearest passage",
        f"of another family holds too, mean: {likeness(passages):.4f}. {len(places)} places, {len(genres)} genres:",
        "",
        f"| genre | passages | {' | '.join(names)} | none |",
        f"| --- | --: |{' --: |' * len(names)} --: |",
    ]
    lines += [_line(genre, genres[genre], names) for genre in ranked[:_GENRES]]
    rest = [passage for genre in ranked[_GENRES:] for passage in genres[genre]]
    if rest:
        lines.append(_line(f"{len(ranked) - _GENRES} other genres", rest, names))
    return "\n".join(lines)


def _line(genre: str, passages: Sequence[AuthoredPassage], names: Sequence[str]) -> str:
    counts = [sum(passage.tags[name] for passage in passages) for name in names]
    none = sum(not any(passage.tags.values()) for passage in passages)
    return f"| {genre} | {len(passages)} | {' | '.join(map(str, counts))} | {none} |"
