"""What the model reads of a passage: one function for training, the API and batch scoring.

Marks that belong to a document's format and not to what it says are taken off, for they give the document away: nearly
all sanctions demands of the seeds are "•" items. `INPUT_VERSION` goes into every bundle; raise it with any change here.
"""

import html
import re
import unicodedata
from dataclasses import dataclass

from labels.markers import strip_marker

INPUT_VERSION = "1"

_BLOCK_TAG = re.compile(r"</?(?:br|p|div|li|ul|ol|td|th|tr|h[1-6])\b[^<>]{0,500}>", re.IGNORECASE)
_TAG = re.compile(r"</?[a-z][^<>]{0,500}>|<!--[^<>]{0,500}-->", re.IGNORECASE)
_LINK = re.compile(r"!?\[([^\[\]]{0,500})\]\((?:[^()\s]|\([^()\s]{0,500}\)){0,2000}\)")
_FOOTNOTE_MARK = re.compile(r"\[\d{1,3}\]|\[\^[^\[\]\s]{1,20}\]|(?<=\S)[¹²³⁰⁴-⁹]+")
_STARS = re.compile(r"\*+(?=\S)|(?<=\S)\*+")
_UNDERSCORES = re.compile(r"(?<!\w)_+(?=\w)|(?<=[^\W_])_+(?!\w)")
_MAX_MARKS = 30
_GRAPHEME_JOINER = "\u034f"
_HARMLESS_LENGTH = 2000
"""In shorter texts even one single run is normalized in a moment."""
_OTHER_MARKS = re.compile(r"`+|~~")


@dataclass(frozen=True, slots=True)
class ModelInput:
    """A passage as the model reads it; `context` is '' when there is none."""

    text: str
    context: str = ""


def model_input(text: str, context: str = "") -> ModelInput:
    """Take list marker, numbering, footnote marks, Markdown and HTML off, apply NFC, join white space."""
    return ModelInput(text=_clean(text), context=_clean(context))


def _clean(text: str) -> str:
    if "<" in text or "&" in text:
        text = html.unescape(_TAG.sub("", _BLOCK_TAG.sub(" ", text)))
    text = strip_marker(text.strip())
    text = _LINK.sub(r"\1", text)
    text = _FOOTNOTE_MARK.sub("", text)
    text = _OTHER_MARKS.sub("", _UNDERSCORES.sub("", _STARS.sub("", text)))
    text = strip_marker(text.strip())  # "**I. Aim**": the numbering stood inside the emphasis
    return " ".join(unicodedata.normalize("NFC", _stream_safe(text)).split())


def _stream_safe(text: str) -> str:
    """`text` with runs of over 30 combining marks broken up, as UAX #15 (Stream-Safe Text Format) does it.

    Normalizing takes quadratic time within such a run; no language writes one.
    """
    if len(text) <= _HARMLESS_LENGTH or text.isascii():
        return text
    safe: list[str] = []
    run = 0
    for character in text:
        run = run + 1 if unicodedata.combining(character) else 0
        if run > _MAX_MARKS:
            safe.append(_GRAPHEME_JOINER)
            run = 1
        safe.append(character)
    return "".join(safe)
