"""Metrics as pure functions of gold labels and scores. Arrays are (passages, tags); gold is 1, 0 or NaN (not judged)."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

MIN_WITHIN_POSITIVES = 5
"""Positives a document needs to count in the average precision within documents."""
MIN_CELL_POSITIVES = 10
"""Positives a document x tag cell needs for an F1; below it shows counts only."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """True and false positives and negatives of one tag."""

    tp: int
    fp: int
    fn: int
    tn: int

    @property
    def positives(self) -> int:
        """Passages that carry the tag."""
        return self.tp + self.fn

    @property
    def precision(self) -> float:
        """Share of the tagged passages that carry the tag; 0 when none was tagged."""
        return self.tp / (self.tp + self.fp) if self.tp + self.fp else 0.0

    @property
    def recall(self) -> float:
        """Share of the passages that carry the tag which were tagged; 0 when there are none."""
        return self.tp / self.positives if self.positives else 0.0

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall; 0 when there is nothing to find and nothing was found."""
        total = 2 * self.tp + self.fp + self.fn
        return 2 * self.tp / total if total else 0.0


def count(gold: Floats, tagged: Bools) -> list[Counts]:
    """Counts of each tag over all rows, unjudged cells left out."""
    found: list[Counts] = []
    for tag in range(gold.shape[1]):
        judged = ~np.isnan(gold[:, tag])
        truth, said = gold[judged, tag] > 0, tagged[judged, tag]
        found.append(
            Counts(
                tp=int((truth & said).sum()),
                fp=int((~truth & said).sum()),
                fn=int((truth & ~said).sum()),
                tn=int((~truth & ~said).sum()),
            )
        )
    return found


def macro_f1(gold: Floats, tagged: Bools) -> float:
    """Plain mean of the tags' F1, each pooled over all rows."""
    return float(np.mean([counts.f1 for counts in count(gold, tagged)]))


def average_precision(truth: Bools, scores: Floats) -> float:
    """Area under the precision-recall steps of one tag (ties share a step); NaN without a positive."""
    if not truth.any():
        return float("nan")
    order = np.argsort(-scores, kind="stable")
    truth, scores = truth[order], scores[order]
    last_of_tie = np.append(scores[1:] != scores[:-1], True)
    hits = np.cumsum(truth)[last_of_tie]
    ranks = (np.arange(len(truth)) + 1)[last_of_tie]
    recall = hits / truth.sum()
    return float(np.sum(np.diff(recall, prepend=0.0) * hits / ranks))


def pooled_ap(gold: Floats, scores: Floats) -> list[float]:
    """Average precision of each tag over all rows."""
    found: list[float] = []
    for tag in range(gold.shape[1]):
        judged = ~np.isnan(gold[:, tag])
        found.append(average_precision(gold[judged, tag] > 0, scores[judged, tag]))
    return found


def within_document_ap(gold: Floats, scores: Floats, documents: Sequence[str]) -> list[float]:
    """Mean average precision of each tag within the documents that hold at least 5 of its positives; NaN without one.

    A model that only recognises documents is high on the pooled figure and at chance on this one.
    """
    names = np.array(documents)
    found: list[float] = []
    for tag in range(gold.shape[1]):
        rows = [names == name for name in dict.fromkeys(documents)]
        values = [
            average_precision(gold[row, tag] > 0, scores[row, tag])
            for row in rows
            if np.nansum(gold[row, tag]) >= MIN_WITHIN_POSITIVES
        ]
        found.append(float(np.mean(values)) if values else float("nan"))
    return found


def brier(gold: Floats, scores: Floats) -> list[float]:
    """Mean squared difference of score and label, a tag at a time."""
    judged = ~np.isnan(gold)
    return [float(np.mean((gold[judged[:, tag], tag] - scores[judged[:, tag], tag]) ** 2)) for tag in range(gold.shape[1])]


def calibration_error(truth: Floats, scores: Floats, bins: int = 10) -> float:
    """Mean distance of score and frequency over bins that hold the same number of passages.

    Nguyen and O'Connor 2015, "Posterior calibration and exploratory analysis for natural language processing models".
    """
    return float(_calibration_errors(truth[np.newaxis], scores[np.newaxis], bins)[0])


