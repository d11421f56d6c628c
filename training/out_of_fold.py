"""What a bundle says of the document that it has not seen: fitted without it, then asked, fold by fold.

The logits are kept beside the fit, in `state/fits/KEY/without-DOCUMENT.json`: a few kilobytes where a bundle is a hundred
megabytes, so that an evaluation of hours can be carried on elsewhere.
"""

import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from datasets import Dataset

from labels.adjudication import GoldRow
from labels.corpus import Corpus
from serving.classifier import Classifier
from serving.results import Options, PassageIn
from serving.whole import whole
from training.base_model import BaseModel
from training.folds import Fold
from training.metrics import Floats
from training.package import fit_key, fitted_bundle
from training.recipe import Recipe


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
        kept = kept_file(state, fit_key(recipe, base, side), fold.name)
        found = None if fresh else read_kept(kept, rows)
        if found is None:
            bundle = fitted_bundle(state / "fits", recipe, base, side, corpus.codebook, fold.name, fresh=fresh)
            found = _asked(bundle, rows)
            write_kept(kept, rows, found)
        logits[fold.held_out] = found
    return logits


def kept_file(state: Path, key: str, document: str) -> Path:
    """Where the logits of a document's passages by the fit of that key are kept."""
    return state / "fits" / key / f"without-{document}.json"


def read_kept(path: Path, rows: Sequence[GoldRow]) -> Floats | None:
    """The logits of these very passages, shape (passages, tags); None when they are not there or of other passages."""
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    if kept["passages"] != _hash_of(rows):
        return None
    os.utime(path.parent)  # not old, see `Registry.collect`
    return np.array(kept["logits"], dtype=np.float64)


def write_kept(path: Path, rows: Sequence[GoldRow], logits: Floats) -> None:
    """Keep the logits of these passages. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole(path) as part:
        part.write_text(json.dumps({"passages": _hash_of(rows), "logits": logits.tolist()}), encoding="utf-8")


def _asked(bundle: Path, rows: Sequence[GoldRow]) -> Floats:
    classifier = Classifier.load(bundle)
    try:
        results = classifier.score([PassageIn(text=row.text, context=row.context) for row in rows], Options(long="truncate"))
    finally:
        classifier.close()
    for result in results:
        assert result.error is None, result.error
    return np.array([result.logits for result in results], dtype=np.float64)


def _hash_of(rows: Sequence[GoldRow]) -> str:
    return hashlib.sha256(json.dumps([[row.text, row.context] for row in rows]).encode()).hexdigest()
