"""Gates between a challenger and the champion's place: each passes, fails, asks for a person, or cannot be estimated.

Nothing passes in silence: a gate without the figures that it needs says so, and keeps the challenger waiting like one that asks
for a person. Non-inferiority by a one-sided bound of the paired bootstrap: Berg-Kirkpatrick et al. 2012, "An empirical
investigation of statistical significance in NLP", and the margins of equivalence testing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from training.behaviour import Outcome
from training.metrics import Bools, Floats, brier_skill, macro_f1, paired_f1_draws
from training.records import Record

Verdict = Literal["pass", "fail", "person", "not estimable"]
MOST_FLIPS = 0.005
"""Share of decisions that int8 may change without a person."""
MOST_INT8_DIFFERENCE = 0.01
"""By how much it may move scores, on average."""
MARGIN = 0.04
"""How much lower macro-F1 may be, at the bound."""
MOST_CHANGED = 0.05
"""Share of a tag's reviewed labels of a document, and of those that say yes, that may change without a person."""
MIN_CHANGED = 2
"""Of those that say yes so many at least: a single one is always more than 5 % of a rare tag's."""
MIN_POSITIVES = 10
"""Positives that a tag of a document needs for a guard of its own."""
MOST_SLOWER = 1.25
MOST_LARGER = 1.25
MOST_CHURN = 0.20
"""Share of decisions on the reference set that may change without a person."""
LOST_SKILL = 0.05
"""How much lower the Brier skill may be (macro)."""
LOST_CASES = 0.03
"""Share of the behavioural cases of a kind that may be lost."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """What one gate says."""

    name: str
    verdict: Verdict
    said: str
    """In a sentence, for people."""
    figures: Mapping[str, Any] = field(default_factory=dict)


def data(problems: Sequence[str], doubts: Sequence[str]) -> Gate:
    """The labels themselves: `problems` of the snapshot fail, `doubts` ask for a person."""
    if problems:
        return Gate(name="data", verdict="fail", said="; ".join(problems))
    if doubts:
        return Gate(name="data", verdict="person", said="; ".join(doubts))
    return Gate(name="data", verdict="pass", said="no problem was found in the labels")


def baselines(challenger: Record, others: Mapping[str, Bools]) -> Gate:
    """Macro-F1 above that of every trivial baseline; tags of the baselines by name, decided out of document too."""
    mine = macro_f1(challenger.gold, challenger.tagged)
    theirs = {name: macro_f1(challenger.gold, tagged) for name, tagged in others.items()}
    better = [name for name, value in theirs.items() if value >= mine]
    shown = ", ".join(f"{name} {value:.2f}" for name, value in theirs.items())
    said = f"macro-F1 {mine:.3f}; {shown}" + (f"; not better than {', '.join(better)}" if better else "")
    return Gate(name="baselines", verdict="fail" if better else "pass", said=said, figures={"macro_f1": mine, **theirs})


def not_worse(name: str, challenger: Record, champion: Record | None, gold: Literal["champion", "challenger"]) -> Gate:
    """Non-inferior to the champion on the passages that both were asked, by one's gold labels or the other's."""
    pair = _paired(challenger, champion)
    if pair is None:
        return Gate(
            name=name, verdict="not estimable", said="the champion's out-of-document scores are not there, or of other passages"
        )
    mine, theirs = pair
    truth = theirs.gold if gold == "champion" else mine.gold
    one, other = (paired_f1_draws(truth, record.tagged, mine.groups) for record in (mine, theirs))
    bound = float(np.percentile((one - other).mean(axis=1), 5))
    difference = macro_f1(truth, mine.tagged) - macro_f1(truth, theirs.tagged)
    sure = f"95 % sure to be above {bound:+.3f} (allowed: {-MARGIN})"
    apart = len(challenger.passages) - len(mine.passages)
    left = f"; {apart} reviewed since and not compared" if apart else ""
    said = f"macro-F1 differs by {difference:+.3f} on {len(mine.passages)} passages, {sure}{left}"
    figures = {"difference": difference, "bound": bound, "passages": len(mine.passages)}
    return Gate(name=name, verdict="pass" if bound > -MARGIN else "fail", said=said, figures=figures)


def changed_labels(challenger: Record, champion: Record | None, taught: Floats, names: Sequence[str]) -> Gate:
    """How many reviewed labels are others than the champion's; `taught`: what the challenger learns of each passage."""
    pair = _paired(challenger, champion)
    if pair is None:
        return Gate(
            name="changed labels", verdict="not estimable", said="the champion's labels are not there, or of other passages"
        )
    mine, theirs = pair
    learned = taught[challenger.rows(mine.passages)]
    gone = sorted(set(champion.passages) - set(mine.passages)) if champion else []
    dropped = _only(champion, gone) if champion else theirs
    found: dict[str, float] = {}
    for document in dict.fromkeys([*theirs.documents, *dropped.documents]):
        rows = np.array([one == document for one in theirs.documents], dtype=bool)
        lost = np.array([one == document for one in dropped.documents], dtype=bool)
        for tag, name in enumerate(names):
            before = theirs.gold[rows, tag]
            judged = ~np.isnan(before)
            # A label that is not taught any more (a tie) is no longer what was reviewed either; nor is one that is gone.
            other = (mine.gold[rows, tag] != before) | (learned[rows, tag] != before)
            missing = int((~np.isnan(dropped.gold[lost, tag])).sum())
            total = int(judged.sum()) + missing
            changed = int((other & judged).sum()) + missing
            share = changed / total if total else 0.0
            # Of a rare tag all positives may change and be few of all labels.
            positives = int((before > 0).sum() + np.nansum(dropped.gold[lost, tag]))
            gone_positive = int((other & (before > 0)).sum() + np.nansum(dropped.gold[lost, tag]))
            if share > MOST_CHANGED or (gone_positive >= MIN_CHANGED and gone_positive > MOST_CHANGED * positives):
                found[f"{document} {name}"] = share
    said = ", ".join(f"{place} {share:.0%}" for place, share in found.items()) or "nowhere"
    said = f"more than {MOST_CHANGED:.0%} of a tag's labels changed: {said}"
    return Gate(name="changed labels", verdict="person" if found else "pass", said=said, figures=found)


