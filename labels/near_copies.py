"""Which passages are near copies of others: what must not stand on both sides of a split."""

from collections import Counter, defaultdict
from collections.abc import Sequence

from labels.shingles import shingles

_SIZE = 3
"""Words of a shingle: passages are short, and an edited copy of twenty words still shares half of these."""
_ALIKE = 0.5
"""Jaccard similarity of the sets of shingles from which on two passages are near copies (Broder 1997, "On the resemblance
and containment of documents")."""
_SHORT = 3
"""Passages of fewer words are too short to be anybody's copy: "Page 3", "Recommendations"."""


def near_copies(texts: Sequence[str], others: Sequence[str]) -> dict[int, set[int]]:
    """Index of a text -> indices of the others that it nearly copies; texts without one are left out."""
    index: dict[tuple[str, ...], list[int]] = defaultdict(list)
    sizes: list[int] = []
    for at, other in enumerate(others):
        found = set(shingles(other, _SIZE))
        sizes.append(len(found))
        for shingle in found:
            index[shingle].append(at)
    copies: dict[int, set[int]] = {}
    for at, text in enumerate(texts):
        mine = set(shingles(text, _SIZE))
        if len(mine) < _SHORT - _SIZE + 1:
            continue
        shared = Counter(other for shingle in mine for other in index.get(shingle, ()))
        alike = {other for other, count in shared.items() if count >= _ALIKE * (len(mine) + sizes[other] - count)}
        if alike:
            copies[at] = alike
    return copies
