"""Before a passage is read: why it may be refused, and how much work it will be."""

from serving.results import ItemError, PassageIn

MAX_PASSAGE_CHARS = 100_000
"""A longer passage is refused before it is tokenized, whatever is asked for."""
MOST_SENTENCES = 32
"""Spans of a passage, or of each part of a split one, that are scored to find the one that carries a tag."""
SENTENCE_CONTEXT_WORDS = 60
"""Of a longer context the end is read with each sentence; the segmentation makes none that is longer."""
_CHARS_A_TOKEN = 4
"""English text holds about four characters a token: good enough to bound the work that waits."""


def estimated_tokens(passage: PassageIn, *, sentences: bool) -> int:
    """Estimated tokens of a passage. One that is refused for its length is hardly any work, but waits in memory."""
    longest = max(len(passage.text), len(passage.context))
    tokens = (min(len(passage.text), MAX_PASSAGE_CHARS) + min(len(passage.context), MAX_PASSAGE_CHARS)) // _CHARS_A_TOKEN + 2
    if not sentences or longest > MAX_PASSAGE_CHARS:
        return tokens
    return 2 * tokens + MOST_SENTENCES * min(len(passage.context) // _CHARS_A_TOKEN, 2 * SENTENCE_CONTEXT_WORDS)


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
