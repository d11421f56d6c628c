"""Out-of-document logits: kept beside the fit, believed only for the very same passages."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from labels.corpus import Corpus
from training import out_of_fold as out_of_fold_module
from training.base_model import BaseModel
from training.dataset import corpus_dataset
from training.folds import Fold, document_folds
from training.metrics import Floats
from training.out_of_fold import out_of_fold_logits
from training.package import fitted_bundle
from training.recipe import Recipe


@pytest.fixture
def fold(tiny_corpus: Corpus) -> Fold:
    """The one that holds out 001."""
    [found] = [fold for fold in document_folds([row.document for row in tiny_corpus.gold]) if fold.name == "001"]
    return found


def test_a_fold_is_asked_once(
    state: Path, tiny_recipe: Recipe, tiny_base: BaseModel, tiny_corpus: Corpus, fold: Fold, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its logits outlive its bundle; other passages, other training passages and a damaged file are asked anew."""
    recipe = replace(tiny_recipe, frozen=True)
    fits: list[int] = []

    def counted(*arguments: object, **options: object) -> Path:
        fits.append(1)
        return fitted_bundle(*arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(out_of_fold_module, "fitted_bundle", counted)

    def logits(corpus: Corpus, *, fresh: bool = False) -> Floats:
        dataset = corpus_dataset(corpus)
        return out_of_fold_logits(corpus, dataset, [fold], recipe, tiny_base, state, fresh=fresh)

    first = logits(tiny_corpus)
    assert np.isnan(first).any(axis=1).sum() == len(tiny_corpus.gold) - len(fold.held_out)
    [kept] = (state / "fits").glob("*/without-001.json")
    for bundle in kept.parent.glob(f"{recipe.profile}-*"):
        shutil.rmtree(bundle)
    assert np.array_equal(first, logits(tiny_corpus), equal_nan=True)
    assert len(fits) == 1
    edited = [replace(row, text=f"{row.text} Indeed.") if row.document == "001" else row for row in tiny_corpus.gold]
    assert not np.array_equal(first, logits(replace(tiny_corpus, gold=edited)), equal_nan=True)
    assert len(fits) == 2
    kept.write_text(json.dumps(json.loads(kept.read_text(encoding="utf-8")))[:-20], encoding="utf-8")
    assert np.array_equal(first, logits(tiny_corpus), equal_nan=True)
    assert np.array_equal(first, logits(tiny_corpus, fresh=True), equal_nan=True)
    assert len(fits) == 4
