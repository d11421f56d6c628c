"""Before a passage or a document is read: why it may be refused, and how much work or room it will take."""

from collections.abc import Iterator
from contextlib import contextmanager

from serving.results import ItemError, PassageIn
from serving.scheduler import QueueFullError

MAX_PASSAGE_CHARS = 100_000
"""A longer passage is refused before it is tokenized, whatever is asked for."""
MOST_SENTENCES = 32
"""Spans of a passage, or of each part of a split one, that are scored to find the one that carries a tag."""
SENTENCE_CONTEXT_WORDS = 60
"""Of a longer context the end is read with each sentence; the segmentation makes none that is longer."""
_CHARS_A_SENTENCE = 20
"""Few sentences are shorter."""
_CHARS_A_TOKEN = 4
"""English text holds about four characters a token: good enough to bound the work that waits."""
_LEAST_BYTES = 4 * 2**20
"""Room that each packed document takes, however small: what is in it may be as large as the longest text."""
_RETRY_SECONDS = 5.0
"""How long a document will take is not known before it is read; most are done by then."""


class Room:
    """Room for documents in memory, counted before their bytes arrive. For one event loop."""

    def __init__(self, most: int) -> None:
        """`most` bytes at a time."""
        self._most, self._held = most, 0

    @contextmanager
    def hold(self, size: int, *, packed: bool) -> Iterator[None]:
        """Keep `size` bytes taken meanwhile. Raises QueueFullError without room; where all is free, any size finds some.

        `packed`: whether the text may be larger than the bytes.
        """
        size = max(size, _LEAST_BYTES) if packed else size
        if self._held and self._held + size > self._most:
            raise QueueFullError(_RETRY_SECONDS)
        self._held += size
        try:
            yield
        finally:
            self._held -= size


def estimated_tokens(passage: PassageIn, *, sentences: bool) -> int:
    """Estimated tokens of a passage. One that is refused for its length is hardly any work, but waits in memory."""
    longest = max(len(passage.text), len(passage.context))
    tokens = (min(len(passage.text), MAX_PASSAGE_CHARS) + min(len(passage.context), MAX_PASSAGE_CHARS)) // _CHARS_A_TOKEN + 2
    if not sentences or longest > MAX_PASSAGE_CHARS:
        return tokens
    spans = min(MOST_SENTENCES, len(passage.text) // _CHARS_A_SENTENCE + 1)
    return 2 * tokens + spans * min(len(passage.context) // _CHARS_A_TOKEN, 2 * SENTENCE_CONTEXT_WORDS)


def refusal(passage: PassageIn) -> ItemError | None:
    """Why a passage is not even read, or None."""
    for what in (passage.text, passage.context):
        if len(what) > MAX_PASSAGE_CHARS:
            detail = f"{len(what)} characters, at most {MAX_PASSAGE_CHARS} are allowed"
            return ItemError(code="too_long", detail=detail)
        if (at := what.find("\0")) >= 0:
            return ItemError(code="nul_character", detail=f"character {at} is NUL (U+0000)")
        try:
            what.encode("utf-8")
        except UnicodeEncodeError as error:
            detail = f"character {error.start} is a lone surrogate (U+{ord(what[error.start]):04X})"
            return ItemError(code="lone_surrogate", detail=detail)
    return None
