"""What out-of-document logits are worth: one assessment, the same for the model, the baselines and the random split."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from serving.bundle import Decisions
from training.dataset import AUTHORED
from training.decisions import apply_decisions, fit_decisions, neutral
from training.metrics import (
    MIN_CELL_POSITIVES,
    Bools,
    Floats,
    bootstrap_calibration_error,
    bootstrap_f1,
    brier,
    brier_skill,
    calibration_error,
    count,
    paired_macro_f1,
    pooled_ap,
    within_document_ap,
)

MIN_TRAIN_POSITIVES = 15
"""A tag with fewer positives on the training side of a fold is marked: the fold cannot have taught it."""


class AuthoredError(Exception):
    """Raised when authored passages are to be graded, or to set thresholds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Assessed:
    """Scores and tags of every passage, each under the decisions fitted without its document."""

    scores: Floats
    """Shape (passages, tags)."""
    tagged: Bools
    unsafe: Bools
    """Decisions within the review band: shape (passages, tags)."""
    decisions: dict[str, Decisions]
    """Document -> the decisions fitted on the other documents."""


def decide_out_of_document(logits: Floats, gold: Floats, documents: Sequence[str]) -> Assessed:
    """Fit decisions for each document on the logits of the others, and apply them. Arrays are (passages, tags).

    Raises AuthoredError when a passage was written for training.
    """
    if AUTHORED in documents:
        message = "passages that were written for training decide and grade nothing"
        raise AuthoredError(message)
    names = np.array(documents)
    scores = np.empty_like(logits)
    tagged = np.zeros(logits.shape, dtype=np.bool_)
    unsafe = np.zeros(logits.shape, dtype=np.bool_)
    decisions: dict[str, Decisions] = {}
    for name in dict.fromkeys(documents):
        inside = names == name
        decisions[name] = fit_decisions(logits[~inside], gold[~inside])
        scores[inside], tagged[inside] = apply_decisions(logits[inside], decisions[name])
        unsafe[inside] = _in_band(scores[inside], decisions[name])
    return Assessed(scores=scores, tagged=tagged, unsafe=unsafe, decisions=decisions)


def assess(
    logits: Sequence[Floats], gold: Floats, documents: Sequence[str], names: Sequence[str], *, as_they_are: bool = False
) -> dict[str, Any]:
    """Figures of one or more seeds' logits, F1 averaged over seeds; ready for JSON, rounded to four places.

    `as_they_are`: the logits are yes and no already (a rule's), so that nothing is fitted on them.
    """
    decide = _undecided if as_they_are else decide_out_of_document
    seeds = [decide(rows, gold, documents) for rows in logits]
    f1 = np.array([[counts.f1 for counts in count(gold, seed.tagged)] for seed in seeds])
    first = count(gold, seeds[0].tagged)
    overall, intervals = bootstrap_f1(gold, seeds[0].tagged, documents)
    ap = np.mean([pooled_ap(gold, seed.scores) for seed in seeds], axis=0)
    within = np.mean([within_document_ap(gold, seed.scores, documents) for seed in seeds], axis=0)
    skill = np.mean([brier_skill(gold, seed.scores) for seed in seeds], axis=0)
    squared = np.mean([brier(gold, seed.scores) for seed in seeds], axis=0)
    judged = [~np.isnan(gold[:, tag]) for tag in range(gold.shape[1])]
    miscalibrated = [calibration_error(gold[rows, tag], seeds[0].scores[rows, tag]) for tag, rows in enumerate(judged)]
    bounds = bootstrap_calibration_error(gold, seeds[0].scores)
    tags = {
        name: {
            "f1": f1[:, tag].mean(),
            "f1_low": intervals[tag].low,
            "f1_high": intervals[tag].high,
            "precision": first[tag].precision,
            "recall": first[tag].recall,
            "average_precision": ap[tag],
            "average_precision_within_documents": within[tag],
            "brier": squared[tag],
            "brier_skill": skill[tag],
            "calibration_error": miscalibrated[tag],
            "calibration_error_low": bounds[tag].low,
            "calibration_error_high": bounds[tag].high,
            "positives": first[tag].positives,
            "tp": first[tag].tp,
            "fp": first[tag].fp,
            "fn": first[tag].fn,
        }
        for tag, name in enumerate(names)
    }
    figures = {
        "macro_f1": f1.mean(),
        "macro_f1_low": overall.low,
        "macro_f1_high": overall.high,
        "macro_f1_by_seed": list(f1.mean(axis=1)),
        "macro_average_precision": np.nanmean(ap),
        "macro_brier_skill": np.nanmean(skill),
        "review": _review(gold, seeds),
        "passages": len(gold),
        "tags": tags,
        "cells": _cells(gold, seeds[0].tagged, documents, names),
    }
    found: dict[str, Any] = _rounded(figures)
    return found


