"""Lines of a whole PDF into paragraphs: running heads dropped, footnotes apart, broken words and paragraphs joined."""

import re
import statistics
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from serving.extraction.lines import Line

_EDGE_LINES = 3
"""Lines from the top and from the bottom of a page that may be running heads and feet."""
_REPEATED_SHARE = 0.25
_MIN_REPEATS = 3
_PAGE_NUMBER = re.compile(
    r"(?:page\s+)?[-–—|\[(]?\s*(?:\d{1,4}|(?=[ivxlc])(?:xc|xl|l?x{0,3})(?:ix|iv|v?i{0,3}))\s*[-–—|\])]?(?:\s*(?:of|/)\s*\d{1,4})?",
    re.IGNORECASE,
)
_NOTE_MARK = re.compile(r"(?:\[?\d{1,3}\]?|[*†‡§¹²³⁴-⁹]+)\s*\S")
_NOTE_SIZE = 0.93
"""Share of the text's size below which a line at a page's foot is a note."""
_LOOSE = 1.2
"""Heights of a line from one to the next, beyond which text without a paragraph of two lines is taken to be one line each."""
_ITEM = re.compile(
    r"(?:[•▪◦‣∙●○■□·–—\-*]|\(?(?:\d{1,3}|[a-zA-Z]|[ivxIVX]{1,5})[.)]|\d{1,2}(?:\.\d{1,2}){1,3}\.?|(?:Article|Section|Chapter|Annex)\s+\d+)\s"
)
_ENDS = re.compile(r"[.!?:;…]['\"”’)\]]*\d{0,3}$")
_WORD_END, _WORD_START = re.compile(r"[^\W\d_]+$"), re.compile(r"[^\W\d_]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Paragraph:
    """A block of text with the pages that its pieces stand on."""

    pieces: tuple[tuple[str, int], ...]
    """(text, page) in order; joined they are the paragraph."""

    @property
    def text(self) -> str:
        """The whole of it."""
        return "".join(text for text, _ in self.pieces)


def paragraphs(pages: Sequence[Sequence[Line]], *, running: bool = False) -> list[Paragraph]:
    """The paragraphs of a document's pages, each in reading order; footnotes come last, in their order.

    With `running` heads and feet stay: they may be all that there is.
    """
    kept = pages if running else _without_running(pages)
    size = _text_size(line for page in kept for line in page)
    words = Counter(
        word.lower() for page in kept for line in page for word in re.findall(r"[^\W\d_]+(?:-[^\W\d_]+)*", line.text)
    )
    body: list[list[Line]] = []
    notes: list[list[Line]] = []
    for page in kept:
        text, foot = _split_notes(page, size)
        for number, block in enumerate(_blocks(text)):
            if number == 0 and body and _goes_on(body[-1], block):
                body[-1] = [*body[-1], *block]
            else:
                body.append(block)
        notes += _note_blocks(foot)
    return [_paragraph(block, words) for block in (*body, *notes)]


def _without_running(pages: Sequence[Sequence[Line]]) -> list[list[Line]]:
    """Drop what stands at the same edge of many pages, digits aside, and lone page numbers."""
    seen: dict[tuple[str, bool], set[int]] = defaultdict(set)
    for number, page in enumerate(pages):
        for line, key in _edges(page):
            if line is not None:
                seen[key].add(number)
    needed = max(_MIN_REPEATS, _REPEATED_SHARE * len(pages)) if len(pages) > 1 else 2
    kept = []
    for page in pages:
        dropped = set()
        for line, key in _edges(page):
            if len(seen[key]) >= min(needed, 8) or (len(pages) > 1 and _PAGE_NUMBER.fullmatch(line.text)):
                dropped.add(id(line))
        kept.append([line for line in page if id(line) not in dropped])
    return kept


def _edges(page: Sequence[Line]) -> Iterable[tuple[Line, tuple[str, bool]]]:
    by_height = sorted(page, key=lambda line: line.top)
    count = min(_EDGE_LINES, (len(by_height) + 1) // 2)
    for at_top, lines in ((True, by_height[:count]), (False, by_height[len(by_height) - count :])):
        for line in lines:
            yield line, (re.sub(r"\d+", "#", line.text.lower()), at_top)


def _text_size(lines: Iterable[Line]) -> float:
    """The size in which most characters are set."""
    characters: Counter[float] = Counter()
    for line in lines:
        characters[round(line.size * 2) / 2] += len(line.text)
    return characters.most_common(1)[0][0] if characters else 0.0


def _split_notes(page: Sequence[Line], size: float) -> tuple[list[Line], list[Line]]:
    """The text of a page, and the notes at its foot: small lines, from one with a mark down to the last."""
    first = len(page)
    while first and page[first - 1].size < _NOTE_SIZE * size:
        first -= 1
    while first < len(page) and not _NOTE_MARK.match(page[first].text):
        first += 1
    if first == 0 or first == len(page) or page[first].top < max(line.top for line in page[:first]):
        return list(page), []
    return list(page[:first]), list(page[first:])


def _note_blocks(lines: Sequence[Line]) -> list[list[Line]]:
    blocks: list[list[Line]] = []
    for line in lines:
        if not blocks or _NOTE_MARK.match(line.text):
            blocks.append([line])
        else:
            blocks[-1].append(line)
    return blocks


def _blocks(lines: Sequence[Line]) -> list[list[Line]]:
    """Group lines into paragraphs by gaps, indents, short last lines, list marks and sizes."""
    if not lines:
        return []
    leading = _leading(lines)
    blocks = [[lines[0]]]
    for last, line in pairwise(lines):
        if _starts(blocks[-1], last, line, leading):
            blocks.append([line])
        else:
            blocks[-1].append(line)
    return blocks


def _leading(lines: Sequence[Line]) -> float:
    """The usual distance in points from a line to the next of its paragraph: one that begins with a small letter."""
    steps = [(line.top - last.top, line) for last, line in pairwise(lines) if 0 < line.top - last.top < 4 * last.size]
    if within := [step for step, line in steps if line.text[:1].islower()]:
        return statistics.median(within)
    return (
        min(statistics.median(step for step, _ in steps), _LOOSE * statistics.median(line.size for line in lines))
        if steps
        else 0.0
    )


def _starts(block: Sequence[Line], last: Line, line: Line, leading: float) -> bool:
    size = max(last.size, line.size)
    if abs(last.size - line.size) > 0.12 * size or _ITEM.match(line.text):
        return True
    step = line.top - last.top
    if step < -0.5 * size:  # the next column: only a sentence that goes on joins
        return bool(_ENDS.search(last.text)) or not line.text[:1].islower()
    if step > 1.35 * max(leading, 1.0) and step > 1.25 * size:
        return True
    hangs = bool(_ITEM.match(block[0].text))
    indented = line.left - last.left > 0.8 * size
    if indented and not (hangs and len(block) == 1):
        return not line.text[:1].islower()
    right = max(one.right for one in block)
    width = max(right - min(one.left for one in block), 1.0)
    return last.right < right - 0.2 * width and bool(_ENDS.search(last.text)) and not line.text[:1].islower()


def _goes_on(block: Sequence[Line], following: Sequence[Line]) -> bool:
    """Whether a paragraph that a page break cut goes on at the next page's top."""
    last, line = block[-1], following[0]
    if _ITEM.match(line.text) or abs(last.size - line.size) > 0.12 * max(last.size, line.size):
        return False
    if last.broken or line.text[:1].islower():
        return not re.search(r"[.!?]['\"”’)\]]*$", last.text) or last.broken
    return bool(re.search(r"(?:,|\b(?:the|of|and|to|in|a|an|for|by|with|on|or))$", last.text))


def _paragraph(block: Sequence[Line], words: Counter[str]) -> Paragraph:
    pieces: list[tuple[str, int]] = []
    for line, following in zip(block, [*block[1:], None], strict=True):
        text = line.text
        if following is None:
            text += "-" if line.broken else ""
        elif line.broken or (text.endswith("-") and text[-2:-1].isalpha()):
            text = _unbroken(text.removesuffix("-"), following.text, words)
        else:
            text += " "
        pieces.append((text, line.page))
    return Paragraph(pieces=tuple(pieces))


def _unbroken(text: str, following: str, words: Counter[str]) -> str:
    """The line without the hyphen that only breaks a word; one that the document writes elsewhere stays."""
    head, tail = _WORD_END.search(text), _WORD_START.match(following)
    if not head or not tail or not tail.group()[0].islower():
        return f"{text}-"
    whole, hyphened = head.group().lower() + tail.group().lower(), f"{head.group()}-{tail.group()}".lower()
    return f"{text}-" if words[hyphened] > words[whole] else text
