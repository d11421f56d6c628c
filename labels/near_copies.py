"""Which passages are near copies of others: what must not stand on both sides of a split."""

from collections import Counter, defaultdict
from collections.abc import Sequence

from labels.shingles import shingles

_SIZE = 3
"""Words of a shingle: passages are short, and an edited copy of twenty words still shares half of these."""
_ALIKE = 0.5
"""Jaccard similarity of the sets of shingles from which on two passages are near copies (Broder 1997, "On the resemblance
and containment of documents")."""
_CONTAINED, _MIN_CONTAINED = 0.8, 5
"""Share of the smaller set that the larger one holds, from which on one is a piece of the other; sets of so many at least."""


def near_copies(texts: Sequence[str], others: Sequence[str]) -> dict[int, set[int]]:
    """Index of a text -> indices of the others that it nearly copies, holds or is a piece of; those without one are left out.

    Texts of fewer than three words copy only what has the same words.
    """
    index: dict[tuple[str, ...], list[int]] = defaultdict(list)
    sizes: list[int] = []
    for at, other in enumerate(others):
        found = _shingles(other)
        sizes.append(len(found))
        for shingle in found:
            index[shingle].append(at)
    copies: dict[int, set[int]] = {}
    for at, text in enumerate(texts):
        mine = _shingles(text)
        shared = Counter(other for shingle in mine for other in index.get(shingle, ()))
        alike = {other for other, count in shared.items() if _are_copies(count, len(mine), sizes[other])}
        if alike:
            copies[at] = alike
    return copies


def _are_copies(shared: int, one: int, other: int) -> bool:
    smaller = min(one, other)
    contained = smaller >= _MIN_CONTAINED and shared >= _CONTAINED * smaller
    return contained or shared >= _ALIKE * (one + other - shared)


def _shingles(text: str) -> set[tuple[str, ...]]:
    """Runs of three words; of a shorter text all its words as one."""
    found = set(shingles(text, _SIZE))
    return found or set(shingles(text, 2)) or set(shingles(text, 1))