def _calibration_errors(truth: Floats, scores: Floats, bins: int = 10) -> Floats:
    """Of each draw; both arrays are (draws, passages), the result is (draws,)."""
    order = np.argsort(scores, axis=1, kind="stable")
    apart = np.take_along_axis(truth - scores, order, axis=1)
    passages = truth.shape[1]
    starts = [part[0] for part in np.array_split(np.arange(passages), bins) if len(part)]
    errors: Floats = np.abs(np.add.reduceat(apart, starts, axis=1)).sum(axis=1) / passages
    return errors


def bootstrap_calibration_error(gold: Floats, scores: Floats, draws: int = 500, seed: int = 0) -> list["Interval"]:
    """95 % interval of each tag's calibration error, passages resampled.

    Small bins make the error read high, and resampled ones higher still: by how much is taken off both bounds.
    """
    rng = np.random.default_rng(seed)
    found: list[Interval] = []
    for tag in range(gold.shape[1]):
        judged = ~np.isnan(gold[:, tag])
        truth, given = gold[judged, tag], scores[judged, tag]
        rows = rng.integers(0, len(truth), size=(draws, len(truth)))
        errors = _calibration_errors(truth[rows], given[rows])
        low, high = np.percentile(errors, [2.5, 97.5]) - (errors.mean() - calibration_error(truth, given))
        found.append(Interval(low=max(0.0, float(low)), high=float(high)))
    return found


def brier_skill(gold: Floats, scores: Floats) -> list[float]:
    """1 - Brier score / Brier score of the tag's base rate; above 0 the scores say more than the rate does."""
    found: list[float] = []
    for tag in range(gold.shape[1]):
        judged = ~np.isnan(gold[:, tag])
        truth = gold[judged, tag]
        base = float(np.mean((truth - truth.mean()) ** 2))
        found.append(1 - float(np.mean((truth - scores[judged, tag]) ** 2)) / base if base else float("nan"))
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """A 95 % bootstrap interval."""

    low: float
    high: float


def bootstrap_f1(
    gold: Floats, tagged: Bools, documents: Sequence[str], draws: int = 2000, seed: int = 0
) -> tuple[Interval, list[Interval]]:
    """95 % intervals of macro-F1 and of each tag's F1: passages resampled within their document.

    They say what other passages like these would give, not what new documents would.
    """
    samples = paired_f1_draws(gold, tagged, documents, draws, seed)
    bounds = np.percentile(samples, [2.5, 97.5], axis=0)
    overall = np.percentile(samples.mean(axis=1), [2.5, 97.5])
    return Interval(low=float(overall[0]), high=float(overall[1])), [
        Interval(low=float(low), high=float(high)) for low, high in bounds.T
    ]


def paired_macro_f1(
    gold: Floats, one: Bools, other: Bools, documents: Sequence[str], draws: int = 2000, seed: int = 0
) -> Interval:
    """95 % interval of how much higher `one` is in macro-F1 than `other`, on the same resampled passages."""
    higher, lower = (paired_f1_draws(gold, tagged, documents, draws, seed).mean(axis=1) for tagged in (one, other))
    low, high = np.percentile(higher - lower, [2.5, 97.5])
    return Interval(low=float(low), high=float(high))


def paired_f1_draws(gold: Floats, tagged: Bools, documents: Sequence[str], draws: int = 2000, seed: int = 0) -> Floats:
    """F1 of each draw and tag, passages resampled within their document: shape (draws, tags).

    The same seed draws the same passages, so that the draws of two models are pairs.
    """
    judged = ~np.isnan(gold)
    truth = np.nan_to_num(gold) > 0
    times = _times_drawn(tuple(documents), draws, seed)
    right, wrong = times @ (truth & tagged), times @ ((judged & ~truth & tagged) | (truth & ~tagged))
    samples: Floats = np.divide(2 * right, 2 * right + wrong, out=np.zeros_like(right), where=right + wrong > 0)
    return samples


@lru_cache(maxsize=8)
def _times_drawn(documents: tuple[str, ...], draws: int, seed: int) -> Floats:
    """How often each draw holds each passage: shape (draws, passages). An evaluation asks for them dozens of times."""
    rng = np.random.default_rng(seed)
    names = np.array(documents)
    rows_of = [np.flatnonzero(names == name) for name in dict.fromkeys(documents)]
    times = np.empty((draws, len(documents)))
    for draw in range(draws):
        rows = np.concatenate([rng.choice(rows, size=len(rows)) for rows in rows_of])
        times[draw] = np.bincount(rows, minlength=len(documents))
    return times
