import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, f1_score

from training.decisions import apply_decisions, fit_decisions, neutral, sigmoid
from training.metrics import (
    average_precision,
    bootstrap_f1,
    brier_skill,
    count,
    macro_f1,
    paired_macro_f1,
    pooled_ap,
    within_document_ap,
)

NAN = float("nan")


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 6)), min_size=1, max_size=60))
def test_f1_and_average_precision_are_scikit_learns(rows: list[tuple[bool, int]]) -> None:
    """Our figures are those of the library that everybody knows, ties included."""
    truth = np.array([holds for holds, _ in rows])
    scores = np.array([score / 6 for _, score in rows])
    counts = count(truth[:, None].astype(float), (scores >= 0.5)[:, None])[0]
    assert math.isclose(f1_score(truth, scores >= 0.5, zero_division=0.0), counts.f1)
    if truth.any():
        assert math.isclose(average_precision_score(truth, scores), average_precision(truth, scores))
    else:
        assert math.isnan(average_precision(truth, scores))


def test_unjudged_cells_count_nowhere() -> None:
    """NaN is neither a positive nor a negative."""
    gold = np.array([[1.0], [NAN], [0.0], [NAN]])
    [counts] = count(gold, np.array([[True], [True], [True], [False]]))
    assert (counts.tp, counts.fp, counts.fn, counts.tn) == (1, 1, 0, 0)
    assert (counts.precision, counts.recall) == (0.5, 1.0)
    [ap] = pooled_ap(gold, np.array([[0.9], [1.0], [0.1], [0.5]]))
    assert ap == 1.0


def test_nothing_to_find_and_nothing_found_is_zero() -> None:
    """No positives and no tags: 0, not an error and not 1."""
    [counts] = count(np.zeros((3, 1)), np.zeros((3, 1), dtype=bool))
    assert (counts.f1, counts.precision, counts.recall) == (0.0, 0.0, 0.0)


def test_macro_f1_pools_over_folds_and_averages_over_tags() -> None:
    """A tag found everywhere and a tag found nowhere give one half."""
    gold = np.array([[1.0, 1.0], [1.0, 1.0]])
    assert macro_f1(gold, np.array([[True, False], [True, False]])) == 0.5


def test_within_document_precision_unmasks_a_model_that_knows_documents() -> None:
    """Scores that only tell documents apart are high when pooled and at chance within."""
    documents = ["a"] * 20 + ["b"] * 20
    gold = np.zeros((40, 1))
    gold[0:20:2] = 1
    scores = np.array([[0.9]] * 20 + [[0.1]] * 20)
    assert within_document_ap(gold, scores, documents)[0] == 0.5
    rarely = gold.copy()
    rarely[:] = 0
    rarely[0] = 1
    assert math.isnan(within_document_ap(rarely, scores, documents)[0])


def test_brier_skill_is_zero_for_the_base_rate_and_one_for_the_truth() -> None:
    """The skill is against the tag's own rate."""
    gold = np.array([[1.0], [0.0], [0.0], [0.0]])
    assert brier_skill(gold, np.full((4, 1), 0.25))[0] == 0.0
    assert brier_skill(gold, gold)[0] == 1.0
    assert math.isnan(brier_skill(np.zeros((2, 1)), np.zeros((2, 1)))[0])


def test_bootstrap_intervals_hold_the_figure_and_repeat() -> None:
    """The interval lies around the point, is the same each time, and is none for a perfect model."""
    rng = np.random.default_rng(0)
    gold = (rng.random((200, 2)) < 0.3).astype(float)
    tagged = (gold > 0) ^ (rng.random((200, 2)) < 0.1)
    documents = ["a"] * 100 + ["b"] * 100
    overall, tags = bootstrap_f1(gold, tagged, documents, draws=300)
    assert overall.low < macro_f1(gold, tagged) < overall.high
    assert (overall, tags) == bootstrap_f1(gold, tagged, documents, draws=300)
    perfect, _ = bootstrap_f1(gold, gold > 0, documents, draws=50)
    assert (perfect.low, perfect.high) == (1.0, 1.0)


def test_temperature_cools_overconfident_logits() -> None:
    """Logits three times too large get a temperature near three."""
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 1.5, size=(4000, 2))
    gold = (rng.random((4000, 2)) < sigmoid(logits)).astype(float)
    fitted = fit_decisions(3 * logits, gold)
    assert 2.6 < fitted.temperature < 3.4
    assert all(abs(offset) < 0.2 for offset in fitted.offsets)


