"""Agreement figures against values worked out elsewhere, and the committed annotations' table in the dataset card."""

import math
from pathlib import Path

import pytest

from labels.agreement import TagAgreement, agreement_table, agreements, krippendorff_alpha, masi_distance
from labels.corpus import load_corpus


def test_kappa_and_positive_agreement() -> None:
    """The worked example of Cohen's kappa: 20 both, 5 and 10 apart, 15 neither give 0.40; their F1 is 40/55."""
    found = TagAgreement(tag="t", both=20, only_first=5, only_second=10, neither=15)
    assert found.kappa == pytest.approx(0.4)
    assert found.positive == pytest.approx(40 / 55)


def test_kappa_is_undefined_where_chance_explains_all() -> None:
    """Two annotators who never gave the tag have shown nothing."""
    found = TagAgreement(tag="t", both=0, only_first=0, only_second=0, neither=9)
    assert math.isnan(found.kappa)
    assert math.isnan(found.positive)
    assert math.isnan(TagAgreement(tag="t", both=0, only_first=0, only_second=0, neither=0).kappa)


@pytest.mark.parametrize(
    ("one", "other", "distance"),
    [
        ("", "", 0),
        ("ab", "ab", 0),
        ("a", "b", 1),
        ("", "a", 1),
        ("a", "ab", 1 - 1 / 2 * 2 / 3),
        ("ab", "bc", 1 - 1 / 3 * 1 / 3),
    ],
)
def test_masi(one: str, other: str, distance: float) -> None:
    """Passonneau's four cases: equal, nested, crossing, disjoint; no tag is a set like any other."""
    assert masi_distance(frozenset(one), frozenset(other)) == pytest.approx(distance)
    assert masi_distance(frozenset(other), frozenset(one)) == pytest.approx(distance)


def test_alpha_on_krippendorffs_own_example() -> None:
    """Four observers, twelve units, nominal values, gaps ('*'): 0.743 (Krippendorff 2011, example C)."""
    observers = ["123321412***", "1233224125*3", "*3332342251*", "12332441251*"]
    units = [[frozenset(value) for value in unit if value != "*"] for unit in zip(*observers, strict=True)]
    assert krippendorff_alpha(units) == pytest.approx(0.743, abs=5e-4)


def test_alpha_without_variation_is_undefined() -> None:
    """Nothing but one value, or nothing to pair."""
    assert math.isnan(krippendorff_alpha([[frozenset("a"), frozenset("a")]]))
    assert math.isnan(krippendorff_alpha([[frozenset("a")]]))


def test_the_card_holds_the_committed_figures() -> None:
    """labels/README.md prints what `tagger labels agree` prints."""
    corpus = load_corpus()
    (pair,) = agreements(corpus.annotations, corpus.codebook.names)
    card = (Path(__file__).parents[2] / "labels" / "README.md").read_text(encoding="utf-8")
    assert agreement_table(pair) in card
    assert pair.passages == len(corpus.gold)
