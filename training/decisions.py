"""Decisions: from out-of-document logits to temperature, offsets, thresholds and the review band.

One temperature and one threshold for all tags; a tag's own offset and threshold are shrunk towards these by
n / (n + 100), n its real positives, and stay the common ones below 20: a threshold tuned on 15 positives overstates F1
by about 0.10. No threshold is above a half. Temperature scaling: Guo et al. 2017, "On Calibration of Modern Neural Networks".
"""

from functools import lru_cache

import numpy as np

from serving.bundle import Decisions
from training.metrics import Bools, Floats

MIN_POSITIVES = 20
SHRINKAGE = 100
SAFE_ERROR = 0.02
"""Outside the review band at most this share of decisions was wrong, as far as the band can be widened."""
MAX_BAND = 0.3

_TEMPERATURES = np.exp(np.linspace(np.log(0.2), np.log(8.0), 60))
_OFFSETS = np.linspace(-3.0, 3.0, 121)
_THRESHOLDS = np.linspace(0.05, 0.95, 91)
_RESAMPLES = 200


def neutral(tags: int) -> Decisions:
    """No calibration, threshold 0.5: what a provisional bundle carries."""
    return Decisions(temperature=1.0, offsets=[0.0] * tags, thresholds=[0.5] * tags, review=[[0.35, 0.65]] * tags)


def fit_decisions(logits: Floats, gold: Floats, fits: int = 1) -> Decisions:
    """Fit on out-of-document logits; both arrays are (passages, tags), gold 1, 0 or NaN.

    With several `fits` the arrays hold every passage so many times, which makes no more of its positives.
    """
    temperature = float(min(_TEMPERATURES, key=lambda value: _log_loss(logits / value, gold)))
    weights = [_weight(gold[:, tag], fits) for tag in range(gold.shape[1])]
    offsets = [
        weight * float(min(_OFFSETS, key=lambda value: _log_loss(logits[:, [tag]] / temperature + value, gold[:, [tag]])))
        if weight
        else 0.0
        for tag, weight in enumerate(weights)
    ]
    scores = sigmoid(logits / temperature + np.array(offsets))
    common = _best_threshold(scores, gold, fits)
    thresholds = [
        common + weight * (_best_threshold(scores[:, [tag]], gold[:, [tag]], fits) - common) if weight else common
        for tag, weight in enumerate(weights)
    ]
    width = _review_width(scores, gold, np.array(thresholds))
    review = [[round(max(0.0, limit - width), 4), round(min(1.0, limit + width), 4)] for limit in thresholds]
    return Decisions(
        temperature=round(temperature, 4),
        offsets=[round(value, 4) for value in offsets],
        thresholds=[round(value, 4) for value in thresholds],
        review=review,
    )


def apply_decisions(logits: Floats, decisions: Decisions) -> tuple[Floats, Bools]:
    """Calibrated scores and tags, both (passages, tags)."""
    scores = sigmoid(logits / decisions.temperature + np.array(decisions.offsets))
    return scores, scores >= np.array(decisions.thresholds)


def sigmoid(values: Floats) -> Floats:
    """1 / (1 + exp(-values)), without overflow."""
    found: Floats = np.where(values >= 0, 1 / (1 + np.exp(-np.abs(values))), 1 - 1 / (1 + np.exp(-np.abs(values))))
    return found


def _weight(gold: Floats, fits: int) -> float:
    positives = float(np.nansum(gold)) / fits
    return positives / (positives + SHRINKAGE) if positives >= MIN_POSITIVES else 0.0


def _log_loss(logits: Floats, gold: Floats) -> float:
    judged = ~np.isnan(gold)
    signed = np.where(gold > 0, logits, -logits)[judged]
    return float(np.logaddexp(0, -signed).mean())


def _best_threshold(scores: Floats, gold: Floats, fits: int) -> float:
    """The threshold of the best macro-F1 over the given tags, averaged over resampled passages, at most 0.5.

    Macro-F1 is nearly level between thresholds far apart, and where it happens to be highest says little: of four documents
    at a time it was anything from 0.4 to 0.9. The mean over bootstrap samples says more (bagging, Breiman 1996), and of
    calibrated scores none above a half is best: the best one is half the F1 that it gives (Lipton et al. 2014, "Optimal
    Thresholding of Classifiers to Maximize F1 Measure").
    """
    seen = np.nansum(gold, axis=0) > 0
    if not seen.any():
        return 0.5
    times = np.tile(_times_drawn(len(gold) // fits), fits)  # a passage is drawn with all that its fits say of it
    found = np.zeros((_RESAMPLES, len(_THRESHOLDS)))
    for tag in np.flatnonzero(seen):
        judged, holds = ~np.isnan(gold[:, tag]), gold[:, tag] > 0
        given = (scores[:, tag, np.newaxis] >= _THRESHOLDS) & judged[:, np.newaxis]
        right = times @ (given & holds[:, np.newaxis])
        found += 2 * right / np.maximum(times @ given + (times @ holds)[:, np.newaxis], 1)
    best = [np.flatnonzero(values >= values.max() - 1e-12) for values in found]
    return min(0.5, float(np.mean([_THRESHOLDS[level[len(level) // 2]] for level in best])))


@lru_cache(maxsize=8)
def _times_drawn(passages: int) -> Floats:
    """How often each resample holds each passage: shape (resamples, passages)."""
    drawn = np.random.default_rng(0).multinomial(passages, np.full(passages, 1 / passages), size=_RESAMPLES)
    return drawn.astype(np.float64)


def _review_width(scores: Floats, gold: Floats, thresholds: Floats) -> float:
    wrong = (scores >= thresholds) != (gold > 0)
    judged = ~np.isnan(gold)
    for width in np.arange(0.02, MAX_BAND, 0.01):
        safe = judged & (np.abs(scores - thresholds) > width)
        if safe.any() and wrong[safe].mean() <= SAFE_ERROR:
            return float(width)
    return MAX_BAND
