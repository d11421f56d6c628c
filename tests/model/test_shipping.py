"""The bundle that ships: made by the shipping recipe from the committed labels, with its evaluation behind it."""

import json
import math
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from labels.corpus import load_corpus
from serving.bundle import read_bundle
from serving.classifier import Classifier
from serving.registry import champion_path
from serving.results import PassageIn
from serving.settings import Settings
from tests.conftest import ROOT, TAGGER
from training.behaviour import Outcome, ask, load_cases, summary, table
from training.recipe import SHIPPING
from training.standing import EVALUATION


def champion() -> Path:
    """The folder that the registry of this checkout names."""
    return champion_path(Settings(state=ROOT / "state"))


@pytest.fixture(scope="module")
def shipping() -> Iterator[Classifier]:
    """The champion, trained now unless this very fit is cached."""
    subprocess.run([*TAGGER, "train"], cwd=ROOT, check=True)
    loaded = Classifier.load(champion())
    yield loaded
    loaded.close()


def test_it_is_not_provisional(shipping: Classifier) -> None:
    """Decisions and figures of the committed evaluation travel in it, and its card states them."""
    manifest = shipping.manifest
    assert (manifest.provisional, manifest.held_out) == (False, None)
    assert manifest.metrics["macro_f1"] > 0
    card = (champion() / "model_card.md").read_text(encoding="utf-8")
    assert f"macro-F1 {manifest.metrics['macro_f1']:.2f}" in card


def test_it_was_trained_on_all_labels(shipping: Classifier) -> None:
    """All seed passages are on its training side."""
    assert shipping.manifest.trained_on["passages"] >= len(load_corpus().gold)


def test_its_name_is_its_content() -> None:
    """The champion is a folder whose name is the manifest's hash."""
    folder = champion()
    assert folder.name == f"{SHIPPING.profile}-{read_bundle(folder).sha256[:12]}"


@pytest.mark.parametrize(
    ("text", "tag"),
    [
        ("The alliance calls on all governments to impose targeted sanctions and an arms embargo.", "advocacy_call"),
        ("Member States should provide victims with free legal aid and shelters.", "victim_support_measure"),
    ],
)
def test_plain_cases_are_tagged(shipping: Classifier, text: str, tag: str) -> None:
    """What nobody would doubt is found."""
    assert tag in shipping.score([PassageIn(text=text)])[0].tags


def test_plain_text_without_a_tag_stays_without(shipping: Classifier) -> None:
    """A page's furniture carries nothing."""
    assert shipping.score([PassageIn(text="Click here to read more. Page 3 of 12.")])[0].tags == []


def test_files_hold_nothing_of_the_machine() -> None:
    """No path of the machine that trained it."""
    folder: Path = champion()
    for name in ("manifest.json", "config.json", "model_card.md"):
        assert str(ROOT) not in (folder / name).read_text(encoding="utf-8")


@dataclass(frozen=True, slots=True)
class Otherwise:
    """Cases that a bundle loses and wins against the committed outcomes."""

    lost: int
    won: int

    @property
    def chance(self) -> float:
        """Of losing so many or more, if a case that comes out otherwise is lost as easily as won (McNemar 1947, sign test)."""
        found = self.lost + self.won
        return sum(math.comb(found, lost) / 2.0**found for lost in range(self.lost, found + 1))


def committed_outcomes() -> dict[str, Any]:
    """What behaviour.json says."""
    found: dict[str, Any] = json.loads((EVALUATION / SHIPPING.profile / "behaviour.json").read_text(encoding="utf-8"))
    return found


def otherwise(classifier: Classifier) -> list[Otherwise]:
    """Of all cases, and of the critical ones.

    Where this very fit is not cached it is made anew, and processors multiply differently, in bf16 or in fp32, so that it
    is another draw: cases near a threshold come out otherwise, both ways.
    """
    cases = load_cases()
    failed = set(summary(ask(classifier, cases))["failed"])
    before = set(committed_outcomes()["failed"])
    groups = [{case.id for case in cases}, {case.id for case in cases if case.critical}]
    return [Otherwise(len(some & (failed - before)), len(some & (before - failed))) for some in groups]


def test_it_behaves_as_well_as_is_committed(shipping: Classifier) -> None:
    """It loses no more cases than chance explains, no more critical ones, and on balance no more than four in a hundred.

    The cases were written before the model was trained; those that fail stand in behaviour.json and in the README's count.
    """
    every, critical = otherwise(shipping)
    assert min(every.chance, critical.chance) > 0.001
    assert every.lost - every.won <= 0.04 * len(load_cases())


def test_a_worse_model_would_be_seen(classifier: Classifier) -> None:
    """The quick bundle, whose encoder knows nothing of the tags, is not taken for as good."""
    every, critical = otherwise(classifier)
    assert min(every.chance, critical.chance) < 0.001
    assert every.lost - every.won > 0.04 * len(load_cases())


def test_the_committed_outcomes_hold_together() -> None:
    """Rates of kinds, rules and critical cases follow from the cases that failed, and README.md states them."""
    committed = committed_outcomes()
    failed = set(committed["failed"])
    again = summary(
        [Outcome(case=case, passed=case.id not in failed, tags=[], changed_tags=[]) for case in load_cases()],
    )
    assert {name: committed[name] for name in again} == again
    assert table(committed) in (ROOT / "README.md").read_text(encoding="utf-8")