def guards(challenger: Record, champion: Record | None, names: Sequence[str]) -> Gate:
    """No tag, and no tag of a document with enough positives, is surely worse (95 %) than the champion's."""
    pair = _paired(challenger, champion)
    if pair is None:
        return Gate(
            name="guards",
            verdict="not estimable",
            said="the champion's out-of-document scores are not there, or of other passages",
        )
    mine, theirs = pair
    documents = np.array(mine.documents)
    cells = [
        ("all documents", np.ones(len(documents), dtype=bool)),
        *((name, documents == name) for name in dict.fromkeys(mine.documents)),
    ]
    draws: dict[str, Floats] = {}
    for place, rows in cells:
        enough = np.nansum(mine.gold[rows], axis=0) >= MIN_POSITIVES
        if enough.any():
            groups = [place] * int(rows.sum())
            one, other = (paired_f1_draws(mine.gold[rows], record.tagged[rows], groups) for record in (mine, theirs))
            draws |= {f"{names[int(tag)]} in {place}": (one - other)[:, tag] for tag in np.flatnonzero(enough)}
    if not draws:
        return Gate(name="guards", verdict="not estimable", said=f"no tag has {MIN_POSITIVES} positives")
    looked = len(draws)  # so many looks, so much surer each must be (Bonferroni): else one of ten would fail by chance
    highest = {place: float(np.percentile(found, 100 - 5 / looked)) for place, found in draws.items()}
    worse = {place: value for place, value in highest.items() if value < 0}
    rare = [name for name in names if f"{name} in all documents" not in draws]
    unseen = f"; too rare to look at: {', '.join(rare)}" if rare else ""
    said = f"{looked} tags and places looked at; surely worse: {', '.join(worse) or 'none'}{unseen}"
    return Gate(name="guards", verdict="fail" if worse else "pass", said=said, figures=worse)


def calibration(challenger: Record, champion: Record | None, names: Sequence[str]) -> Gate:
    """Scores say more than the base rates, and not much less than the champion's (Brier skill, macro and by tag)."""
    mine = float(np.nanmean(brier_skill(challenger.gold, challenger.scores)))
    pair = _paired(challenger, champion)
    if pair is None:
        return Gate(name="calibration", verdict="not estimable", said=f"Brier skill {mine:.2f}; nothing to compare it with")
    one, other = (float(np.nanmean(brier_skill(pair[0].gold, record.scores))) for record in pair)
    skills = [brier_skill(pair[0].gold, record.scores) for record in pair]
    empty = [name for name, here, there in zip(names, *skills, strict=True) if here <= 0 < there]
    right = mine > 0 and one >= other - LOST_SKILL and not empty
    said = (
        f"Brier skill {one:.2f}, the champion's {other:.2f}; allowed are {LOST_SKILL} less, and nothing under 0; "
        f"tags that say no more than their base rate any longer: {', '.join(empty) or 'none'}"
    )
    return Gate(name="calibration", verdict="pass" if right else "fail", said=said, figures={"skill": one, "champion": other})


