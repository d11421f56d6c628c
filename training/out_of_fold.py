"""What a bundle says of the document that it has not seen: fitted without it, then asked, fold by fold.

The logits are kept beside the fit, in `state/fits/KEY/without-DOCUMENT.json` (`training.kept`).
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from datasets import Dataset

from labels.adjudication import GoldRow
from labels.corpus import Corpus
from serving.classifier import Classifier
from serving.results import Options, PassageIn
from training.base_model import BaseModel
from training.folds import Fold
from training.kept import asked_sha256, read_kept, write_kept
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
        asked = asked_sha256([[row.text, row.context] for row in rows])
        found = None if fresh else read_kept(kept, asked)
        if found is None:
            bundle = fitted_bundle(state / "fits", recipe, base, side, corpus.codebook, fold.name, fresh=fresh)
            found = np.round(_asked(bundle, rows), DIGITS).tolist()
            write_kept(kept, asked, found)
        logits[fold.held_out] = found
    return logits


def _asked(bundle: Path, rows: Sequence[GoldRow]) -> Floats:
    classifier = Classifier.load(bundle)
    try:
        results = classifier.score([PassageIn(text=row.text, context=row.context) for row in rows], Options(long="truncate"))
    finally:
        classifier.close()
    for result in results:
        assert result.error is None, result.error
    return np.array([result.logits for result in results], dtype=np.float64)
