"""How near a score is to its threshold: the arithmetic, at both ends and in between."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labels.uncertainty import nearest, uncertainty

SHARES = st.floats(0, 1)
INSIDE = st.floats(0.001, 0.999)


@given(score=SHARES, threshold=SHARES)
def test_it_is_a_share(score: float, threshold: float) -> None:
    """From 0 to 1 for any score and threshold, the ends too."""
    assert 0 <= uncertainty(score, threshold) <= 1


@given(threshold=SHARES)
def test_on_the_threshold_it_is_whole(threshold: float) -> None:
    """Nothing is less sure than a score on its threshold."""
    assert uncertainty(threshold, threshold) == 1


@given(score=INSIDE, threshold=INSIDE)
def test_it_is_the_margin_in_logits(score: float, threshold: float) -> None:
    """1 - |2p - 1| of the score moved so that the threshold is one half."""
    distance = math.log(score / (1 - score)) - math.log(threshold / (1 - threshold))
    moved = 1 / (1 + math.exp(-distance))
    assert uncertainty(score, threshold) == pytest.approx(1 - abs(2 * moved - 1), abs=1e-9)


@pytest.mark.parametrize(("score", "threshold", "expected"), [(0, 0.5, 0), (1, 0.5, 0), (0.25, 0.5, 0.5), (0.75, 0.5, 0.5)])
def test_known_values(score: float, threshold: float, expected: float) -> None:
    """At a threshold of one half it is what is missing to certainty, twice."""
    assert uncertainty(score, threshold) == pytest.approx(expected)


def test_a_rare_tag_is_judged_by_its_own_threshold() -> None:
    """0.04 against a threshold of 0.02 is as uncertain as 0.67 against 0.5, though the difference is a tenth of that."""
    near = nearest({"common": 0.9, "rare": 0.04, "unknown": 0.5}, {"common": 0.5, "rare": 0.02})
    assert near is not None
    assert (near.tag, near.score, near.threshold) == ("rare", 0.04, 0.02)
    assert near.uncertainty == pytest.approx(uncertainty(0.67, 0.5), abs=0.02)


def test_without_a_known_tag_nothing_is_near() -> None:
    """Scores without thresholds say nothing."""
    assert nearest({"unknown": 0.5}, {"known": 0.5}) is None
    assert nearest({}, {"known": 0.5}) is None
