"""The committed evaluation is that of the committed labels and configuration, and nothing in it is made up."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from labels.annotations import text_sha256
from labels.authored import load_authored
from labels.corpus import Corpus, load_corpus
from training.assessment import assess
from training.base_model import find_base_model
from training.dataset import corpus_dataset
from training.package import fit_key
from training.recipe import PROFILES, SHIPPING, Recipe
from training.report import quality_table
from training.snapshot import take
from training.standing import EVALUATION, FOLDS, evaluation_key, standing_of


@pytest.fixture(scope="module")
def corpus() -> Corpus:
    """The committed labels."""
    return load_corpus()


EVALUATED = [profile for profile in PROFILES if (EVALUATION / profile / "metrics.json").exists()]


@pytest.fixture(scope="module", params=EVALUATED)
def recipe(request: pytest.FixtureRequest) -> Recipe:
    """Each evaluated profile has a folder of its own."""
    return PROFILES[request.param]


def test_the_default_profile_is_evaluated() -> None:
    """Another profile may be provisional, what most users get may not."""
    assert SHIPPING.profile in EVALUATED


@pytest.fixture(scope="module")
def metrics(recipe: Recipe) -> dict[str, Any]:
    """The committed figures."""
    found: dict[str, Any] = json.loads((EVALUATION / recipe.profile / "metrics.json").read_text(encoding="utf-8"))
    return found


@pytest.fixture(scope="module")
def oof(recipe: Recipe) -> list[dict[str, Any]]:
    """The committed out-of-document scores."""
    lines = (EVALUATION / recipe.profile / "oof.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def test_it_is_of_the_committed_labels_and_recipe(corpus: Corpus, metrics: dict[str, Any], recipe: Recipe) -> None:
    """Labels, recipe, base model, segmentation and input are those of this checkout; else run `tagger evaluate`."""
    dataset = corpus_dataset(corpus, load_authored(corpus.codebook, corpus.documents))
    base = find_base_model(recipe.base_model)
    assert metrics["key"] == evaluation_key(recipe, base, dataset)
    assert standing_of(recipe, base, dataset) is not None


def test_every_gold_passage_is_scored_once_a_seed(corpus: Corpus, metrics: dict[str, Any], oof: list[dict[str, Any]]) -> None:
    """Same passages, same texts, and nothing that is no seed."""
    for seed in metrics["seeds"]:
        rows = [(row["passage"], row["text_sha256"]) for row in oof if row["seed"] == seed]
        assert rows == [(row.passage, text_sha256(row.text)) for row in corpus.gold]


def test_the_figures_follow_from_the_scores(corpus: Corpus, metrics: dict[str, Any], oof: list[dict[str, Any]]) -> None:
    """Computed again from oof.jsonl, the model's figures are the committed ones."""
    dataset = corpus_dataset(corpus)
    names = corpus.codebook.names
    gold = np.array(dataset["targets"], dtype=np.float64).reshape(-1, len(names))
    logits = [np.array([row["logits"] for row in oof if row["seed"] == seed]) for seed in metrics["seeds"]]
    again = assess(logits, gold, list(dataset["document"]), names)
    assert again["macro_f1"] == pytest.approx(metrics["model"]["macro_f1"], abs=0.002)
    assert again["tags"].keys() == metrics["model"]["tags"].keys()


def test_what_folds_said_is_what_was_evaluated(corpus: Corpus, recipe: Recipe, oof: list[dict[str, Any]]) -> None:
    """Each fold's logits in folds.jsonl are those of oof.jsonl, under the key of the fit that would give them today."""
    snapshot = take(corpus, load_authored(corpus.codebook, corpus.documents))
    dataset = snapshot.dataset()
    base = find_base_model(recipe.base_model)
    lines = (EVALUATION / recipe.profile / FOLDS).read_text(encoding="utf-8").splitlines()
    kept = {(row["key"], row["name"]): row["found"] for row in map(json.loads, lines)}
    for fold in snapshot.folds():
        said = kept[fit_key(recipe, base, dataset.select(fold.train)), f"without-{fold.name}"]
        assert said == [oof[index]["logits"] for index in fold.held_out]


def test_the_readme_states_the_committed_figures(root: Path, metrics: dict[str, Any], recipe: Recipe) -> None:
    """The table in README.md is the one that the evaluation wrote, and that of the profiles says the same."""
    readme = (root / "README.md").read_text(encoding="utf-8")
    assert quality_table(metrics) in readme
    assert f"| {recipe.profile} | {metrics['model']['macro_f1']:.2f} | " in readme


def test_baselines_stand_beside_the_model(metrics: dict[str, Any]) -> None:
    """Rules and learners, with and without the authored passages, with counts, judged on the same passages."""
    assert len(metrics["baselines"]) == 6
    for figures in metrics["baselines"].values():
        assert figures["passages"] == metrics["model"]["passages"]
        assert [entry["positives"] for entry in figures["tags"].values()] == [
            entry["positives"] for entry in metrics["model"]["tags"].values()
        ]


def test_the_benchmark_states_the_committed_figures(root: Path) -> None:
    """Else run `python -m benchmarks.quality --figures`."""
    stated = json.loads((root / "benchmarks" / "results" / "quality.json").read_text(encoding="utf-8"))
    metrics = json.loads((EVALUATION / SHIPPING.profile / "metrics.json").read_text(encoding="utf-8"))
    assert stated["macro_f1"] == metrics["model"]["macro_f1"]
    assert stated["peers"] == {name: figures["macro_f1"] for name, figures in metrics["baselines"].items()}
