"""Runs of words: what two texts that were written apart do not share."""

import re
from collections.abc import Iterator

SHINGLE_WORDS = 8
_WORD = re.compile(r"\w+")


def shingles(text: str, size: int = SHINGLE_WORDS) -> Iterator[tuple[str, ...]]:
    """Every run of `size` words of `text`, lower-cased, punctuation left out."""
    words = _WORD.findall(text.lower())
    return (tuple(words[start : start + size]) for start in range(len(words) - size + 1))
