"""Folds: leave one document out, and, only to show the gap, a random split."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from training.dataset import AUTHORED


@dataclass(frozen=True, slots=True, kw_only=True)
class Fold:
    """Indices of the dataset on either side; every passage is held out in exactly one fold of a set."""

    name: str
    """The document held out, or `random-N`."""
    train: list[int]
    held_out: list[int]


def document_folds(documents: Sequence[str], mimics: Sequence[str | None] | None = None) -> list[Fold]:
    """One fold a document, in order of first appearance.

    Authored passages are never held out; those that mimic the held-out document leave the training side.
    """
    imitated = mimics or [None] * len(documents)
    return [
        Fold(
            name=name,
            train=[index for index, one in enumerate(zip(documents, imitated, strict=True)) if name not in one],
            held_out=[index for index, document in enumerate(documents) if document == name],
        )
        for name in dict.fromkeys(documents)
        if name != AUTHORED
    ]


def random_folds(passages: int, folds: int = 5, seed: int = 0) -> list[Fold]:
    """Passages dealt at random: what a split that ignores documents would report."""
    order = np.random.default_rng(seed).permutation(passages)
    sides = [sorted(order[part::folds].tolist()) for part in range(folds)]
    return [
        Fold(
            name=f"random-{part}",
            train=sorted(set(range(passages)) - set(held_out)),
            held_out=held_out,
        )
        for part, held_out in enumerate(sides)
    ]