def test_rare_tags_keep_the_common_values() -> None:
    """Under 20 positives a tag has no offset and no threshold of its own; above it is pulled towards the common one."""
    rng = np.random.default_rng(1)
    gold = np.zeros((1000, 3))
    gold[:300, 0] = 1
    gold[:19, 1] = 1
    gold[:60, 2] = 1
    logits = rng.normal(0, 1, size=(1000, 3)) + 3 * gold - 1
    fitted = fit_decisions(logits, gold)
    assert fitted.offsets[1] == 0.0
    assert fitted.offsets[0] != 0.0
    spread = [abs(limit - fitted.thresholds[1]) for limit in fitted.thresholds]
    assert spread[1] == 0.0


def test_no_threshold_is_above_a_half() -> None:
    """Where the labels at hand are best cut at 0.7 by chance, calibrated scores still are at 0.5: that is what they mean."""
    gold = np.repeat([1.0, 0.0, 1.0, 0.0], [40, 10, 10, 40])[:, np.newaxis]
    logits = np.repeat([1.5, 0.9, -1.5, -1.5], [40, 10, 10, 40])[:, np.newaxis]
    fitted = fit_decisions(logits, gold)
    scores, tagged = apply_decisions(logits, fitted)
    assert 0.5 < scores[45, 0] < scores[0, 0]
    assert macro_f1(gold, scores >= scores[0, 0]) > macro_f1(gold, tagged)
    assert fitted.thresholds[0] <= 0.5


def test_thresholds_hang_little_on_single_passages() -> None:
    """Fitted on one half of the passages and on the other they come out alike, though each half has a best of its own."""
    rng = np.random.default_rng(4)
    gold = (rng.random((1200, 3)) < 0.1).astype(float)
    logits = rng.normal(0, 1.2, size=gold.shape) + 3.2 * gold - 2.4
    halves = [fit_decisions(logits[start::2], gold[start::2]) for start in (0, 1)]
    assert np.ptp([half.thresholds for half in halves], axis=0).max() < 0.06


def test_decisions_without_any_positive_are_plain() -> None:
    """A side without positives is an edge, not an error."""
    fitted = fit_decisions(np.zeros((10, 2)), np.zeros((10, 2)))
    assert fitted.thresholds == [0.5, 0.5]


def test_the_review_band_leaves_few_errors_outside() -> None:
    """Outside the band at most one decision in twenty is wrong, where that can be had."""
    rng = np.random.default_rng(2)
    logits = rng.normal(0, 8, size=(3000, 2))
    gold = (rng.random((3000, 2)) < sigmoid(logits)).astype(float)
    fitted = fit_decisions(logits, gold)
    scores, tagged = apply_decisions(logits, fitted)
    outside = np.stack(
        [(scores[:, tag] < low) | (scores[:, tag] > high) for tag, (low, high) in enumerate(fitted.review)], axis=1
    )
    assert (tagged != (gold > 0))[outside].mean() <= 0.05


def test_neutral_decisions_are_a_half() -> None:
    """Provisional bundles decide at 0.5 without calibration."""
    scores, tagged = apply_decisions(np.array([[0.0, -0.01]]), neutral(2))
    assert scores[0, 0] == 0.5
    assert tagged[0].tolist() == [True, False]


def test_sigmoid_does_not_overflow() -> None:
    """Far logits are 0 and 1, without a warning."""
    assert pytest.approx([0.0, 0.5, 1.0]) == sigmoid(np.array([-1e4, 0.0, 1e4])).tolist()


def test_a_paired_interval_sees_what_single_ones_cannot() -> None:
    """Equal decisions differ by nothing; better ones on the same passages by more than nothing."""
    rng = np.random.default_rng(0)
    gold = (rng.random((200, 2)) < 0.3).astype(float)
    documents = ["a"] * 100 + ["b"] * 100
    worse = (gold > 0) ^ (rng.random(gold.shape) < 0.1)
    better = np.where(rng.random(gold.shape) < 0.5, gold > 0, worse)
    same = paired_macro_f1(gold, worse, worse, documents, draws=200)
    assert (same.low, same.high) == (0.0, 0.0)
    ahead = paired_macro_f1(gold, better, worse, documents, draws=200)
    behind = paired_macro_f1(gold, worse, better, documents, draws=200)
    assert 0 < ahead.low < ahead.high
    assert (behind.low, behind.high) == pytest.approx((-ahead.high, -ahead.low))