def behaviour(challenger: Sequence[Outcome], champion: Sequence[Outcome], *, stopgap: bool = False) -> Gate:
    """No critical case fails that the champion passes, and no kind of case loses much.

    Of a `stopgap` single cases say nothing: it passes critical ones by luck.
    """
    if not challenger or not champion:
        return Gate(name="behaviour", verdict="not estimable", said="there are no cases, or nothing to compare with")
    pairs = list(zip(challenger, champion, strict=True))
    lost = [mine.case.id for mine, theirs in pairs if mine.case.critical and theirs.passed and not mine.passed]
    rates: dict[str, float] = {}
    for kind in dict.fromkeys(one.case.kind for one in challenger):
        some = [(mine.passed, theirs.passed) for mine, theirs in pairs if mine.case.kind == kind]
        rates[kind] = sum(int(mine) - int(theirs) for mine, theirs in some) / len(some)
    right = (stopgap or not lost) and all(change >= -LOST_CASES for change in rates.values())
    shown = ", ".join(f"{kind} {change:+.1%}" for kind, change in rates.items())
    said = f"passed beside the champion: {shown}; critical cases lost: {', '.join(lost) or 'none'}"
    return Gate(name="behaviour", verdict="pass" if right else "fail", said=said, figures={**rates, "lost": lost})


def parity(figures: Mapping[str, float], *, stopgap: bool = False) -> Gate:
    """The int8 file says what the trained network says: figures of the manifest.

    The export refuses what is grossly wrong; of a `stopgap`, which nothing smooths, no more is asked.
    """
    if not figures:
        return Gate(name="int8 parity", verdict="not estimable", said="the bundle does not say")
    flips, mean = figures["int8_flips"], figures["int8_mean"]
    said = (
        f"{flips:.2%} of decisions differ from fp32, scores by {mean:.4f} on average "
        f"(more than {MOST_FLIPS:.1%} or {MOST_INT8_DIFFERENCE} need a person)"
    )
    right = stopgap or (flips <= MOST_FLIPS and mean <= MOST_INT8_DIFFERENCE)
    return Gate(name="int8 parity", verdict="pass" if right else "person", said=said, figures=dict(figures))


def cost(slower: float | None, larger: float | None) -> Gate:
    """Time and size as multiples of the champion's, measured side by side."""
    if slower is None or larger is None:
        return Gate(name="latency and size", verdict="not estimable", said="there is no champion to measure beside")
    right = slower <= MOST_SLOWER and larger <= MOST_LARGER
    time, size = f"{slower:.2f} times the champion's time a passage", f"{larger:.2f} times its size"
    said = f"{time} (at most {MOST_SLOWER}), {size} (at most {MOST_LARGER})"
    return Gate(
        name="latency and size", verdict="pass" if right else "fail", said=said, figures={"time": slower, "size": larger}
    )


def churn(changed: float | None, passages: int) -> Gate:
    """Share of decisions on the fixed reference set that are others than the champion's."""
    if changed is None:
        return Gate(name="churn", verdict="not estimable", said="there is no champion to compare with")
    said = f"{changed:.1%} of the decisions on {passages} reference passages change (more than {MOST_CHURN:.0%} need a person)"
    return Gate(name="churn", verdict="pass" if changed <= MOST_CHURN else "person", said=said, figures={"changed": changed})


def _paired(challenger: Record, champion: Record | None) -> tuple[Record, Record] | None:
    """Both records on the passages that stand in both, in one order; None when these are fewer than half of either's."""
    if champion is None:
        return None
    known = set(champion.passages)
    shared = [passage for passage in challenger.passages if passage in known]
    if 2 * len(shared) < max(len(champion.passages), len(challenger.passages)):
        return None
    return _only(challenger, shared), _only(champion, shared)


def _only(record: Record, passages: Sequence[str]) -> Record:
    rows = record.rows(passages)
    return Record(
        passages=list(passages),
        documents=[record.documents[row] for row in rows],
        groups=[record.groups[row] for row in rows],
        gold=record.gold[rows],
        scores=record.scores[rows],
        tagged=record.tagged[rows],
    )
