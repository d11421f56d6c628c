"""What the fields of a recipe do to a fit, on the tiny encoder; and the screening of recipes."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from labels.authored import AuthoredPassage
from labels.corpus import Corpus
from serving.bundle import read_bundle
from training import package as package_module
from training import screen as screen_module
from training.base_model import BaseModel
from training.dataset import AUTHORED, corpus_dataset, encode_dataset, softened
from training.fit import embeddings, fit
from training.network import Tagger, prepared
from training.package import encoder_of, fit_key, fitted_bundle
from training.recipe import ACCURATE, FAST, PROFILES, Recipe


def _weights(recipe: Recipe, base: BaseModel, corpus: Corpus) -> np.ndarray:
    examples = encode_dataset(corpus_dataset(corpus), encoder_of(recipe, base))
    examples[2:12] = [replace(one, document=AUTHORED) for one in examples[2:12]]
    found: np.ndarray = fit(recipe, base, examples[::2]).head.weight.detach().numpy()
    return found


def test_a_new_field_changes_no_hash() -> None:
    """Only what differs from the defaults is hashed, so that yesterday's fits stay valid; a changed value is noticed."""
    assert replace(FAST).sha256 == FAST.sha256
    assert replace(FAST, average=0.3).sha256 != FAST.sha256
    assert len({recipe.sha256 for recipe in PROFILES.values()}) == len(PROFILES)


@pytest.mark.parametrize(
    "changes",
    [
        {"average": 0.5},
        {"probe_first": True},
        {"layers": 1},
        {"frozen_layers": 1},
        {"context_dropout": 1.0},
        {"seed_readings": 2},
        {"authored_share": 0.5},
    ],
)
def test_each_field_shapes_the_weights(
    tiny_recipe: Recipe, tiny_base: BaseModel, tiny_corpus: Corpus, changes: dict[str, Any]
) -> None:
    """A field that did nothing would be a knob for show."""
    recipe = replace(tiny_recipe, average=0.0)
    plain = _weights(recipe, tiny_base, tiny_corpus)
    assert np.array_equal(plain, _weights(recipe, tiny_base, tiny_corpus))
    assert not np.allclose(plain, _weights(replace(recipe, **changes), tiny_base, tiny_corpus), atol=1e-6)


def test_frozen_layers_stay_as_they_are(tiny_recipe: Recipe, tiny_base: BaseModel, tiny_corpus: Corpus) -> None:
    """They and all embeddings are those of the base model after a fit; the layers above are not."""
    examples = encode_dataset(corpus_dataset(tiny_corpus), encoder_of(tiny_recipe, tiny_base))
    model = fit(replace(tiny_recipe, frozen_layers=1), tiny_base, examples[::2])
    before, after = tiny_base.load().state_dict(), model.encoder.state_dict()
    same = {name for name, values in after.items() if torch.equal(values, before[name])}
    assert {name for name in after if name.startswith(("embeddings.", "encoder.layer.0."))} <= same
    assert not any(name.startswith("encoder.layer.1.") and name.endswith("dense.weight") for name in same)


def test_known_embeddings_are_not_computed_again(tiny_recipe: Recipe, tiny_base: BaseModel, tiny_corpus: Corpus) -> None:
    """What was asked before is remembered, whatever network is asked now; the rest is computed."""
    examples = encode_dataset(corpus_dataset(tiny_corpus), encoder_of(tiny_recipe, tiny_base))[:8]
    model, other = (Tagger(prepared(tiny_base.load(), layers), tags=4) for layers in (2, 1))
    known: dict[bytes, np.ndarray] = {}
    first = embeddings(model, examples[:5], "test", known)
    again = embeddings(other, [*examples, examples[0]], "test", known)
    assert np.array_equal(again[:5], first)
    assert np.array_equal(again[8], first[0])
    assert not np.allclose(again[5:8], embeddings(model, examples[5:], "test"), atol=1e-3)


def test_a_fit_of_another_encoder_remembers_nothing(tiny_recipe: Recipe, tiny_base: BaseModel, tiny_corpus: Corpus) -> None:
    """A head is fitted on the embeddings of its own encoder."""
    recipe = replace(tiny_recipe, frozen=True)
    before = _weights(recipe, tiny_base, tiny_corpus)
    other = _weights(replace(recipe, layers=1), tiny_base, tiny_corpus)
    assert not np.allclose(before, other, atol=2e-3)
    # Up to rounding: some of the first embeddings may be those of an earlier test, computed in other batches.
    assert np.allclose(before, _weights(recipe, tiny_base, tiny_corpus), atol=2e-3)


def test_fewer_layers_are_written_as_fewer(state: Path, tiny_recipe: Recipe, tiny_base: BaseModel, tiny_corpus: Corpus) -> None:
    """The bundle's config.json tells how many layers are left."""
    bundle = fitted_bundle(
        state / "fits", replace(tiny_recipe, layers=1), tiny_base, corpus_dataset(tiny_corpus), tiny_corpus.codebook, None
    )
    assert json.loads((bundle / "config.json").read_text(encoding="utf-8"))["num_hidden_layers"] == 1


