"""From labels added to a better model that serves, or to the reasons why not.

snapshot -> training -> export -> evaluation -> gates -> registered as challenger -> promoted, or kept for a person. Every fit
is cached by its hash, so a run that was killed goes on where it was; the champion serves all the while.
"""

import hashlib
import json
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from labels.authored import AuthoredPassage
from labels.corpus import Corpus
from labels.near_copies import near_copies
from labels.store import LabelStore
from serving.bundle import BundleError, read_bundle
from serving.registry import CHALLENGER, Registry, RegistryError
from serving.whole import whole
from training.assessment import assess, decide_out_of_document
from training.base_model import BaseModel, find_base_model
from training.behaviour import CASES, load_cases
from training.comparison import write_comparison
from training.decisions import fit_decisions
from training.gates import Gate
from training.judging import Contest, Judged, champion_record, judge
from training.locking import exclusive
from training.out_of_fold import out_of_fold_logits
from training.package import Standing, fit_key, fitted_bundle, with_standing
from training.patience import patiently
from training.plausible import problems_of
from training.recipe import Recipe
from training.records import Record, passage_name, record_file, write_record
from training.snapshot import Snapshot, snapshot_sha256, take, write_snapshot

Tell = Callable[[str], None]
WHO = "tagger retrain"
_TOLD = 20
"""Of what is left out so many are named; their number is told in any case."""


