"""Each gate: what passes, what fails, what needs a person, and what cannot be estimated and says so."""

from dataclasses import replace

import numpy as np
import pytest

from training import gates
from training.behaviour import Case, Outcome
from training.records import Record

NAMES = ["one", "two"]
ROWS = 200


def record(wrong: int = 0, *, tag: int = 0, flip: bool = False) -> Record:
    """Two hundred passages of two documents, every fourth with each tag; `wrong` decisions of a tag's are not right."""
    gold = np.zeros((ROWS, 2))
    gold[::4] = 1.0
    tagged = gold > 0
    tagged[: wrong * 4 : 4, tag] = False
    scores = np.where(tagged, 0.95, 0.05)
    if flip:
        gold = gold.copy()
        gold[: ROWS // 2, 0] = 1 - gold[: ROWS // 2, 0]
    documents = ["a"] * (ROWS // 2) + ["b"] * (ROWS // 2)
    return Record(
        passages=[f"p{n}" for n in range(ROWS)], documents=documents, groups=documents, gold=gold, scores=scores, tagged=tagged
    )


def outcome(name: str, *, passed: bool, kind: str = "mft", critical: bool = False, tags: tuple[str, ...] = ()) -> Outcome:
    """What a model made of a case."""
    case = Case(id=name, kind=kind, context="", text=name, critical=critical)
    return Outcome(case=case, passed=passed, tags=list(tags), changed_tags=list(tags))


def test_labels_with_problems_fail_and_doubtful_ones_need_a_person() -> None:
    """Problems first."""
    assert gates.data([], []).verdict == "pass"
    assert gates.data([], ["odd"]).verdict == "person"
    assert gates.data(["bad"], ["odd"]).verdict == "fail"


def test_a_challenger_must_beat_every_trivial_baseline() -> None:
    """As good as one is not better."""
    mine = record(5)
    assert gates.baselines(mine, {"none": np.zeros((ROWS, 2), dtype=bool)}).verdict == "pass"
    found = gates.baselines(mine, {"same": mine.tagged})
    assert (found.verdict, "not better than same" in found.said) == ("fail", True)


@pytest.mark.parametrize(("wrong", "verdict"), [(0, "pass"), (2, "pass"), (20, "fail")])
def test_no_worse_than_the_champion(wrong: int, verdict: str) -> None:
    """The bound counts, not the difference: a little worse passes, much worse fails."""
    assert gates.not_worse("x", record(wrong), record(2), "challenger").verdict == verdict


def test_without_the_champions_scores_it_cannot_be_estimated() -> None:
    """No record, or one of other passages, is no silent pass, in any gate that compares."""
    other = replace(record(), passages=[f"q{n}" for n in range(ROWS)])
    for earlier in (None, other):
        found = [
            gates.not_worse("x", record(), earlier, "champion"),
            gates.changed_labels(record(), earlier, record().gold, NAMES),
            gates.guards(record(), earlier, NAMES),
            gates.calibration(record(), earlier, NAMES),
        ]
        assert [gate.verdict for gate in found] == ["not estimable"] * 4
    assert gates.cost(None, None).verdict == gates.churn(None, 0).verdict == gates.behaviour([], []).verdict == "not estimable"
    assert gates.parity({}).verdict == "not estimable"


def test_the_champions_gold_and_the_new_gold_are_asked_apart() -> None:
    """Inverted labels in a document look fine by themselves; by the champion's gold they do not."""
    bad = record(flip=True)
    learned = replace(bad, tagged=bad.gold > 0)
    champion = record()
    assert gates.not_worse("x", learned, champion, "challenger").verdict == "pass"
    assert gates.not_worse("x", learned, champion, "champion").verdict == "fail"


def test_changed_labels_need_a_person() -> None:
    """A tag inverted in a document does; four of a hundred do not; ties count as changed too."""
    champion = record()
    bad = record(flip=True)
    found = gates.changed_labels(bad, champion, bad.gold, NAMES)
    assert (found.verdict, dict(found.figures)) == ("person", {"a one": 1.0})
    few = record()
    few.gold[:4, 0] = 1 - few.gold[:4, 0]
    assert gates.changed_labels(few, champion, few.gold, NAMES).verdict == "pass"
    tied = champion.gold.copy()
    tied[:10, 1] = np.nan
    assert gates.changed_labels(champion, champion, tied, NAMES).figures == {"a two": 0.1}


def test_labels_that_are_gone_have_changed() -> None:
    """Six of a document's hundred passages are no longer reviewed."""
    champion = record()
    kept = [row for row in range(ROWS) if row >= 6]
    fewer = Record(
        passages=[champion.passages[row] for row in kept],
        documents=[champion.documents[row] for row in kept],
        groups=[champion.groups[row] for row in kept],
        gold=champion.gold[kept],
        scores=champion.scores[kept],
        tagged=champion.tagged[kept],
    )
    assert gates.changed_labels(fewer, champion, fewer.gold, NAMES).figures == {"a one": 0.06, "a two": 0.06}


def test_one_tag_that_is_surely_worse_fails_though_the_rest_is_better() -> None:
    """Half of a tag's passages lost."""
    found = gates.guards(record(25, tag=1), record(3), NAMES)
    assert found.verdict == "fail"
    assert "two in all documents" in found.figures
    assert gates.guards(record(3), record(2), NAMES).verdict == "pass"


def test_scores_must_say_something() -> None:
    """Near the champion's skill passes; scores that say nothing fail."""
    assert gates.calibration(record(1), record(), NAMES).verdict == "pass"
    flat = replace(record(), scores=np.full((ROWS, 2), 0.6))
    assert gates.calibration(flat, record(), NAMES).verdict == "fail"


def test_a_tag_that_says_nothing_any_longer_fails() -> None:
    """Though the mean over tags is as good as before."""
    gold = record().gold
    sharp = np.where(gold > 0, 0.9, 0.1)
    champion = replace(record(), scores=np.where(gold > 0, 0.75, 0.25))
    dull = replace(record(), scores=np.column_stack([np.where(gold[:, :1] > 0, 1.0, 0.0), np.full((ROWS, 1), 0.6)]))
    assert gates.calibration(replace(record(), scores=sharp), champion, NAMES).verdict == "pass"
    found = gates.calibration(dull, replace(champion, scores=np.where(gold > 0, 0.55, 0.4)), NAMES)
    assert (found.verdict, "any longer: two" in found.said) == ("fail", True)


def test_int8_that_changes_more_than_the_aim_needs_a_person() -> None:
    """Half a decision in a hundred, or a hundredth of a score."""
    assert gates.parity({"int8_flips": 0.004, "int8_mean": 0.004}).verdict == "pass"
    assert gates.parity({"int8_flips": 0.006, "int8_mean": 0.004}).verdict == "person"
    assert gates.parity({"int8_flips": 0.0, "int8_mean": 0.02}).verdict == "person"
    assert gates.parity({"int8_flips": 0.0, "int8_mean": 0.02}, stopgap=True).verdict == "pass"


def test_a_critical_case_lost_or_many_others_fail() -> None:
    """One critical case; or more than three in a hundred of a kind."""
    champion = [outcome(f"c{n}", passed=True) for n in range(50)]
    assert gates.behaviour(champion, champion).verdict == "pass"
    one = [replace(champion[0], passed=False), *champion[1:]]
    assert gates.behaviour(one, champion).verdict == "pass"
    assert gates.behaviour([replace(two, passed=n > 2) for n, two in enumerate(champion)], champion).verdict == "fail"
    critical = [outcome("k", passed=True, critical=True), *champion]
    assert gates.behaviour([outcome("k", passed=False, critical=True), *champion], critical).verdict == "fail"


def test_slower_larger_and_restless_models() -> None:
    """A quarter more time or size fails; more than a fifth of the decisions changed needs a person."""
    assert gates.cost(1.2, 1.0).verdict == "pass"
    assert gates.cost(1.3, 1.0).verdict == gates.cost(1.0, 1.3).verdict == "fail"
    assert gates.churn(0.05, 100).verdict == "pass"
    assert gates.churn(0.25, 100).verdict == "person"
