"""A challenger beside the champion: both asked the same, every gate's figures gathered, and what follows from the gates."""

import statistics
import time
from collections.abc import Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from serving.bundle import BundleError, read_bundle
from serving.classifier import Classifier
from serving.results import PassageIn
from training import gates
from training.assessment import decide_out_of_document
from training.baselines import cue_words, none_at_all, tfidf
from training.behaviour import Outcome, ask, load_cases
from training.decisions import apply_decisions, neutral
from training.gates import Gate
from training.metrics import Bools, Floats
from training.plausible import doubts_of, problems_of
from training.records import Record, read_record, record_file
from training.snapshot import Snapshot

_TIMED_PASSAGES = 40
_TIMED_ROUNDS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Contest:
    """Two bundles and what is known of them. `champion` is None when there is none that loads."""

    challenger: Path
    champion: Path | None
    record: Record
    champion_record: Record | None
    snapshot: Snapshot
    provisional: bool
    """Whether the challenger is of the quick profile: a stopgap, which cue words may beat."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """The gates, and the answers of both models to the reference set."""

    gates: list[Gate]
    asked: list[Outcome]
    champion_asked: list[Outcome]
    """Empty without a champion."""

    @property
    def passed(self) -> bool:
        """Whether every gate says `pass`: only then is anything promoted without a person."""
        return all(gate.verdict == "pass" for gate in self.gates)

    def why(self) -> str:
        """What the gates come to, in a line."""
        if self.passed:
            return "every gate passed"
        return "; ".join(f"{gate.name}: {gate.verdict}" for gate in self.gates if gate.verdict != "pass")


def judge(contest: Contest) -> Judged:
    """Put a challenger through all gates. Raises BundleError when it does not load."""
    cases, snapshot, record = load_cases(), contest.snapshot, contest.record
    asked: list[Outcome] = []
    theirs: list[Outcome] = []
    doubts: list[str] = []
    slower = larger = None
    with ExitStack() as open_models:
        mine = open_models.enter_context(closing(Classifier.load(contest.challenger)))
        asked = ask(mine, cases)
        if contest.champion and (champion := _loaded(contest.champion)):
            open_models.enter_context(closing(champion))
            theirs = ask(champion, cases)
            doubts = doubts_of(champion, snapshot)
            slower = _slower(mine, champion, [PassageIn(text=row.text) for row in snapshot.reviewed])
            larger = _size(contest.challenger) / _size(contest.champion)
    earlier = contest.champion_record
    return Judged(
        asked=asked,
        champion_asked=theirs,
        gates=[
            gates.data(problems_of(snapshot), doubts),
            gates.baselines(record, _baselines(snapshot, rules=not contest.provisional)),
            gates.not_worse("champion, by its gold", record, earlier, "champion"),
            gates.not_worse("champion, by the new gold", record, earlier, "challenger"),
            gates.changed_labels(record, earlier, snapshot.taught_labels(), snapshot.names),
            gates.guards(record, earlier, snapshot.names),
            gates.calibration(record, earlier, snapshot.names),
            gates.behaviour(asked, theirs, stopgap=contest.provisional),
            gates.parity(read_bundle(contest.challenger).parity, stopgap=contest.provisional),
            gates.cost(slower, larger),
            gates.churn(_churn(asked, theirs, len(snapshot.names)), len(cases)),
        ],
    )


def champion_record(state: Path, champion: Path | None, names: Sequence[str]) -> Record | None:
    """What is known of the champion's out-of-document scores; None also when it knows other tags than these."""
    if champion is None:
        return None
    try:
        manifest = read_bundle(champion)
    except BundleError:
        return None
    return read_record(record_file(state, manifest)) if manifest.tags == list(names) else None


def _loaded(bundle: Path) -> Classifier | None:
    try:
        return Classifier.load(bundle)
    except BundleError:  # the gates that need it then say that they cannot be estimated
        return None


def _baselines(snapshot: Snapshot, *, rules: bool) -> dict[str, Bools]:
    """Tags of the trivial baselines on the same folds; `rules` adds cue words, which learn nothing."""
    names, gold, groups = snapshot.names, snapshot.gold(), snapshot.groups()
    reviewed = len(snapshot.reviewed)
    dataset = snapshot.dataset()
    texts = [f"{row['context']} {row['text']}".strip() for row in dataset]
    targets: Floats = np.array(dataset["targets"], dtype=np.float64).reshape(-1, len(names))
    plain = neutral(len(names))
    found = {"no tags at all": apply_decisions(none_at_all(texts[:reviewed], names), plain)[1]}
    if rules:
        found["cue words"] = apply_decisions(cue_words(texts[:reviewed], names), plain)[1]
    logits = tfidf(texts, targets, snapshot.folds())[:reviewed]
    return {**found, "TF-IDF + LR": decide_out_of_document(logits, gold, groups).tagged}


def _slower(mine: Classifier, champion: Classifier, passages: Sequence[PassageIn]) -> float:
    """Median time of a round beside the champion's, alternating, so that a busy machine meets both."""
    some = passages[:: max(1, len(passages) // _TIMED_PASSAGES)]
    ratios: list[float] = []
    for _ in range(_TIMED_ROUNDS):
        times: list[float] = []
        for one in (mine, champion):
            started = time.perf_counter()
            one.score(some)
            times.append(time.perf_counter() - started)
        ratios.append(times[0] / times[1])
    return statistics.median(ratios)


def _size(bundle: Path) -> int:
    return (bundle / "model.onnx").stat().st_size


def _churn(mine: Sequence[Outcome], theirs: Sequence[Outcome], tags: int) -> float | None:
    """Share of the decisions on the cases' texts that differ."""
    if not theirs:
        return None
    changed = sum(len(set(one.tags) ^ set(other.tags)) for one, other in zip(mine, theirs, strict=True))
    return changed / (len(mine) * tags)
