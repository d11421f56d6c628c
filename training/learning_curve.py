"""Would more labels help? Macro-F1 by number of training documents and by share of the authored passages.

Measured with the frozen encoder and a logistic regression, whose fits take seconds: the level is that of this baseline, the
direction is what counts.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.assessment import decide_out_of_document
from training.baselines import frozen_encoder
from training.dataset import AUTHORED
from training.folds import Fold
from training.metrics import Floats, macro_f1

SHARES = (0.0, 0.125, 0.25, 0.5, 1.0)


def learning_curve(
    embedded: NDArray[np.float32], targets: Floats, documents: Sequence[str], folds: Sequence[Fold]
) -> dict[str, list[dict[str, Any]]]:
    """Two curves of points; `documents` names each row's document, authored passages stand after the seeds."""
    seeds = sum(name != AUTHORED for name in documents)
    gold = targets[:seeds]

    def point(some: Sequence[Fold]) -> float:
        logits = frozen_encoder(embedded, targets, some)[:seeds]
        return round(macro_f1(gold, decide_out_of_document(logits, gold, documents[:seeds]).tagged), 4)

    order = np.random.default_rng(0).permutation(len(documents) - seeds) + seeds
    curves: dict[str, list[dict[str, Any]]] = {"authored": [], "documents": []}
    for share in SHARES:
        kept = set(order[: round(share * len(order))].tolist())
        some = [replace(fold, train=[row for row in fold.train if row < seeds or row in kept]) for fold in folds]
        curves["authored"].append({"passages": len(kept), "macro_f1": point(some)})
    for count in range(len(folds)):
        curves["documents"].append(
            {"documents": count, "macro_f1": point([_with(fold, count, documents, folds) for fold in folds])}
        )
    return curves


def _with(fold: Fold, count: int, documents: Sequence[str], folds: Sequence[Fold]) -> Fold:
    """The fold with `count` documents on its training side, those that follow the one held out, and all authored passages."""
    names = [other.name for other in folds]
    place = names.index(fold.name)
    kept = {AUTHORED, *(names[(place + step) % len(names)] for step in range(1, count + 1))}
    return replace(fold, train=[row for row in fold.train if documents[row] in kept])
