"""A PDF page as lines of text with their places, as PDFium finds them."""

import ctypes
import math
import statistics
import sys
import unicodedata
from collections import Counter
from dataclasses import dataclass, replace

import pypdfium2
import pypdfium2.raw as pdfium

_HYPHENS = frozenset("\x02￾\xad")
"""What PDFium gives for a hyphen at the end of a line, and the soft hyphen."""
_SURROGATES = range(0xD800, 0xE000)
_LEANING = 0.2
"""Share of a quarter turn by which a character may lean."""
_SAMPLE = 500
"""Characters by which is told how a page's text is turned."""
_OFF_LINE = 0.6
"""Font sizes by which a character's middle may be off the line's: raised and lowered ones are."""
_NEW_COLUMN = 3.0
"""Font sizes between two characters of a line that make two lines of it: a gutter that PDFium did not see."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A line of a page; points to the right and down from some place, the same for all lines of the page."""

    text: str
    left: float
    right: float
    top: float
    bottom: float
    size: float
    """The middle one of the characters' heights in points."""
    page: int
    broken: bool = False
    """Whether it ends in a hyphen that PDFium takes to break a word."""

    @property
    def height(self) -> float:
        """From top to bottom."""
        return self.bottom - self.top


@dataclass(frozen=True, slots=True, kw_only=True)
class _Glyph:
    text: str
    left: float
    right: float
    top: float
    bottom: float
    size: float


def page_lines(page: pypdfium2.PdfPage, number: int) -> list[Line]:
    """The lines of a page in the order in which the file holds them."""
    handle = page.get_textpage()
    try:
        return _lines(handle, number)
    finally:
        handle.close()


def _lines(handle: pypdfium2.PdfTextPage, number: int) -> list[Line]:
    turned = _turned(handle)
    lines: list[Line] = []
    glyphs: list[_Glyph] = []
    broken = False
    for index in range(handle.count_chars()):
        code = pdfium.FPDFText_GetUnicode(handle, index)
        character = chr(code) if code <= sys.maxunicode and code not in _SURROGATES else "\ufffd"
        if character in "\r\n":
            _finish(lines, glyphs, number, broken=broken)
            glyphs, broken = [], False
            continue
        if character in _HYPHENS:
            broken = True
            continue
        if character.strip() and _quarter(handle, index) != turned:
            continue
        glyph = _glyph(handle, index, character, turned)
        if glyphs and character.strip() and _apart(glyphs, glyph):
            _finish(lines, glyphs, number, broken=broken)
            glyphs, broken = [], False
        if broken:  # a word goes on in the same line: the hyphen was its own
            glyphs.append(replace(glyph, text="-", right=glyph.left))
            broken = False
        glyphs.append(glyph)
    _finish(lines, glyphs, number, broken=broken)
    return lines


def _turned(handle: pypdfium2.PdfTextPage) -> int | None:
    """By how many quarters most characters are turned: what runs along a margin is no part of the text."""
    step = max(1, handle.count_chars() // _SAMPLE)
    found = Counter(_quarter(handle, index) for index in range(0, handle.count_chars(), step))
    del found[None]
    return found.most_common(1)[0][0] if found else None


def _quarter(handle: pypdfium2.PdfTextPage, index: int) -> int | None:
    """Quarters against the clock; None of what leans between them, as a watermark does, and of marks without a shape."""
    angle = pdfium.FPDFText_GetCharAngle(handle, index)
    if angle < 0:
        return None
    quarters = -angle / (math.pi / 2)
    return round(quarters) % 4 if abs(quarters - round(quarters)) < _LEANING else None


def _glyph(handle: pypdfium2.PdfTextPage, index: int, character: str, turned: int | None) -> _Glyph:
    box = pdfium.FS_RECTF()
    pdfium.FPDFText_GetLooseCharBox(handle, index, ctypes.byref(box))
    left, right, top, bottom = {
        1: (box.bottom, box.top, box.left, box.right),
        2: (-box.right, -box.left, box.bottom, box.top),
        3: (-box.top, -box.bottom, -box.right, -box.left),
    }.get(turned or 0, (box.left, box.right, -box.top, -box.bottom))
    return _Glyph(text=character, left=left, right=right, top=top, bottom=bottom, size=bottom - top)


def _apart(glyphs: list[_Glyph], glyph: _Glyph) -> bool:
    """Whether a character stands in another column or on another line than those before it."""
    last = next((one for one in reversed(glyphs) if one.text.strip()), glyphs[-1])
    size = max(last.size, glyph.size)
    if abs(last.top + last.bottom - glyph.top - glyph.bottom) > 2 * _OFF_LINE * size:
        return True
    return glyph.left - last.right > _NEW_COLUMN * size or glyph.left < glyphs[0].left - last.size


def _finish(lines: list[Line], glyphs: list[_Glyph], number: int, *, broken: bool) -> None:
    inked = [glyph for glyph in glyphs if glyph.text.strip()]
    if not inked:
        return
    text = unicodedata.normalize("NFKC", "".join(glyph.text for glyph in glyphs)) if _ligatures(glyphs) else _joined(glyphs)
    lines.append(
        Line(
            text=" ".join(text.split()),
            left=min(glyph.left for glyph in inked),
            right=max(glyph.right for glyph in inked),
            top=statistics.median(glyph.top for glyph in inked),
            bottom=statistics.median(glyph.bottom for glyph in inked),
            size=statistics.median(glyph.size for glyph in inked),
            page=number,
            broken=broken,
        )
    )


def _joined(glyphs: list[_Glyph]) -> str:
    return "".join(glyph.text for glyph in glyphs)


def _ligatures(glyphs: list[_Glyph]) -> bool:
    """Whether a line holds ligatures of old fonts, which only printing needs (U+FB00 to U+FB06)."""
    return any("ﬀ" <= glyph.text <= "ﬆ" for glyph in glyphs)
