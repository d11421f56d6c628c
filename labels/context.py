"""What a passage hangs on: lead-ins of lists, and the first half of a paragraph cut by a page break."""

import re
from dataclasses import dataclass

from labels.markers import Marker
from labels.sentences import last_sentence

MAX_CONTEXT_WORDS = 60
"""Whitespace-separated words; the words nearest to the passage are kept."""
MAX_LEVELS = 2

_MIN_FRAGMENT_WORDS = 8
_TRAILING_MARKS = "¹²³⁰⁴⁵⁶⁷⁸⁹*_”\"’')"
_FOOTNOTE_MARK = re.compile(r"\[\d{1,3}\]$")
_TERMINAL = ".!?…:;"


@dataclass(slots=True, kw_only=True)
class _Level:
    """An open list item: its siblings share its place, its lead-in reaches the items below it."""

    marker: Marker
    indent: int
    lead_in: str


class ContextTracker:
    """Walks a document's blocks in order and says of each which context it carries."""

    def __init__(self) -> None:
        """Start at the top of a document."""
        self._paragraph_lead_in = ""
        self._levels: list[_Level] = []
        self._unfinished = ""
        self._after_footnote = False

    def context_of(self, text: str, *, marker: Marker, indent: int) -> str:
        """Context of the next block, '' for none; at most `MAX_CONTEXT_WORDS` words."""
        if marker.style == "footnote":
            self._after_footnote = True
            return ""
        if marker.style == "heading":
            self._reset()
            self._unfinished = ""
            return ""
        if not marker.is_item:
            return self._paragraph(text)
        context = self._item(text, marker, indent)
        self._remember_unfinished(text)
        return context

    def _paragraph(self, text: str) -> str:
        first_half = self._unfinished
        is_second_half = bool(first_half) and (self._after_footnote or text[0].islower())
        if not is_second_half:
            self._reset()
        lead_in = _lead_in(text)
        if lead_in:
            self._paragraph_lead_in = lead_in
            self._levels.clear()
        self._remember_unfinished(text)
        return _last_words(first_half) if is_second_half else ""

    def _item(self, text: str, marker: Marker, indent: int) -> str:
        depth = self._depth_of(marker, indent)
        if depth == 0 and self._levels and not _are_siblings(self._levels[0].marker, marker):
            self._paragraph_lead_in = ""  # a list of another kind: the old one has ended
        del self._levels[depth:]
        lead_ins = [self._paragraph_lead_in, *(level.lead_in for level in self._levels)]
        self._levels.append(_Level(marker=marker, indent=indent, lead_in=_lead_in(text)))
        return _last_words(" ".join([lead_in for lead_in in lead_ins if lead_in][-MAX_LEVELS:]))

    def _depth_of(self, marker: Marker, indent: int) -> int:
        """How many open items the new one lies under."""
        if len(marker.path) > 1:  # 38.1 lies under 38, wherever a converter has indented it
            for depth in range(len(self._levels), 0, -1):
                if self._levels[depth - 1].marker.path == marker.path[:-1]:
                    return depth
        for depth, level in enumerate(self._levels):
            goes_on = marker.path and level.marker.path[:-1] == marker.path[:-1]
            if _are_siblings(level.marker, marker) and (goes_on or indent <= level.indent):
                return depth
        for depth in range(len(self._levels), 0, -1):
            level = self._levels[depth - 1]
            if indent > level.indent or (level.lead_in and not _are_siblings(level.marker, marker)):
                return depth
        return 0

    def _remember_unfinished(self, text: str) -> None:
        bare = _without_trailing_marks(text)
        ended = not bare or bare[-1] in _TERMINAL or len(bare.split()) < _MIN_FRAGMENT_WORDS
        self._unfinished = "" if ended else text
        self._after_footnote = False

    def _reset(self) -> None:
        self._paragraph_lead_in = ""
        self._levels.clear()


def _are_siblings(marker: Marker, other: Marker) -> bool:
    return marker.style == other.style and len(marker.path) == len(other.path)


def _lead_in(text: str) -> str:
    """The sentence with which `text` opens a list, '' when it opens none."""
    bare = _without_trailing_marks(text)
    return " ".join(last_sentence(bare).split()) if bare.endswith(":") else ""


def _without_trailing_marks(text: str) -> str:
    """`text` up to its last letter, digit or sentence mark; walks from the end, so it is linear in any text."""
    end = len(text)
    while end:
        if text[end - 1].isspace() or text[end - 1] in _TRAILING_MARKS:
            end -= 1
        elif text[end - 1] == "]":
            mark = _FOOTNOTE_MARK.search(text, max(0, end - 5), end)
            end = mark.start() if mark else end - 1
        else:
            break
    return text[:end]


def _last_words(text: str) -> str:
    return " ".join(text.split()[-MAX_CONTEXT_WORDS:])
