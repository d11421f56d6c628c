"""How near a passage's scores are to their thresholds: what makes it worth labelling.

Margin sampling (Settles 2009, "Active Learning Literature Survey", uncertainty sampling): where the two answers to a question
are nearly as likely, a label teaches most. A score lies `d = logit(score) - logit(threshold)` away from its decision. In
logits, since 0.02 against 0.04 is as far apart as 0.32 against 0.5, and a rare tag's threshold may lie at either end. Moved so
that the threshold lies at one half, the score is `p = 1 / (1 + exp(-d))`, the margin between the two answers is `|2p - 1|`,
and the uncertainty is what that leaves of 1. A passage is as uncertain as the nearest of its tags.
"""

from collections.abc import Mapping
from dataclasses import dataclass

NEAR = 0.5
"""From this uncertainty on a passage is worth keeping for labelling: every eighth of the seeds' out-of-document scores."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Near:
    """The tag whose score is nearest to its threshold."""

    tag: str
    score: float
    threshold: float
    uncertainty: float
    """From 0 to 1, which it is on the threshold."""


def uncertainty(score: float, threshold: float) -> float:
    """How near a score is to a threshold, both from 0 to 1: 1 on it, 0 at the far end."""
    below, above = threshold * (1 - score), score * (1 - threshold)  # their ratio is exp(-d), and no logarithm can overflow
    return 1.0 if below == above else 2 * min(below, above) / (below + above)


def nearest(scores: Mapping[str, float], thresholds: Mapping[str, float]) -> Near | None:
    """The tag of which the scores are least sure, the first of equals; None when no score has a threshold."""
    best, found = -1.0, None
    for tag, score in scores.items():
        if tag in thresholds and (value := uncertainty(score, thresholds[tag])) > best:
            best, found = value, tag
    return None if found is None else Near(tag=found, score=scores[found], threshold=thresholds[found], uncertainty=best)
