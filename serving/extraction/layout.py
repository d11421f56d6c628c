"""Lines of a page in the order in which they are read: columns one after the other, what spans them in its place.

The order in the file says nothing: heads and notes are often drawn first.
"""

import re
from collections.abc import Sequence
from functools import reduce

from serving.extraction.lines import Line

_MAX_CROSSING = 0.4
"""Share of the lines that may cross a gutter: titles, tables, figures."""
_STEPS = 60
_LAST_WORD = re.compile(r"[^\W\d]+(?: [^\W\d]+)?\.")
"""What may be left of a sentence for its last line."""
_BULLETS = frozenset("•▪◦‣∙●○■□–-*·")


def reading_order(lines: Sequence[Line]) -> list[Line]:
    """Order lines by columns, and within a column from top to bottom."""
    if (gutter := _gutter(lines)) is None:
        return _as_rows(lines)
    ordered: list[Line] = []
    left: list[Line] = []
    right: list[Line] = []
    for line in sorted(lines, key=lambda line: (line.top, line.left)):
        if line.right <= gutter:
            left.append(line)
        elif line.left >= gutter:
            right.append(line)
        else:
            ordered += [*reading_order(left), *reading_order(right), line]
            left, right = [], []
    return [*ordered, *reading_order(left), *reading_order(right)]


def _gutter(lines: Sequence[Line]) -> float | None:
    """The middle of the widest white strip from top to bottom with a column on either side; None when there is none."""
    if len(lines) < 2:  # noqa: PLR2004 - one on either side
        return None
    start, end = min(line.left for line in lines), max(line.right for line in lines)
    best: list[float] = []
    run: list[float] = []
    for step in range(1, _STEPS):
        place = start + (end - start) * step / _STEPS
        if _separates(lines, place):
            run.append(place)
            best = max(best, run, key=len)
        else:
            run = []
    return best[len(best) // 2] if best else None


def _separates(lines: Sequence[Line], place: float) -> bool:
    """Whether lines end before a place and others begin after it, side by side, and all that cross it span both."""
    left = [line for line in lines if line.right <= place]
    right = [line for line in lines if line.left >= place]
    if not left or not right or len(lines) - len(left) - len(right) > _MAX_CROSSING * len(lines):
        return False
    edge = min(line.left for line in right)
    if any(line.left < place < line.right <= edge for line in lines):
        return False
    return _is_column(left) and _is_column(right) and _beside(left, right)


def _is_column(lines: Sequence[Line]) -> bool:
    """Whether most lines hold prose: columns of numbers and of list marks belong to tables and lists."""
    return 2 * sum(len(line.text.split()) > 2 or _LAST_WORD.fullmatch(line.text) is not None for line in lines) >= len(lines)  # noqa: PLR2004 - a label has one or two


def _beside(left: Sequence[Line], right: Sequence[Line]) -> bool:
    """Whether both stand side by side, not one below the other."""
    top = max(min(line.top for line in left), min(line.top for line in right))
    bottom = min(max(line.bottom for line in left), max(line.bottom for line in right))
    lower = min(max(line.bottom for line in side) - min(line.top for line in side) for side in (left, right))
    return bottom - top > 0.5 * lower


def _as_rows(lines: Sequence[Line]) -> list[Line]:
    """From top to bottom, pieces of one line joined, as a list mark and its item, or the cells of a table's row."""
    rows: list[list[Line]] = []
    for line in sorted(lines, key=lambda line: line.top):
        if rows and _one_row(rows[-1][0], line):
            rows[-1].append(line)
        else:
            rows.append([line])
    return [reduce(_merged, sorted(row, key=lambda line: line.left)) for row in rows]


def _one_row(first: Line, second: Line) -> bool:
    overlap = min(first.bottom, second.bottom) - max(first.top, second.top)
    return overlap > 0.6 * min(first.height, second.height)


def _merged(first: Line, second: Line) -> Line:
    wide = second.left - first.right > 2 * first.size and first.text not in _BULLETS
    return Line(
        text=f"{first.text}{'  ' if wide else ' '}{second.text}",
        left=first.left,
        right=second.right,
        top=min(first.top, second.top),
        bottom=max(first.bottom, second.bottom),
        size=first.size if len(first.text) > len(second.text) else second.size,
        page=first.page,
        broken=second.broken,
    )
