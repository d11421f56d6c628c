"""List markers, numbering, headings and footnote marks at the start of a line.

One table of patterns for everybody: the segmentation starts a span after them, the model's input drops them.
"""

import re
from dataclasses import dataclass

_UNITS = r"(?:million|billion|trillion|thousand|per\b|percent|times|years|months|days|hours|km|kg|m\b|°|%)"
_ROMAN = r"(?=[IVXL])(?:XL|L?X{0,3})(?:IX|IV|V?I{0,3})"

_BULLET = re.compile(r"(?P<mark>[•▪◦‣·●○■□*+–—-])[ \t\u00a0]+(?=\S)")
_NUMBERED: tuple[tuple[str, re.Pattern[str]], ...] = (
    # "1.5 million people" is a quantity, not paragraph 1.5.
    ("decimal", re.compile(rf"(?P<number>\d{{1,3}}(?:\.\d{{1,3}})+)\.?[ \t\u00a0]+(?!{_UNITS})(?=\S)")),
    ("number", re.compile(r"(?P<number>\d{1,3})[.)][ \t\u00a0]+(?=\S)")),
    ("parenthesis", re.compile(r"\((?P<number>\d{1,3})\)[ \t\u00a0]+(?=\S)")),
    # "1-Identification of victims:", "4- Victim Support": only before a capital, so that "9-year-old" stays whole.
    ("dash", re.compile(r"(?P<number>\d{1,2})-[ \t\u00a0]?(?=[A-Z])")),
    ("roman", re.compile(rf"(?P<number>{_ROMAN})\.[ \t\u00a0]+(?=\S)")),
    ("letter", re.compile(r"\(?(?P<number>[a-z]|[ivx]{2,5})\)[ \t\u00a0]+(?=\S)")),
)
_FOOTNOTE = re.compile(r"(?:\[\d{1,3}\]|\[\^[^\]\s]+\]:?|[¹²³⁰⁴-⁹]+)[ \t\u00a0]*(?=\S)")
_QUOTE = re.compile(r"(?:>[ \t]?)+(?=\S)")
_TABLE_ROW = re.compile(r"\|")
_HEADING = re.compile(r"#{1,6}[ \t]+(?=\S)")
_MAX_HEADING_MARKS = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Marker:
    """What stands before a line's text. `length` counts its characters, the white space after it included."""

    length: int
    style: str
    """'bullet' with its sign, a style of numbering, 'footnote', 'heading', 'quote', 'row', or '' for a plain line."""
    path: tuple[int, ...] = ()
    """(38, 1) for "38.1", (38,) for "38."; () where the marker is no Arabic number."""

    @property
    def is_item(self) -> bool:
        """Whether it opens a list item or a numbered paragraph."""
        return self.style not in ("", "quote", "row", "heading", "footnote")


PLAIN = Marker(length=0, style="")


def wiki_title(line: str) -> tuple[int, int] | None:
    """Start and end of the title in a wiki heading ("== Title =="), or None."""
    body = line.rstrip()
    marks = len(body) - len(body.lstrip("="))
    if not 1 <= marks <= _MAX_HEADING_MARKS or not body.endswith("=" * marks):
        return None
    title = body[marks:-marks].strip()
    if not title or title.endswith("="):
        return None
    start = body.index(title, marks)
    return start, start + len(title)


def read_marker(line: str) -> Marker:
    """The marker at the start of `line` (no indentation before it). A marker with no letter after it is text."""
    if _TABLE_ROW.match(line):
        return Marker(length=0, style="row")
    if match := _HEADING.match(line):
        return _with_text(line, Marker(length=match.end(), style="heading"))
    start = match.end() if (match := _QUOTE.match(line)) else 0
    if match := _FOOTNOTE.match(line, start):
        return _with_text(line, Marker(length=match.end(), style="footnote"))
    style = "quote" if start else ""
    if match := _BULLET.match(line, start):
        start, style = match.end(), f"bullet {match['mark']}"
    for name, pattern in _NUMBERED:
        if match := pattern.match(line, start):
            path = tuple(map(int, match["number"].split("."))) if match["number"][0].isdigit() else ()
            numbered = _with_text(line, Marker(length=match.end(), style=name, path=path))
            if numbered is not PLAIN:
                return numbered
    return _with_text(line, Marker(length=start, style=style))


def strip_marker(text: str) -> str:
    """`text` without the list marker, numbering or heading marks that it starts with."""
    if title := wiki_title(text):
        return text[slice(*title)]
    return text[read_marker(text).length :]


def _with_text(line: str, marker: Marker) -> Marker:
    return marker if any(map(str.isalpha, line[marker.length :])) else PLAIN
