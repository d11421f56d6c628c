"""Which passages to label next: those the model is least sure of, unlike each other and what is labelled, of many documents.

A greedy choice: each step takes the passage with the highest uncertainty x (1 - its highest similarity to what was chosen or is
labelled), so that one label does not teach what another one has. Similarity is the Jaccard index of the sets of words, which
are hashed into 2,048 bits: two passages without a common word may look alike by two hundredths.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from labels.uncertainty import Near

SHARE = 0.2
"""Of a queue that one document may fill, as long as others have something to offer."""
POOL = 3000
"""So many of the most uncertain passages are looked at: to compare all of 50,000 would take seconds, and the rest are surer."""
_BITS = 2048
_WORD = re.compile(r"\w+")
_PIECE = 512
"""Texts whose bits are set at a time."""
Words = NDArray[np.uint64]
"""Shape (32, passages): a bit for each of the 2,048 places that a word may fall on."""
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A passage that might be labelled."""

    document: str
    text: str
    context: str
    scores: Mapping[str, float]
    tags: Sequence[str]
    """Those that the model gives it."""
    near: Near
    bundle: str
    place: Mapping[str, Any] = field(default_factory=dict)
    """Where it stands in its document, as far as that is known."""


def pool(candidates: Iterable[Candidate], size: int) -> list[Candidate]:
    """The most uncertain candidates, the first of equals first: for a queue of `size` from any number, few in memory.

    Of one document only as many as a queue can use, so that a long one does not crowd out the others.
    """
    most = max(POOL, 4 * size)
    found: list[Candidate] = []
    rows = iter(candidates)
    while more := list(islice(rows, most)):
        found = _most_uncertain([*found, *more], most, of_document(size))
    return found


def of_document(size: int) -> int:
    """How many candidates of one document are enough for a queue of `size`."""
    return max(POOL // 10, 4 * size)


def _most_uncertain(candidates: list[Candidate], most: int, of_one: int) -> list[Candidate]:
    kept: list[Candidate] = []
    counts: dict[str, int] = {}
    for one in sorted(candidates, key=lambda one: -one.near.uncertainty):  # stable
        counts[one.document] = counts.get(one.document, 0) + 1
        if counts[one.document] <= of_one:
            kept.append(one)
            if len(kept) == most:
                break
    return kept


def chosen(candidates: Sequence[Candidate], labelled: Sequence[str], size: int, share: float = SHARE) -> list[Candidate]:
    """At most `size` candidates, the most useful one first; `labelled` are texts that need no second label of their kind.

    One document fills at most `share` of the queue, or one place; when no other has anything left, as much again, and so on. A
    passage with the very words of one that is chosen or labelled is never chosen.
    """
    if not candidates:
        return []
    words = _words([one.text for one in candidates])
    uncertain = np.array([one.near.uncertainty for one in candidates])
    names = list(dict.fromkeys(one.document for one in candidates))
    documents = np.array([{name: at for at, name in enumerate(names)}[one.document] for one in candidates])
    sizes = _sizes(words)
    likeness = np.zeros(len(candidates))
    for one in _words(labelled).T:
        np.maximum(likeness, _similarity(words, sizes, one), out=likeness)
    taken = np.zeros(len(names), dtype=np.int64)
    quota = limit = max(1, int(share * size + 1e-9))
    found: list[Candidate] = []
    while len(found) < size:
        worth = uncertain * (1 - likeness)
        if not worth.max() > 0:
            break
        allowed = np.where(taken[documents] < limit, worth, 0.0)
        at = int(allowed.argmax())
        if not allowed[at] > 0:
            limit += quota
            continue
        found.append(candidates[at])
        taken[documents[at]] += 1
        np.maximum(
            likeness, _similarity(words, sizes, words[:, at]), out=likeness
        )  # with itself it is 1: nothing is chosen twice
    return found


def _words(texts: Sequence[str]) -> Words:
    found = np.zeros((_BITS // 64, len(texts)), dtype=np.uint64)
    for start in range(0, len(texts), _PIECE):
        piece = texts[start : start + _PIECE]
        bits = np.zeros((len(piece), _BITS), dtype=np.bool_)
        for row, text in zip(bits, piece, strict=True):
            # Not hash(), which differs from process to process.
            row[[crc32(word.encode("utf-8", "surrogatepass")) % _BITS for word in _WORD.findall(text.lower())]] = True
        found[:, start : start + len(piece)] = np.packbits(bits, axis=1).view(np.uint64).T
    return found


def _sizes(words: Words) -> NDArray[np.uint16]:
    """How many bits each passage has; added up along the first axis, which is faster than along the last."""
    found: NDArray[np.uint16] = np.bitwise_count(words).sum(axis=0, dtype=np.uint16)
    return found


def _similarity(words: Words, sizes: NDArray[np.uint16], one: NDArray[np.uint64]) -> Floats:
    """Jaccard index of each passage with one; 1 with itself."""
    both = _sizes(words & one[:, None])
    either = sizes + np.bitwise_count(one).sum(dtype=np.uint16) - both
    return np.where(either > 0, both / np.maximum(either, 1), 1.0)