class UnfitLabelsError(Exception):
    """Raised before anything is trained when a tag cannot be learned from the labels; the message says which and why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Retrained:
    """What a run came to; kept by the hash of what it read, so that the same question is not answered twice."""

    fingerprint: str
    challenger: str
    champion: str | None
    """The one that it was compared with."""
    promoted: bool
    why: str
    gates: list[Gate]
    macro_f1: float
    report: str
    """The page that shows both side by side: a path within the state folder."""
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """Where a run finds what it reads and puts what it makes."""

    state: Path
    registry: Registry
    store: LabelStore
    corpus: Corpus
    authored: Sequence[AuthoredPassage]


def retrain(place: Deployment, recipe: Recipe, tell: Tell, *, again: bool = False, who: str = "") -> Retrained:
    """Train a challenger on the labels of now and decide about it; the outcome of an earlier run on the very same, if any.

    `who` asked for it, for the registry's log. `tell` is told what is being done, and may raise to stop. Raises
    UnfitLabelsError, BaseModelError, ParityError, NoSpaceError, BundleError, OSError.
    """
    started = time.monotonic()
    state, registry = place.state, place.registry
    with exclusive(state):
        snapshot = _snapshot(place, recipe, tell)
        base = find_base_model(recipe.base_model, state / "encoders")
        serves = registry.bundle()
        champion = registry.models / serves if serves else None
        earlier = champion_record(state, champion, snapshot.names)  # before this run writes its own
        fingerprint = _fingerprint(snapshot, recipe, base, champion, state)
        kept = state / "retrains" / f"{fingerprint}.json"
        if not again and (before := _made_before(kept, registry)):
            tell(f"this very run was made before: {kept.name}; `tagger retrain --again` does it anew")
            if not before.promoted and registry.bundle(CHALLENGER) != before.challenger:  # other labels made one meanwhile
                told = {"gates": [asdict(gate) for gate in before.gates], "page": before.report}
                patiently(lambda: registry.challenge(before.challenger, who=_who(who), why=before.why, report=told))
            _tell_gates(before.gates, tell)
            tell(_summary(before, state))
            return before
        if problems := problems_of(snapshot):
            raise UnfitLabelsError("; ".join(problems))
        write_snapshot(state / "snapshots", snapshot)
        bundle, record, macro_f1 = _train(place, snapshot, recipe, base, tell)
        contest = Contest(
            challenger=bundle,
            champion=champion,
            record=record,
            champion_record=earlier,
            snapshot=snapshot,
            provisional=recipe.frozen,
        )
        tell("asking both models")
        judged = judge(contest)
    _tell_gates(judged.gates, tell)
    report = Path("reports") / f"{bundle.name}-{fingerprint[:8]}.html"
    write_comparison(state / report, contest, judged)
    promoted, why = _decide(registry, contest, judged, str(report), _who(who))
    outcome = Retrained(
        fingerprint=fingerprint,
        challenger=bundle.name,
        champion=serves,
        promoted=promoted,
        why=why,
        gates=judged.gates,
        macro_f1=macro_f1,
        report=str(report),
        seconds=round(time.monotonic() - started, 1),
    )
    if [gate.name for gate in judged.gates if gate.verdict != "pass"] != ["latency and size"]:  # a busy machine's chance
        kept.parent.mkdir(parents=True, exist_ok=True)
        with whole(kept) as part:
            part.write_text(json.dumps(asdict(outcome), indent=1), encoding="utf-8")
    tell(_summary(outcome, state))
    return outcome


def _tell_gates(gates: Sequence[Gate], tell: Tell) -> None:
    for gate in gates:
        tell(f"gate {gate.name}: {gate.verdict}: {gate.said}")


def _summary(outcome: Retrained, state: Path) -> str:
    return f"{outcome.challenger} {'serves' if outcome.promoted else 'waits'}: {outcome.why}; {state / outcome.report}"


def _snapshot(place: Deployment, recipe: Recipe, tell: Tell) -> Snapshot:
    """The labels of now, without passages that nearly copy a behavioural case: these would teach the test."""
    # As `tagger train --quick`: embedding the authored passages would take more than its seconds.
    taken = take(place.corpus, [] if recipe.frozen else place.authored, patiently(place.store.current))
    cases = [text for case in load_cases() for text in (case.text, case.changed) if text]
    copies = near_copies([row.text for row in taken.added], cases)
    snapshot = replace(taken, added=[row for at, row in enumerate(taken.added) if at not in copies])
    tell(f"{len(snapshot.reviewed)} reviewed passages, {len(snapshot.added)} added, {len(snapshot.authored)} authored")
    near = [f"{taken.added[at].document}, passage {at}" for at in copies]
    for why, some in (("the votes are tied", snapshot.ties), ("not counted", snapshot.left_out), ("nearly a case", near)):
        for one in some[:_TOLD]:
            tell(f"left out, {why}: {one}")
        if len(some) > _TOLD:
            tell(f"left out, {why}: {len(some) - _TOLD} more")
    return snapshot


def _train(place: Deployment, snapshot: Snapshot, recipe: Recipe, base: BaseModel, tell: Tell) -> tuple[Path, Record, float]:
    """The bundle, with the decisions and figures of its evaluation; the record of that; and macro-F1."""
    state, corpus = place.state, place.corpus
    dataset, folds = snapshot.dataset(), snapshot.folds()
    started = time.monotonic()
    tell(f"training {recipe.profile} on all {len(dataset)} passages")
    trained = fitted_bundle(state / "fits", recipe, base, dataset, corpus.codebook, None)
    tell(f"trained and exported in {time.monotonic() - started:.0f} s")
    logits = np.full((len(snapshot.reviewed), len(snapshot.names)), np.nan)
    for number, fold in enumerate(folds, start=1):
        tell(f"evaluating without {fold.name} ({number} of {len(folds)})")
        found = out_of_fold_logits(corpus, dataset, [fold], recipe, base, state)
        logits[fold.held_out] = found[fold.held_out]
    gold, groups = snapshot.gold(), snapshot.groups()
    assessed = decide_out_of_document(logits, gold, groups)
    metrics = assess([logits], gold, groups, snapshot.names)
    standing = Standing(decisions=fit_decisions(logits, gold), metrics=metrics)
    bundle = with_standing(trained, state / "models", standing, provisional=recipe.frozen)
    record = Record(
        passages=[passage_name(row) for row in snapshot.reviewed],
        documents=[row.document for row in snapshot.reviewed],
        groups=groups,
        gold=gold,
        scores=assessed.scores,
        tagged=assessed.tagged,
    )
    write_record(record_file(state, read_bundle(bundle)), record)
    return bundle, record, float(metrics["macro_f1"])


def _decide(registry: Registry, contest: Contest, judged: Judged, report: str, who: str) -> tuple[bool, str]:
    """Register the challenger, and promote it when every gate passed and the champion is still the one it was compared with."""
    name = contest.challenger.name
    told = {"gates": [asdict(gate) for gate in judged.gates], "page": report}
    if contest.champion and contest.champion.name == name:
        return True, "it is the champion already"
    patiently(lambda: registry.challenge(name, who=who, why=judged.why(), report=told))
    if not judged.passed:
        return False, judged.why()
    if _rolled_back(registry):
        return False, "every gate passed, but the champion's last change was a rollback: somebody must promote"
    try:
        serves = contest.champion.name if contest.champion else None
        patiently(lambda: registry.promote(name, who=who, why=judged.why(), report=told, expected=serves))
    except RegistryError as error:
        if patiently(registry.bundle) != name:  # else it was promoted and the answer was lost
            return False, f"every gate passed, but {error}"
    return True, judged.why()


def _who(asked: str) -> str:
    return f"{WHO}, asked for by {asked}" if asked else WHO


def _rolled_back(registry: Registry) -> bool:
    """Whether somebody went back to an earlier champion, and nobody has promoted one since."""
    changes = [event.action for event in registry.history() if event.action in {"promote", "rollback"}]
    return bool(changes) and changes[0] == "rollback"


def _made_before(kept: Path, registry: Registry) -> Retrained | None:
    """The outcome of an earlier run, if it still says what is: its challenger there, and serving if it was promoted."""
    try:
        found = _read(kept)
    except OSError:
        return None
    is_there = (registry.models / found.challenger).is_dir()
    return found if is_there and found.promoted == (registry.bundle() == found.challenger) else None


def _fingerprint(snapshot: Snapshot, recipe: Recipe, base: BaseModel, champion: Path | None, state: Path) -> str:
    """Hash of data, code, configuration, base model, and of what the challenger is compared with and asked."""
    digest = hashlib.sha256(f"{snapshot_sha256(snapshot)} {fit_key(recipe, base, snapshot.dataset())}".encode())
    root = Path(__file__).parent.parent
    for path in [*sorted(path for name in ("labels", "serving", "training") for path in (root / name).rglob("*.py")), CASES]:
        digest.update(path.read_bytes())
    if champion:
        digest.update(champion.name.encode())
        with suppress(OSError, BundleError):
            digest.update(record_file(state, read_bundle(champion)).read_bytes())
    return digest.hexdigest()[:16]


def _read(path: Path) -> Retrained:
    data = json.loads(path.read_text(encoding="utf-8"))
    return Retrained(**{**data, "gates": [Gate(**gate) for gate in data["gates"]]})
