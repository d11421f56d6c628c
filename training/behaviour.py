"""Behavioural cases: what the codebook says, line by line, asked of a bundle.

Ribeiro et al. 2020, "Beyond Accuracy: Behavioral Testing of NLP Models with CheckList". Minimum functionality (`mft`): a
short text and the tags it must or must not get. Invariance (`inv`): a change that may not change any tag. Directed change
(`dir`): a change that must change one. The cases were written from the codebook before any training with authored passages,
and are never trained on.

    tagger behaviour            asks the served bundle; writes training/evaluation/PROFILE/behaviour.json and, for the
                                default profile, the table in README.md
"""

import argparse
import json
import sys
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from serving.bundle import BundleError
from serving.classifier import Classifier
from serving.registry import champion_path
from serving.results import PassageIn
from serving.settings import load_settings
from training.readme import README, write_block
from training.recipe import SHIPPING
from training.standing import EVALUATION

CASES = Path(__file__).parent.parent / "tests" / "model" / "cases.jsonl"
KINDS = {"mft": "minimum functionality", "inv": "invariance", "dir": "directed change"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One case. Field names are those of the JSON row; which ones it has depends on its kind."""

    id: str
    kind: str
    context: str
    text: str
    rule: str = ""
    """The codebook line that decides."""
    critical: bool = False
    """Whether a challenger that fails it is kept back when the champion passes it; CI counts these apart."""
    expect: dict[str, bool] = field(default_factory=dict)
    changed: str = ""
    """The text after the change."""
    change: str = ""
    tag: str = ""
    before: bool = False
    after: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a bundle made of a case."""

    case: Case
    passed: bool
    tags: list[str]
    changed_tags: list[str]


def load_cases(path: Path = CASES) -> list[Case]:
    """The committed cases. Raises OSError, ValueError or TypeError when the file is not as it should be."""
    return [Case(**json.loads(line)) for line in path.read_text(encoding="utf-8").splitlines()]


def ask(classifier: Classifier, cases: Sequence[Case]) -> list[Outcome]:
    """Put every case to a bundle."""
    texts = [PassageIn(text=case.text, context=case.context) for case in cases]
    changed = [PassageIn(text=case.changed or case.text, context=case.context) for case in cases]
    first, second = classifier.score(texts), classifier.score(changed)
    return [
        Outcome(case=case, passed=_passed(case, one.tags, other.tags), tags=one.tags, changed_tags=other.tags)
        for case, one, other in zip(cases, first, second, strict=True)
    ]


def summary(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """Pass rates by kind, of the critical cases, by codebook line and by change, and the ids of what failed."""
    groups: dict[str, dict[str, list[Outcome]]] = {
        "kinds": defaultdict(list),
        "rules": defaultdict(list),
        "changes": defaultdict(list),
    }
    for outcome in outcomes:
        groups["kinds"][outcome.case.kind].append(outcome)
        if outcome.case.kind == "mft":
            groups["rules"][outcome.case.rule].append(outcome)
        else:
            groups["changes"][f"{outcome.case.kind}: {outcome.case.change}"].append(outcome)
    rates = {name: {key: _rate(found) for key, found in sorted(group.items())} for name, group in groups.items()}
    critical = [outcome for outcome in outcomes if outcome.case.critical]
    return {**rates, "critical": _rate(critical), "failed": [outcome.case.id for outcome in outcomes if not outcome.passed]}


def table(found: dict[str, Any]) -> str:
    """Markdown: what of each kind passed, and of the critical cases."""
    rows = [(KINDS[kind], *rate) for kind, rate in found["kinds"].items()]
    rows.append(("critical among them", *found["critical"]))
    lines = [f"| {name} | {passed} of {asked} | {passed / asked:.1%} |" for name, passed, asked in rows]
    return "\n".join(["| cases | passed | share |", "| --- | --- | --- |", *lines])


def main(arguments: list[str]) -> int:
    """Ask a bundle; the exit status is 1 when a critical case fails."""
    parser = argparse.ArgumentParser(prog="tagger behaviour", description="Ask a bundle the behavioural cases.")
    parser.add_argument("--bundle", type=Path, help="folder of a bundle (default: the champion)")
    parser.add_argument("--output", type=Path, help="file to write (default: that of the bundle's profile)")
    options = parser.parse_args(arguments)
    try:
        classifier = Classifier.load(options.bundle or champion_path(load_settings()))
    except BundleError as error:
        print(f"tagger behaviour: {error}", file=sys.stderr)
        return 1
    with_profile = EVALUATION / classifier.manifest.profile / "behaviour.json"
    outcomes = ask(classifier, load_cases())
    classifier.close()
    found = {"bundle": classifier.manifest.sha256, **summary(outcomes)}
    (options.output or with_profile).write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    print(table(found))
    if options.output is None and classifier.manifest.profile == SHIPPING.profile:
        write_block(README, "behaviour", table(found))
    passed, asked = found["critical"]
    for outcome in outcomes:
        if not outcome.passed:
            case = outcome.case
            mark = "CRITICAL " if case.critical else ""
            print(f"failed: {mark}{case.id} ({case.rule or case.change}): {outcome.tags} {case.text}")
    return 0 if passed == asked else 1


def _passed(case: Case, tags: Sequence[str], changed: Sequence[str]) -> bool:
    if case.kind == "mft":
        return all((tag in tags) == holds for tag, holds in case.expect.items())
    if case.kind == "inv":
        return list(tags) == list(changed)
    return (case.tag in tags) == case.before and (case.tag in changed) == case.after


def _rate(outcomes: Sequence[Outcome]) -> list[int]:
    """Passed, asked."""
    return [sum(outcome.passed for outcome in outcomes), len(outcomes)]