def test_targets_move_towards_the_teacher(tiny_recipe: Recipe, tiny_base: BaseModel, tiny_corpus: Corpus) -> None:
    """By the weight, passage by passage; a tag that was not judged stays so."""
    first = tiny_corpus.gold[0]
    gold = [replace(first, tags=first.tags | {"advocacy_call": None}), *tiny_corpus.gold[1:3]]
    examples = encode_dataset(corpus_dataset(replace(tiny_corpus, gold=gold)), encoder_of(tiny_recipe, tiny_base))
    scores = np.full((3, 4), 0.8)
    soft = softened(examples, scores, 0.5)
    assert np.isnan(soft[0].targets[0])
    assert soft[1].targets == pytest.approx(0.5 * examples[1].targets + 0.4)
    assert examples[1].targets.max() <= 1.0


def test_a_student_learns_from_a_teacher_of_the_same_side(
    state: Path, tiny_recipe: Recipe, tiny_base: BaseModel, tiny_corpus: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The teacher is fitted on the very passages that the student sees, with the same document held out, and cached."""
    teacher = replace(tiny_recipe, profile="teacher", epochs=1)
    monkeypatch.setattr(package_module, "TEACHER", teacher)
    monkeypatch.setattr(package_module, "find_base_model", lambda name, cache: tiny_base)
    dataset = corpus_dataset(tiny_corpus)
    student = replace(tiny_recipe, teacher_weight=0.7)
    bundle = fitted_bundle(state / "fits", student, tiny_base, dataset, tiny_corpus.codebook, "000")
    (taught,) = (state / "fits" / fit_key(teacher, tiny_base, dataset)).iterdir()
    assert read_bundle(taught).held_out == "000"
    alone = fitted_bundle(state / "fits", tiny_recipe, tiny_base, dataset, tiny_corpus.codebook, "000")
    assert read_bundle(bundle).files["model.onnx"] != read_bundle(alone).files["model.onnx"]
    before = fit_key(student, tiny_base, dataset)
    monkeypatch.setattr(package_module, "TEACHER", replace(teacher, epochs=2))
    assert fit_key(student, tiny_base, dataset) != before


def test_the_screening_command(
    state: Path,
    tmp_path: Path,
    tiny_recipe: Recipe,
    tiny_base: BaseModel,
    tiny_corpus: Corpus,
    tiny_authored: list[AuthoredPassage],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Two documents and their imitations are out; half of the families is half of the passages; a line is appended."""
    monkeypatch.setattr(screen_module, "PROFILES", {"fast": tiny_recipe})
    monkeypatch.setattr(screen_module, "SCREENING", tmp_path / "screening.jsonl")
    monkeypatch.setattr(screen_module, "load_corpus", lambda: tiny_corpus)
    monkeypatch.setattr(screen_module, "load_authored", lambda *arguments: tiny_authored)
    monkeypatch.setattr(screen_module, "find_base_model", lambda name, cache: tiny_base)
    assert screen_module.main(["fast", "epochs=1", "probe_first=true", "encoder_rate=2e-3", "--state", str(state)]) == 0
    assert screen_module.main(["fast", "epochs=1", "--share", "0.5", "--state", str(state)]) == 0
    whole, half = map(json.loads, (tmp_path / "screening.jsonl").read_text(encoding="utf-8").splitlines())
    assert whole["changes"] == {"epochs": 1, "probe_first": True, "encoder_rate": 0.002}
    kept = [row for row in tiny_authored if row.mimics not in screen_module.HELD_OUT]
    seeds = [row for row in tiny_corpus.gold if row.document not in screen_module.HELD_OUT]
    assert whole["passages"] == len(kept) + len(seeds)
    assert whole["authored"] == len(tiny_authored)
    assert 0.3 * whole["authored"] < half["authored"] < 0.7 * whole["authored"]
    assert set(whole["average_precision"]) == {"advocacy_call", "sanctions_demand", "historical_case"}
    assert json.loads(capsys.readouterr().out.splitlines()[0]) == whole


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("speed=3", "'speed=3' is no FIELD=VALUE of a recipe (fields: profile, base_model"),
        ("epochs", "'epochs' is no FIELD=VALUE"),
        ("probe_first=yes", "probe_first: 'yes' is neither true nor false"),
        ("epochs=many", "invalid literal for int() with base 10: 'many'"),
    ],
)
def test_a_wrong_change_is_named(change: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    """With the fields there are."""
    with pytest.raises(SystemExit):
        screen_module.main(["fast", change])
    assert said in capsys.readouterr().err


def test_the_accurate_profile_has_the_larger_encoder() -> None:
    """Two profiles, one code: they differ in their recipes only."""
    assert (ACCURATE.base_model, FAST.base_model) == ("all-mpnet-base-v2", "all-MiniLM-L6-v2")
