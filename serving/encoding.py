"""Tokens of a passage: `tokenizers` only, no padding, no truncation but the one that is asked for.

The ids are [CLS] context [SEP] text [SEP], or [CLS] text [SEP] without a context. Context is cut before text, from its
far end.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from labels.sentences import sentence_starts
from serving.model_input import ModelInput, model_input

_WORD = re.compile(r"\S+\s*")
_CHUNK_CHARS = 64
"""A "word" of too many tokens is cut into pieces of this many characters."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoded:
    """One passage as the model's inputs."""

    ids: NDArray[np.int64]
    """Shape (tokens,)."""
    types: NDArray[np.int64]
    """Shape (tokens,): 0 for the first sequence, 1 for the text that follows a context."""
    truncated: bool
    """Whether tokens of the text were left out."""
    empty: bool = False
    """Whether the text holds no token at all."""


class Encoder:
    """Turns passages into ids. Safe to share between threads: the tokenizer is never reconfigured."""

    def __init__(self, tokenizer: Tokenizer, max_tokens: int) -> None:
        """Take padding and truncation off `tokenizer`; `max_tokens` counts the special tokens too."""
        tokenizer.no_padding()
        tokenizer.no_truncation()
        self._tokenizer = tokenizer
        self.max_tokens = max_tokens
        single = tokenizer.encode("a").ids
        self._first, self._last = single[0], single[-1]
        self.max_text_tokens = max_tokens - 2

    @classmethod
    def from_file(cls, path: Path, max_tokens: int) -> "Encoder":
        """Read a `tokenizer.json`. Raises Exception (the library's own) when it is damaged."""
        return cls(Tokenizer.from_file(str(path)), max_tokens)

    def count(self, text: str) -> int:
        """Tokens of a cleaned text, special tokens left out."""
        return len(self._tokenizer.encode(text, add_special_tokens=False).ids)

    def encode(self, passage: ModelInput) -> Encoded:
        """Ids of a cleaned passage; text over `max_text_tokens` is cut at its end and marked as truncated."""
        text = self._tokenizer.encode(passage.text, add_special_tokens=False).ids
        kept = text[: self.max_text_tokens]
        room = self.max_tokens - len(kept) - 3
        context: list[int] = []
        if passage.context and room > 0:
            context = self._tokenizer.encode(passage.context, add_special_tokens=False).ids[-room:]
        head = [self._first, *context, self._last] if context else [self._first]
        ids = np.array([*head, *kept, self._last], dtype=np.int64)
        types = np.zeros(len(ids), dtype=np.int64)
        if context:
            types[len(head) :] = 1
        return Encoded(ids=ids, types=types, truncated=len(kept) < len(text), empty=not text)

    def split(self, text: str) -> list[tuple[int, int]]:
        """Spans of a raw text that each fit the model, cut at sentence ends where that is possible."""
        groups: list[list[tuple[int, int]]] = []
        filled = 0
        for start, end, tokens in self._units(text):
            if groups and filled + tokens <= self.max_text_tokens:
                groups[-1].append((start, end))
                filled += tokens
            else:
                groups.append([(start, end)])
                filled = tokens
        spans = [span for group in groups for span in self._checked(text, group)]
        return [(start, start + len(text[start:end].rstrip())) for start, end in spans]

    def _checked(self, text: str, units: list[tuple[int, int]]) -> Iterator[tuple[int, int]]:
        """The units as one span when that fits, else its halves.

        A marker ("(1)", "1.2") is taken off where a unit stands alone and is read where it stands within a span.
        """
        start, end = units[0][0], units[-1][1]
        if len(units) == 1 or self.count(model_input(text[start:end]).text) <= self.max_text_tokens:
            yield start, end
            return
        middle = len(units) // 2
        yield from self._checked(text, units[:middle])
        yield from self._checked(text, units[middle:])

    def _units(self, text: str) -> Iterator[tuple[int, int, int]]:
        starts = sentence_starts(text)
        for start, end in zip(starts, [*starts[1:], len(text)], strict=True):
            yield from self._fitting(text, start, end)

    def _fitting(self, text: str, start: int, end: int) -> Iterator[tuple[int, int, int]]:
        """The span itself when it fits, else its words, else pieces of a word."""
        tokens = self.count(model_input(text[start:end]).text)
        if tokens <= self.max_text_tokens:
            if text[start:end].strip():
                yield start, end, tokens
            return
        words = [(start + word.start(), start + word.end()) for word in _WORD.finditer(text[start:end])]
        if len(words) == 1:
            words = [(at, min(at + _CHUNK_CHARS, end)) for at in range(start, end, _CHUNK_CHARS)]
        for left, right in words:
            yield from self._fitting(text, left, right)
