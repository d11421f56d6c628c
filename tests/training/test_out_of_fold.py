"""Out-of-document logits: kept beside the fit, believed only for the very same passages."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from labels.corpus import Corpus
from training import evidence as evidence_module
from training import out_of_fold as out_of_fold_module
from training.base_model import BaseModel
from training.dataset import corpus_dataset
from training.evidence import carrying_sentences
from training.folds import Fold, document_folds
from training.kept import remembered
from training.metrics import Floats
from training.out_of_fold import out_of_fold_logits
from training.package import fit_key, fitted_bundle
from training.recipe import Recipe

Counted = list[int]


@pytest.fixture
def fits(monkeypatch: pytest.MonkeyPatch) -> Counted:
    """A one for every bundle that was asked for."""
    found: Counted = []

    def counted(*arguments: object, **options: object) -> Path:
        found.append(1)
        return fitted_bundle(*arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(out_of_fold_module, "fitted_bundle", counted)
    monkeypatch.setattr(evidence_module, "fitted_bundle", counted)
    return found


@pytest.fixture
def fold(tiny_corpus: Corpus) -> Fold:
    """The one that holds out 001."""
    [found] = [fold for fold in document_folds([row.document for row in tiny_corpus.gold]) if fold.name == "001"]
    return found


def test_a_fold_is_asked_once(
    state: Path, tiny_recipe: Recipe, tiny_base: BaseModel, tiny_corpus: Corpus, fold: Fold, fits: Counted
) -> None:
    """Its logits outlive its bundle; other passages, other training passages and a damaged file are asked anew."""
    recipe = replace(tiny_recipe, frozen=True)

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


def test_what_folds_said_outlives_the_machine(
    tmp_path: Path, tiny_recipe: Recipe, tiny_base: BaseModel, tiny_corpus: Corpus, fold: Fold, fits: Counted
) -> None:
    """Logits and carrying sentences are found in the lines that git keeps, also behind damaged files.

    An interrupted run keeps its own; nothing is kept twice.
    """
    recipe = replace(tiny_recipe, frozen=True)
    dataset = corpus_dataset(tiny_corpus)
    key = fit_key(recipe, tiny_base, dataset.select(fold.train))
    lines = tmp_path / "evaluation" / "folds.jsonl"

    def asked(state: Path, corpus: Corpus = tiny_corpus) -> tuple[Floats, dict[str, Any]]:
        logits = out_of_fold_logits(corpus, dataset, [fold], recipe, tiny_base, state)
        return logits[fold.held_out], carrying_sentences(corpus, dataset, [fold], recipe, tiny_base, state)

    def interrupted() -> None:
        with remembered(lines, tmp_path / "one" / "fits", {key}):
            found.append(asked(tmp_path / "one"))
            raise KeyboardInterrupt

    found: list[tuple[Floats, dict[str, Any]]] = []
    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert found[0][1]["all"]["asked"] > 0
    assert len(fits) == 2
    kept = lines.read_text(encoding="utf-8")
    assert [json.loads(line)["name"] for line in kept.splitlines()] == ["carrying-001", "without-001"]
    for name, where in (("two", lines), ("three", tmp_path / "others.jsonl")):
        with remembered(where, tmp_path / name / "fits", {key}, elsewhere=[lines]):
            logits, carrying = asked(tmp_path / name)
        assert np.array_equal(logits, found[0][0])
        assert carrying == found[0][1]
    assert len(fits) == 2
    assert lines.read_text(encoding="utf-8") == kept
    assert not (tmp_path / "others.jsonl").exists()
    edited = [replace(row, text=f"{row.text} Indeed.") if row.document == "001" else row for row in tiny_corpus.gold]
    with remembered(lines, tmp_path / "two" / "fits", {key}):
        asked(tmp_path / "two", replace(tiny_corpus, gold=edited))
    assert len(fits) == 4
    assert len(lines.read_text(encoding="utf-8").splitlines()) == 2
    for file in (tmp_path / "two" / "fits" / key).glob("*.json"):
        file.write_text(file.read_text(encoding="utf-8")[:-20], encoding="utf-8")
    with remembered(lines, tmp_path / "two" / "fits", {key}):
        asked(tmp_path / "two", replace(tiny_corpus, gold=edited))
    assert len(fits) == 4