def ahead_of(
    one: Floats, other: Floats, gold: Floats, documents: Sequence[str], *, as_they_are: bool = False
) -> dict[str, float]:
    """How much higher the logits `one` are in macro-F1 than `other`: the paired 95 % interval; `as_they_are` as in `assess`."""
    mine = decide_out_of_document(one, gold, documents).tagged
    theirs = (_undecided if as_they_are else decide_out_of_document)(other, gold, documents).tagged
    interval = paired_macro_f1(gold, mine, theirs, documents)
    found: dict[str, float] = _rounded({"low": interval.low, "high": interval.high})
    return found


def final_review(logits: Floats, gold: Floats, decisions: Decisions, names: Sequence[str]) -> dict[str, Any]:
    """What the review band of the bundle's own decisions holds: share of all decisions, and by tag of those it would give."""
    scores, tagged = apply_decisions(logits, decisions)
    inside = _in_band(scores, decisions)
    judged = ~np.isnan(gold)
    wrong = (tagged != (gold > 0)) & judged
    found: dict[str, Any] = _rounded(
        {
            "share": float(inside[judged].mean()),
            "given": {
                name: {
                    "given": int(tagged[:, tag].sum()),
                    "inside": int((tagged & inside)[:, tag].sum()),
                    "wrong_inside": int((tagged & inside & wrong)[:, tag].sum()),
                    "wrong_outside": int((tagged & ~inside & wrong)[:, tag].sum()),
                }
                for tag, name in enumerate(names)
            },
        }
    )
    return found


def untaught(gold: Floats, documents: Sequence[str], names: Sequence[str]) -> dict[str, list[str]]:
    """Document -> tags that have fewer than 15 positives outside it."""
    rows = np.array(documents)
    return {
        document: [name for tag, name in enumerate(names) if np.nansum(gold[rows != document, tag]) < MIN_TRAIN_POSITIVES]
        for document in dict.fromkeys(documents)
    }


def _undecided(logits: Floats, gold: Floats, documents: Sequence[str]) -> Assessed:
    decisions = neutral(gold.shape[1])
    scores, tagged = apply_decisions(logits, decisions)
    return Assessed(
        scores=scores, tagged=tagged, unsafe=_in_band(scores, decisions), decisions=dict.fromkeys(documents, decisions)
    )


def _in_band(scores: Floats, decisions: Decisions) -> Bools:
    low, high = np.array(decisions.review).T
    found: Bools = (scores >= low) & (scores <= high)
    return found


def _review(gold: Floats, seeds: Sequence[Assessed]) -> dict[str, float]:
    """How many decisions the review band holds, and how often decisions inside and outside it are wrong."""
    judged = ~np.isnan(gold)
    wrong = [(seed.tagged != (gold > 0)) & judged for seed in seeds]
    inside = [seed.unsafe & judged for seed in seeds]
    outside = [~seed.unsafe & judged for seed in seeds]

    def rate(rows: Sequence[Bools]) -> float:
        chosen = sum(int(row.sum()) for row in rows)
        return sum(int((miss & row).sum()) for miss, row in zip(wrong, rows, strict=True)) / chosen if chosen else float("nan")

    return {
        "share": sum(int(row.sum()) for row in inside) / (judged.sum() * len(seeds)),
        "error_inside": rate(inside),
        "error_outside": rate(outside),
    }


def _cells(gold: Floats, tagged: Bools, documents: Sequence[str], names: Sequence[str]) -> dict[str, Any]:
    """Document x tag: counts, and an F1 where there are at least 10 positives."""
    rows = np.array(documents)
    cells: dict[str, Any] = {}
    for document in dict.fromkeys(documents):
        inside = rows == document
        cells[document] = {}
        _, intervals = bootstrap_f1(gold[inside], tagged[inside], [document] * int(inside.sum()))
        for name, counts, interval in zip(names, count(gold[inside], tagged[inside]), intervals, strict=True):
            cell: dict[str, Any] = {"positives": counts.positives, "tp": counts.tp, "fp": counts.fp, "fn": counts.fn}
            if counts.positives >= MIN_CELL_POSITIVES:
                cell |= {"f1": counts.f1, "f1_low": interval.low, "f1_high": interval.high}
            cells[document][name] = cell
    return cells


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _rounded(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [_rounded(entry) for entry in value]
    if isinstance(value, float):
        return None if np.isnan(value) else round(float(value), 4)
    return value
