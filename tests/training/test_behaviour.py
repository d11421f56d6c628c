"""How behavioural cases are judged, on real bundles; the cases themselves are asked in tests/model."""

import json
from pathlib import Path

import pytest

from serving.classifier import Classifier
from training import behaviour as behaviour_module
from training.behaviour import CASES, Case, Outcome, _passed, load_cases, summary


def _case(kind: str, **fields: object) -> Case:
    return Case(**{"id": kind, "kind": kind, "context": "", "text": "x", **fields})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("case", "tags", "changed", "passed"),
    [
        (_case("mft", expect={"a": True, "b": False}), ["a"], ["a"], True),
        (_case("mft", expect={"a": True, "b": False}), ["a", "b"], ["a"], False),
        (_case("mft", expect={"a": True}), [], ["a"], False),
        (_case("inv", changed="y"), ["a"], ["a"], True),
        (_case("inv", changed="y"), ["a"], [], False),
        (_case("dir", changed="y", tag="a", before=True, after=False), ["a"], ["b"], True),
        (_case("dir", changed="y", tag="a", before=True, after=False), ["a"], ["a"], False),
        (_case("dir", changed="y", tag="a", before=True, after=False), [], [], False),
    ],
)
def test_each_kind_is_judged_by_its_own_rule(case: Case, tags: list[str], changed: list[str], *, passed: bool) -> None:
    """Tags that must or must not be there; no change; the change that is asked for, from the right start."""
    assert _passed(case, tags, changed) == passed


def test_rates_are_counted_by_kind_rule_and_change() -> None:
    """Passed of asked; failed cases by id."""
    outcomes = [
        Outcome(case=_case("mft", rule="r", critical=True), passed=True, tags=[], changed_tags=[]),
        Outcome(case=_case("mft", rule="r", id="m2"), passed=False, tags=[], changed_tags=[]),
        Outcome(case=_case("inv", change="names"), passed=True, tags=[], changed_tags=[]),
    ]
    assert summary(outcomes) == {
        "kinds": {"inv": [1, 1], "mft": [1, 2]},
        "rules": {"r": [1, 2]},
        "changes": {"inv: names": [1, 1]},
        "critical": [1, 1],
        "failed": ["m2"],
    }


def test_there_are_enough_cases_of_each_kind() -> None:
    """At least 200 in all, each codebook line asked at least three times, some critical."""
    cases = load_cases()
    rates = summary([Outcome(case=case, passed=True, tags=[], changed_tags=[]) for case in cases])
    assert len(cases) >= 200
    assert min(asked for _, asked in rates["rules"].values()) >= 3
    assert min(asked for _, asked in rates["kinds"].values()) >= 50
    assert rates["critical"][1] >= 40
    assert len({case.id for case in cases}) == len(cases)


def test_the_command_writes_rates_and_blocks_on_critical_failures(
    quick_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A quick bundle fails some critical case: status 1, each failure told with its text; without one: status 0."""
    target = tmp_path / "behaviour.json"
    assert behaviour_module.main(["--bundle", str(quick_bundle), "--output", str(target)]) == 1
    assert "failed: CRITICAL mft-" in capsys.readouterr().out
    found = json.loads(target.read_text(encoding="utf-8"))
    loaded = Classifier.load(quick_bundle)
    assert found["bundle"] == loaded.manifest.sha256
    loaded.close()
    easy = [line for line in CASES.read_text(encoding="utf-8").splitlines() if json.loads(line)["id"] not in found["failed"]]
    (tmp_path / "easy.jsonl").write_text("\n".join(easy) + "\n", encoding="utf-8")
    cases = load_cases(tmp_path / "easy.jsonl")
    monkeypatch.setattr(behaviour_module, "load_cases", lambda: cases)
    assert behaviour_module.main(["--bundle", str(quick_bundle), "--output", str(target)]) == 0
    assert behaviour_module.main(["--bundle", str(tmp_path / "none")]) == 1
    assert "tagger behaviour:" in capsys.readouterr().err
