"""The one segmentation: a document's text into passages. Reads text, writes nothing; stdlib only.

Annotators, training, the API and batch scoring all call `split_passages`. A passage is a block of the document:
a paragraph, a list item, a heading, a footnote. Offsets are half-open and count Unicode code points of the frozen
text. `SEGMENTER` is the version; it is written into every annotation and every bundle, so raise it with any
change that can move a span or a context.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from labels.context import ContextTracker
from labels.markers import Marker, read_marker, wiki_title
from labels.sentences import sentence_starts

SEGMENTER = "1"
MAX_PASSAGE_WORDS = 180
"""Whitespace-separated words; a longer paragraph is cut at sentence ends."""

_BYTE_ORDER_MARK = "\ufeff"
_MIN_WRAP_WIDTH = 60
_MAX_WRAP_WIDTH = 120
_ENDS_SENTENCE = re.compile(r"[.!?:;…][”\"’')\]*_]*$")


@dataclass(frozen=True, slots=True, kw_only=True)
class Passage:
    """One block of a document: `text` is `document[start:end]`."""

    start: int
    end: int
    text: str
    context: str = ""
    """The lead-ins that the passage hangs on, or the first half of a paragraph that a page break cut in two."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Line:
    start: int
    end: int
    text: str
    indent: int
    marker: Marker
    hard_break: bool
    after_blank: bool


def split_passages(document: str) -> list[Passage]:
    """Split a document into its passages, in order; spans never overlap and cover every line that holds a letter."""
    tracker = ContextTracker()
    passages: list[Passage] = []
    for block in _blocks(list(_lines(document))):
        start, end = block[0].start, block[-1].end
        context = tracker.context_of(document[start:end], marker=block[0].marker, indent=block[0].indent)
        passages.extend(
            Passage(start=left, end=right, text=document[left:right], context=context)
            for left, right in _cut(document, start, end)
        )
    return passages


def _lines(document: str) -> Iterator[_Line]:
    offset, after_blank = 0, True
    for raw in document.splitlines(keepends=True):
        body = raw.rstrip()
        indent = len(body) - len(body.lstrip().removeprefix(_BYTE_ORDER_MARK).lstrip())
        content = body[indent:]
        if any(map(str.isalpha, content)):
            title = wiki_title(content)
            marker = Marker(length=title[0], style="heading") if title else read_marker(content)
            start = offset + indent + marker.length
            yield _Line(
                start=start,
                end=offset + indent + title[1] if title else offset + len(body),
                text=content[marker.length :],
                indent=len(body[:indent].expandtabs(4)),
                marker=marker,
                hard_break=raw.rstrip("\r\n").endswith("  ") or body.endswith("\\"),
                after_blank=after_blank,
            )
            after_blank = False
        else:
            after_blank = True
        offset += len(raw)


def _blocks(lines: list[_Line]) -> Iterator[list[_Line]]:
    """Group lines into blocks: a block starts at a blank line, a marker, or a line that continues nothing."""
    position = 0
    while position < len(lines):
        run = [lines[position]]
        while position + len(run) < len(lines):
            line = lines[position + len(run)]
            quoted_on = line.marker.style == "quote" == run[-1].marker.style
            if line.after_blank or (line.marker.style and not quoted_on):
                break
            run.append(line)
        position += len(run)
        yield from _join_wrapped(run)


def _join_wrapped(run: list[_Line]) -> Iterator[list[_Line]]:
    if run[0].marker.style == "heading":
        yield run[:1]
        run = run[1:]
    if not run:
        return
    wrapped = _is_hard_wrapped(run)
    block = [run[0]]
    emphasis_marks = run[0].text.count("**")
    for line in run[1:]:
        hangs = block[0].marker.is_item and line.indent > block[0].indent
        if wrapped or hangs or block[-1].hard_break or emphasis_marks % 2 == 1:
            block.append(line)
        else:
            yield block
            block = [line]
            emphasis_marks = 0
        emphasis_marks += line.text.count("**")
    yield block


def _is_hard_wrapped(run: list[_Line]) -> bool:
    """Whether every line but the last is filled up to one common width, as an editor or a mail program wraps."""
    lengths = [line.indent + line.marker.length + len(line.text) for line in run]
    width = max(lengths)
    if len(run) == 1 or not _MIN_WRAP_WIDTH <= width <= _MAX_WRAP_WIDTH:
        return False
    for length, line, following in zip(lengths, run, run[1:], strict=False):
        if length + 1 + len(following.text.split(maxsplit=1)[0]) < width - 8:
            return False
        ended = _ENDS_SENTENCE.search(line.text) and not following.text[0].islower()
        if ended and len(run) == 2:  # noqa: PLR2004 - two lines are too few to know a common width
            return False
    return True


def _cut(document: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Cut a span of over `MAX_PASSAGE_WORDS` words at sentence ends: the fewest pieces, of the most even length."""
    text = document[start:end]
    if len(text.split()) <= MAX_PASSAGE_WORDS:
        yield start, end
        return
    starts = sentence_starts(text)
    words = [len(text[left:right].split()) for left, right in zip(starts, [*starts[1:], len(text)], strict=True)]
    fewest = len(_fill(words, MAX_PASSAGE_WORDS))
    even = next(cap for cap in range(1, MAX_PASSAGE_WORDS + 1) if len(_fill(words, cap)) <= fewest)
    firsts = [starts[index] for index in _fill(words, even)]
    for left, right in zip(firsts, [*firsts[1:], len(text)], strict=True):
        piece = text[left:right]
        yield start + left, start + left + len(piece.rstrip())


def _fill(words: list[int], cap: int) -> list[int]:
    """Indices of the sentences that open a piece when pieces are filled up to `cap` words."""
    firsts, filled = [0], 0
    for index, count in enumerate(words):
        if filled and filled + count > cap:
            firsts.append(index)
            filled = 0
        filled += count
    return firsts
