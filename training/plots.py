"""Plots of the report as inline SVG: precision against recall, frequency against score, and learning curves."""

from collections.abc import Sequence

import numpy as np
from markupsafe import Markup

from training.metrics import Bools, Floats

_SIZE = 180
_MARGIN = 28
_BINS = 8


def precision_recall(truth: Bools, scores: Floats) -> Markup:
    """The curve over all thresholds; truth and scores have the shape (passages,)."""
    order = np.argsort(-scores, kind="stable")
    hits = np.cumsum(truth[order])
    recall = hits / max(1, int(truth.sum()))
    precision = hits / np.arange(1, len(hits) + 1)
    return _frame(_line(recall, precision), "recall", "precision", "precision by recall")


def reliability(truth: Bools, scores: Floats) -> Markup:
    """Frequency by mean score in bins of like size; on the diagonal a score is a probability."""
    parts = [part for part in np.array_split(np.argsort(scores, kind="stable"), _BINS) if len(part)]
    given = np.array([scores[part].mean() for part in parts])
    found = np.array([truth[part].mean() for part in parts])
    dots = "".join(f'<circle cx="{_x(x):.1f}" cy="{_y(y):.1f}" r="3"/>' for x, y in zip(given, found, strict=True))
    diagonal = f'<path class="diagonal" d="M{_x(0)} {_y(0)}L{_x(1)} {_y(1)}"/>'
    return _frame(diagonal + _line(given, found) + dots, "score", "frequency", "frequency by score")


def curve(values: Sequence[float], scores: Sequence[float], label: str) -> Markup:
    """Macro-F1 against a count; the horizontal axis ends at the largest."""
    largest = max(*values, 1)
    xs, ys = np.array(values) / largest, np.array(scores)
    marks = "".join(
        f'<circle cx="{_x(x):.1f}" cy="{_y(y):.1f}" r="3"><title>{value:g}: {y:.2f}</title></circle>'
        for x, y, value in zip(xs, ys, values, strict=True)
    )
    return _frame(_line(xs, ys) + marks, f"{label} (0 to {largest:g})", "macro-F1", f"macro-F1 by {label}")


def _x(value: float) -> float:
    return _MARGIN + value * _SIZE


def _y(value: float) -> float:
    return 6 + (1 - value) * _SIZE


def _line(xs: Floats, ys: Floats) -> str:
    points = " ".join(f"{_x(x):.1f},{_y(y):.1f}" for x, y in zip(xs, ys, strict=True))
    return f'<polyline points="{points}"/>'


def _frame(body: str, across: str, up: str, label: str) -> Markup:
    width, height = _SIZE + _MARGIN + 8, _SIZE + _MARGIN + 12
    axes = f'<path class="axes" d="M{_x(0)} {_y(1)}V{_y(0)}H{_x(1)}"/>'
    ticks = "".join(
        f'<text x="{_x(at)}" y="{_y(0) + 12}" text-anchor="middle">{at:g}</text>'
        f'<text x="{_x(0) - 4}" y="{_y(at) + 3}" text-anchor="end">{at:g}</text>'
        for at in (0, 0.5, 1)
    )
    if "(0 to" in across:
        ticks = "".join(f'<text x="{_x(0) - 4}" y="{_y(at) + 3}" text-anchor="end">{at:g}</text>' for at in (0, 0.5, 1))
    names = (
        f'<text x="{_x(0.5)}" y="{height - 2}" text-anchor="middle">{across}</text>'
        f'<text x="8" y="{_y(0.5)}" transform="rotate(-90 8 {_y(0.5)})" text-anchor="middle">{up}</text>'
    )
    # Numbers and our own labels only: nothing of a passage goes in here.
    return Markup(f'<svg role="img" aria-label="{label}" viewBox="0 0 {width} {height}">{axes}{ticks}{names}{body}</svg>')  # noqa: S704
