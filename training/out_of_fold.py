"""What a bundle says of the document that it has not seen: fitted without it, then asked, fold by fold.

The logits are kept beside the fit, in `state/fits/KEY/without-DOCUMENT.json` (`training.kept`).
"""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from datasets import Dataset

from labels.adjudication import GoldRow
from labels.corpus import Corpus
from serving.classifier import Classifier
from serving.results import Options, PassageIn
from training.base_model import BaseModel
from training.folds import Fold
from training.kept import kept_or_found
from training.metrics import Floats
from training.package import fit_key, fitted_bundle
from training.recipe import Recipe

DIGITS = 5
"""Decimals of a logit that are kept."""


def out_of_fold_logits(
    corpus: Corpus,
    dataset: Dataset,
    folds: Sequence[Fold],
    recipe: Recipe,
    base: BaseModel,
    state: Path,
    *,
    fresh: bool = False,
) -> Floats:
    """Logits of every held-out passage, from the int8 bundle that has not seen it; NaN where no fold holds it out.

    Shape (passages, tags). `fresh` fits and asks again whatever is kept. Raises OSError, ParityError.
    """
    logits = np.full((len(corpus.gold), len(corpus.codebook.names)), np.nan)
    for fold in folds:
        side = dataset.select(fold.train)
        rows = [corpus.gold[index] for index in fold.held_out]
        kept = state / "fits" / fit_key(recipe, base, side) / f"without-{fold.name}.json"
        bundle = partial(fitted_bundle, state / "fits", recipe, base, side, corpus.codebook, fold.name, fresh=fresh)
        question = [[row.text, row.context] for row in rows]
        logits[fold.held_out] = kept_or_found(kept, question, partial(_asked, bundle, rows), fresh=fresh)
    return logits


def _asked(bundle: Callable[[], Path], rows: Sequence[GoldRow]) -> list[list[float]]:
    classifier = Classifier.load(bundle())
    try:
        results = classifier.score([PassageIn(text=row.text, context=row.context) for row in rows], Options(long="truncate"))
    finally:
        classifier.close()
    for result in results:
        assert result.error is None, result.error
    logits: list[list[float]] = np.round([result.logits for result in results], DIGITS).tolist()
    return logits
