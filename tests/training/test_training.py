"""Training end to end on a tiny encoder: fit, export, bundle, evaluation, and what interrupts them."""

import io
import json
import shutil
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from labels.authored import AuthoredPassage
from labels.codebook import load_codebook
from labels.corpus import Corpus
from labels.database import open_database
from labels.problems import CorpusError, Problem
from labels.store import LabelStore, NewLabel
from serving.bundle import BundleError, read_bundle
from serving.classifier import Classifier
from serving.registry import Registry, champion_path
from serving.results import PassageIn
from serving.settings import Settings
from training import evaluate as evaluate_module
from training import export as export_module
from training import standing as standing_module
from training import train as train_module
from training.assessment import AuthoredError, decide_out_of_document
from training.base_model import BaseModel, find_base_model
from training.dataset import AUTHORED, corpus_dataset, encode_dataset
from training.decisions import fit_decisions, neutral
from training.evaluate import evaluate, write_evaluation
from training.export import ParityError
from training.fit import fit, fit_linear
from training.folds import document_folds
from training.locking import NoSpaceError, exclusive
from training.package import MAKING, Standing, copied, encoder_of, fit_key, fitted_bundle, with_standing
from training.readme import README
from training.recipe import QUICK, Recipe
from training.standing import EVALUATION, evaluation_key, standing_of


def make(state: Path, corpus: Corpus, recipe: Recipe, base: BaseModel, *, fresh: bool = False) -> Path:
    """A bundle of the corpus."""
    return fitted_bundle(state / "fits", recipe, base, corpus_dataset(corpus), corpus.codebook, None, fresh=fresh)


def test_the_same_inputs_give_the_same_bundle(
    state: Path, tiny_corpus: Corpus, tiny_recipe: Recipe, tiny_base: BaseModel
) -> None:
    """Two fits are the same to the byte; another seed is another bundle; a third call fits nothing."""
    first = make(state, tiny_corpus, tiny_recipe, tiny_base)
    written = (first / "manifest.json").stat().st_mtime_ns
    assert first == make(state, tiny_corpus, tiny_recipe, tiny_base)
    assert written == (first / "manifest.json").stat().st_mtime_ns
    assert first == make(state, tiny_corpus, tiny_recipe, tiny_base, fresh=True)
    assert written != (first / "manifest.json").stat().st_mtime_ns
    assert first.name != make(state, tiny_corpus, replace(tiny_recipe, seed=14), tiny_base).name


def test_the_key_of_a_fit_moves_with_recipe_and_data(tiny_corpus: Corpus, tiny_recipe: Recipe, tiny_base: BaseModel) -> None:
    """A cached fit is never taken for another one."""
    dataset = corpus_dataset(tiny_corpus)
    keys = {
        fit_key(tiny_recipe, tiny_base, dataset),
        fit_key(replace(tiny_recipe, epochs=3), tiny_base, dataset),
        fit_key(tiny_recipe, replace(tiny_base, sha256="0"), dataset),
        fit_key(tiny_recipe, tiny_base, dataset.select(range(10))),
    }
    assert len(keys) == 4


def test_a_damaged_cached_fit_is_made_again(
    state: Path, tiny_corpus: Corpus, tiny_recipe: Recipe, tiny_base: BaseModel
) -> None:
    """A cache never hands on what does not load."""
    bundle = make(state, tiny_corpus, tiny_recipe, tiny_base)
    (bundle / "model.onnx").write_bytes(b"")
    assert bundle == make(state, tiny_corpus, tiny_recipe, tiny_base)
    read_bundle(bundle)


def test_training_learns(tiny_corpus: Corpus, tiny_recipe: Recipe, tiny_base: BaseModel) -> None:
    """After fitting, passages that carry a common tag score higher than the others."""
    examples = encode_dataset(corpus_dataset(tiny_corpus), encoder_of(tiny_recipe, tiny_base))
    model = fit(replace(tiny_recipe, epochs=8), tiny_base, examples)
    scores, targets = [], []
    with torch.inference_mode():
        for example in examples:
            ids = torch.from_numpy(example.with_context.ids)[None]
            types = torch.from_numpy(example.with_context.types)[None]
            scores.append(float(model(ids, torch.ones_like(ids), types)[0, 0]))
            targets.append(bool(example.targets[0]))
    found = np.array(scores)
    assert found[targets].mean() > found[~np.array(targets)].mean() + 0.5


def test_nothing_to_train_on_is_an_error(tiny_recipe: Recipe, tiny_base: BaseModel) -> None:
    """An empty side is told, not trained."""
    with pytest.raises(ValueError, match="no passages to train on"):
        fit(tiny_recipe, tiny_base, [])


@pytest.mark.parametrize("frozen", [False, True])
def test_a_tag_without_positives_is_trained_as_absent(
    state: Path, tiny_corpus: Corpus, tiny_recipe: Recipe, tiny_base: BaseModel, *, frozen: bool
) -> None:
    """A fold that holds no positive of a tag, or none judged, trains, and the bundle says so."""
    rows = [replace(row, tags=row.tags | {"sanctions_demand": False, "historical_case": None}) for row in tiny_corpus.gold]
    bundle = make(state, replace(tiny_corpus, gold=rows), replace(tiny_recipe, frozen=frozen), tiny_base)
    trained_on = read_bundle(bundle).trained_on
    assert (trained_on["sanctions_demand"], trained_on["historical_case"]) == (0, 0)
    classifier = Classifier.load(bundle)
    assert classifier.score([PassageIn(text="We demand sanctions.")])[0].scores["sanctions_demand"] < 0.5
    classifier.close()


def test_a_tag_that_all_carry_has_a_high_bias() -> None:
    """One-sided targets need no regression."""
    weights, biases = fit_linear(np.eye(4, dtype=np.float32), np.array([[1, 0]] * 4, dtype=np.float32), 1.0)
    assert not weights.any()
    assert biases[0] > 2 > -2 > biases[1]


def test_an_export_that_says_something_else_is_refused(
    state: Path, tiny_corpus: Corpus, tiny_recipe: Recipe, tiny_base: BaseModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Over the written tolerance no bundle is written, and nothing half-made stays."""
    monkeypatch.setattr(export_module, "MAX_INT8_MEAN_DIFFERENCE", 0.0)
    with pytest.raises(ParityError, match=r"mean score difference of int8 is 0\.0"):
        make(state, tiny_corpus, tiny_recipe, tiny_base)
    assert list(state.rglob("manifest.json")) + list(state.rglob(f"{MAKING}*")) == []


def test_standing_is_taken_over_and_scored_right(
    state: Path, tiny_corpus: Corpus, tiny_recipe: Recipe, tiny_base: BaseModel
) -> None:
    """With the decisions of its evaluation a bundle is no longer provisional, and its canaries are scored with them."""
    made = make(state, tiny_corpus, tiny_recipe, tiny_base)
    decisions = replace(neutral(4), temperature=2.0, offsets=[0.5, 0, 0, 0], thresholds=[0.4] * 4)
    tag = {"f1": 0.5, "f1_low": 0.4, "f1_high": 0.6, "positives": 9}
    metrics = {
        "macro_f1": 0.5,
        "macro_f1_low": 0.4,
        "macro_f1_high": 0.6,
        "tags": dict.fromkeys(tiny_corpus.codebook.names, tag),
    }
    bundle = with_standing(made, state / "models", Standing(decisions=decisions, metrics=metrics))
    classifier = Classifier.load(bundle)
    assert classifier.check_canaries() < 1e-6
    classifier.close()
    manifest = read_bundle(bundle)
    assert (False, decisions, metrics) == (manifest.provisional, manifest.decisions, manifest.metrics)
    assert "macro-F1 0.50" in (bundle / "model_card.md").read_text(encoding="utf-8")
    assert "Provisional" in (copied(made, state / "models") / "model_card.md").read_text(encoding="utf-8")


def test_an_evaluation_of_another_configuration_does_not_count(
    tmp_path: Path, tiny_corpus: Corpus, tiny_recipe: Recipe, tiny_base: BaseModel
) -> None:
    """Decisions are taken over only when the hashes match."""
    dataset = corpus_dataset(tiny_corpus)
    assert standing_of(tiny_recipe, tiny_base, dataset, tmp_path) is None
    key = evaluation_key(tiny_recipe, tiny_base, dataset)
    final = {"temperature": 1.0, "offsets": [0.0] * 4, "thresholds": [0.3] * 4, "review": [[0.2, 0.4]] * 4}
    (tmp_path / "decisions.json").write_text(json.dumps({"key": key, "final": final}), encoding="utf-8")
    (tmp_path / "metrics.json").write_text(json.dumps({"key": key, "model": {"macro_f1": 0.5}}), encoding="utf-8")
    standing = standing_of(tiny_recipe, tiny_base, dataset, tmp_path)
    assert standing is not None
    assert standing.decisions.thresholds == [0.3] * 4
    assert standing_of(replace(tiny_recipe, epochs=9), tiny_base, dataset, tmp_path) is None


def test_evaluation_grades_bundles_that_have_not_seen_the_document(
    state: Path,
    tmp_path: Path,
    tiny_corpus: Corpus,
    tiny_authored: list[AuthoredPassage],
    tiny_recipe: Recipe,
    tiny_base: BaseModel,
) -> None:
    """Every passage gets out-of-document logits; files, figures, baselines and report are there; a second run fits nothing."""
    evaluated = evaluate(tiny_corpus, tiny_authored, replace(tiny_recipe, epochs=1), tiny_base, state, seeds=1)
    assert len(tiny_corpus.gold) == len(evaluated.oof)
    bundles = [read_bundle(path.parent) for path in (state / "fits").rglob("manifest.json")]
    assert len(bundles) == 5
    sizes = {
        name: sum(row.document != name for row in tiny_corpus.gold) + sum(row.mimics != name for row in tiny_authored)
        for name in ("000", "001", "002", "003", "004")
    }
    for manifest in bundles:
        assert manifest.held_out is not None
        assert sizes[manifest.held_out] == manifest.trained_on["passages"]
    metrics = evaluated.metrics
    assert set(metrics["baselines"]) == {
        "no tags at all",
        "cue words",
        "TF-IDF + LR",
        "TF-IDF + LR, seeds only",
        "frozen encoder + LR",
        "frozen encoder + LR, seeds only",
    }
    assert metrics["baselines"]["no tags at all"]["macro_f1"] == 0.0
    assert metrics["baselines"]["cue words"]["macro_f1"] > 0.2
    assert len(metrics["model"]["macro_f1_by_seed"]) == 1
    named = metrics["carrying_sentences"]
    assert named["all"]["asked"] == sum(one["asked"] for tag, one in named.items() if tag != "all") > 0
    assert all(0 <= one["right"] <= 1 and 0 < one["by_chance"] <= 1 for one in named.values())
    stamps = {path: path.stat().st_mtime_ns for path in (state / "fits").rglob("manifest.json")}
    again = evaluate(tiny_corpus, tiny_authored, replace(tiny_recipe, epochs=1), tiny_base, state, seeds=1)
    assert stamps == {path: path.stat().st_mtime_ns for path in (state / "fits").rglob("manifest.json")}
    assert evaluated == again
    write_evaluation(tmp_path / "out", evaluated, tiny_corpus)
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert all(tag.title in page for tag in tiny_corpus.codebook.tags)
    assert "The most confident errors" in page
    assert json.loads((tmp_path / "out" / "metrics.json").read_text(encoding="utf-8")) == metrics


def run_train(state: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """`tagger train` as a process of its own."""
    command = [sys.executable, "-m", "serving.cli", "train", "--state", str(state), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_command_makes_the_champion_once(state: Path, tiny_base: BaseModel) -> None:
    """A first model serves at once, with --if-missing the command then does nothing, and a damaged one is made again."""
    arguments = ("--quick", "--base-model", tiny_base.source)
    assert run_train(state, *arguments).returncode == 0
    link = state / "models" / "quick"
    assert link.is_symlink()
    manifest = read_bundle(link)
    assert manifest.provisional
    with pytest.raises(BundleError, match="no champion yet"):
        champion_path(Settings(state=state))
    assert run_train(state, "--if-missing", *arguments).returncode == 0
    assert champion_path(Settings(state=state)).name == manifest.name
    done = run_train(state, "--if-missing", *arguments)
    assert (done.returncode, done.stderr) == (0, "")
    (link / "model.onnx").write_bytes(b"")
    done = run_train(state, "--if-missing", *arguments)
    assert "has changed" in done.stderr
    assert manifest.sha256 == read_bundle(link).sha256


def test_labels_that_were_added_are_not_thrown_away(
    state: Path, tiny_recipe: Recipe, tiny_base: BaseModel, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Beside them a bundle that does not know them takes a stopgap's place, and no other champion's."""
    monkeypatch.setattr(train_module, "find_base_model", lambda name, cache: tiny_base)
    monkeypatch.setattr(train_module, "load_authored", lambda *arguments: [])
    settings = Settings(state=state)
    engine = open_database(settings.database_url)
    one = NewLabel(document="d", text="We urge you to act.", tags={"advocacy_call": True}, annotator="maria")
    LabelStore(engine, load_codebook()).add([one])
    engine.dispose()
    monkeypatch.setattr(train_module, "QUICK", replace(tiny_recipe, profile="quick", frozen=True))
    for seed in (1, 2):
        monkeypatch.setattr(train_module, "PROFILES", {"accurate": replace(tiny_recipe, epochs=1, seed=seed)})
        if seed == 1:
            assert train_module.main(["--quick", "--if-missing", "--state", str(state)]) == 0
            assert champion_path(settings).name.startswith("quick-")
        assert train_module.main(["--profile", "accurate", "--state", str(state)]) == 0
        capsys.readouterr()
    registry = Registry.open(settings)
    first, second = registry.bundle(), registry.bundle("challenger")
    assert first != second
    assert first is not None
    assert second is not None
    assert read_bundle(registry.models / first).recipe["seed"] == 1
    assert read_bundle(registry.models / second).recipe["seed"] == 2
    registry.close()


def test_a_killed_run_leaves_nothing_that_the_next_one_trips_over(state: Path, tiny_base: BaseModel) -> None:
    """Kill -9 in the middle, then a run: it starts clean and succeeds."""
    command = [sys.executable, "-m", "serving.cli", "train", "--quick", "--base-model", tiny_base.source, "--state", str(state)]
    with subprocess.Popen(command, stderr=subprocess.PIPE) as process:
        until = time.monotonic() + 60
        while not list(state.glob(f"fits/*/{MAKING}*")) and time.monotonic() < until:
            time.sleep(0.01)
        process.kill()
    assert list(state.glob(f"fits/*/{MAKING}*"))
    assert not (state / "models").exists()
    assert run_train(state, "--quick", "--base-model", tiny_base.source).returncode == 0
    assert not list(state.rglob(f"{MAKING}*"))
    read_bundle(state / "models" / "quick")


def _heed_interrupts() -> None:
    """What a shell starts in the background ignores SIGINT, and so would what these tests start."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_cleans_up(state: Path, tiny_base: BaseModel, number: int) -> None:
    """Ctrl-C and a termination remove what was half-made and end without a traceback."""
    command = [sys.executable, "-m", "serving.cli", "train", "--quick", "--base-model", tiny_base.source, "--state", str(state)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, preexec_fn=_heed_interrupts) as process:  # noqa: PLW1509 - one thread at that time
        until = time.monotonic() + 60
        while not list(state.glob(f"fits/*/{MAKING}*")) and time.monotonic() < until:
            time.sleep(0.01)
        process.send_signal(number)
        _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in said
    assert not list(state.rglob(f"{MAKING}*"))
    assert not (state / "models" / "quick").exists()


def test_an_interruption_that_a_library_swallowed_still_counts(
    state: Path, tiny_base: BaseModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A signal that raised into foreign code and was lost there stops the run before anything is published."""

    def swallowing(bundle: Path, models: Path) -> Path:
        train_module._interrupted.set()
        return copied(bundle, models)

    monkeypatch.setattr(train_module, "copied", swallowing)
    monkeypatch.setattr(signal, "signal", lambda *arguments: None)
    with pytest.raises(KeyboardInterrupt):
        train_module.main(["--quick", "--base-model", tiny_base.source, "--state", str(state)])
    train_module._interrupted.clear()
    assert not (state / "models" / "quick").exists()


def test_no_authored_passage_is_ever_graded(tiny_corpus: Corpus, tiny_authored: list[AuthoredPassage]) -> None:
    """No fold holds one out, and those that mimic a document are not on its training side."""
    dataset = corpus_dataset(tiny_corpus, tiny_authored)
    documents, mimics = list(dataset["document"]), list(dataset["mimics"])
    assert any(mimics)
    folds = document_folds(documents, mimics)
    assert AUTHORED not in {fold.name for fold in folds}
    with pytest.raises(AuthoredError):
        decide_out_of_document(np.zeros((len(documents), 4)), np.zeros((len(documents), 4)), documents)
    for fold in folds:
        assert AUTHORED not in {documents[index] for index in fold.held_out}
        assert fold.name not in {mimics[index] for index in fold.train}
        assert AUTHORED in {documents[index] for index in fold.train}


def test_a_second_run_waits_for_the_first(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two at once: the second says that it waits, and goes on when the first is done."""
    order: list[str] = []
    said = io.StringIO()  # pytest's own capture loses characters when it is read while another thread writes
    monkeypatch.setattr(sys, "stderr", said)

    def second() -> None:
        with exclusive(state):
            order.append("second")

    with exclusive(state):
        thread = threading.Thread(target=second)
        thread.start()
        until = time.monotonic() + 10
        while "waiting for it" not in said.getvalue() and time.monotonic() < until:
            time.sleep(0.01)
        order.append("first")
    thread.join()
    assert "another run is training" in said.getvalue()
    assert order == ["first", "second"]


def test_a_full_disk_is_told_before_training(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The message names the folder, what is free and what is needed."""
    usage = shutil.disk_usage(Path("/"))
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=5_000_000))
    with pytest.raises(NoSpaceError, match="5 MB free, training needs 1000 MB"), exclusive(state):
        pass


def _raises(error: Exception) -> object:
    def function(*arguments: object, **named: object) -> None:
        raise error

    return function


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (CorpusError([Problem(file="f", line=3, field="tags", message="bad")]), "f:3: tags: bad"),
        (ParityError("too far apart"), "too far apart"),
        (OSError(28, "No space left on device", "/state/x"), "/state/x: No space left on device; nothing was changed"),
    ],
)
def test_what_goes_wrong_is_one_clear_line(
    state: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: Exception, said: str
) -> None:
    """Status 1, the reason, no traceback."""
    monkeypatch.setattr(train_module, "load_corpus", _raises(error))
    monkeypatch.setattr(signal, "signal", lambda *arguments: None)
    assert train_module.main(["--quick", "--state", str(state)]) == 1
    assert said in capsys.readouterr().err


def test_evaluate_tells_what_goes_wrong(
    state: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The command's errors are lines too."""
    monkeypatch.setattr(evaluate_module, "load_corpus", _raises(CorpusError([Problem(file="f", message="bad")])))
    assert evaluate_module.main(["--state", str(state)]) == 1
    assert "tagger evaluate: f: bad" in capsys.readouterr().err


@pytest.fixture
def evaluated(tiny_corpus: Corpus, tiny_recipe: Recipe, tiny_base: BaseModel, monkeypatch: pytest.MonkeyPatch) -> Recipe:
    """The recipe of the profile `fast` as the evaluate command then knows it, on the tiny corpus and encoder."""
    recipe = replace(tiny_recipe, profile="fast", epochs=1, frozen=True)
    monkeypatch.setattr(evaluate_module, "load_corpus", lambda: tiny_corpus)
    monkeypatch.setattr(evaluate_module, "load_authored", lambda *arguments: [])
    monkeypatch.setattr(evaluate_module, "PROFILES", {"fast": recipe})
    monkeypatch.setattr(evaluate_module, "find_base_model", lambda name, cache: tiny_base)
    return recipe


def test_figures_come_again_from_the_committed_logits(
    state: Path, tmp_path: Path, evaluated: Recipe, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without a fit, and the same but for what rounding does; not from the logits of another configuration."""
    arguments = ["--profile", "fast", "--state", str(state), "--output"]
    assert evaluate_module.main([*arguments, str(tmp_path / "fast")]) == 0
    shutil.copy(EVALUATION / "compared.jsonl", tmp_path)
    monkeypatch.setattr(standing_module, "EVALUATION", tmp_path)
    shutil.rmtree(state)
    assert evaluate_module.main([*arguments, str(tmp_path / "again"), "--figures"]) == 0
    assert not (state / "fits").exists()
    before, again = (
        [json.loads(line) for line in (tmp_path / name / "oof.jsonl").read_text(encoding="utf-8").splitlines()]
        for name in ("fast", "again")
    )
    assert [row["logits"] for row in again] == [row["logits"] for row in before]
    assert [row["scores"] for row in again] == [pytest.approx(row["scores"], abs=0.01) for row in before]
    known, figures = (json.loads((tmp_path / name / "metrics.json").read_text(encoding="utf-8")) for name in ("fast", "again"))
    assert figures["carrying_sentences"] == known["carrying_sentences"]
    assert figures["baselines"] == known["baselines"]
    monkeypatch.setattr(evaluate_module, "PROFILES", {"fast": replace(evaluated, seed=3)})
    assert evaluate_module.main([*arguments, str(tmp_path / "other"), "--figures"]) == 1
    assert "is no evaluation of this configuration" in capsys.readouterr().err


def test_an_evaluation_of_other_folds_does_not_count(
    tiny_corpus: Corpus, tiny_authored: list[AuthoredPassage], tiny_recipe: Recipe, tiny_base: BaseModel
) -> None:
    """Which document a passage mimics changes no weights of the bundle that ships, and what the folds have seen."""
    plain = [replace(row, mimics=None) for row in tiny_authored]
    keys = {
        evaluation_key(tiny_recipe, tiny_base, corpus_dataset(tiny_corpus, authored)) for authored in (plain, tiny_authored)
    }
    assert len(keys) == 2


def test_several_fits_make_no_more_positives() -> None:
    """Decisions fitted on the logits of three fits that say the same are those of one."""
    rng = np.random.default_rng(0)
    gold = (rng.random((200, 4)) < [0.3, 0.2, 0.12, 0.05]).astype(np.float64)
    logits = rng.normal(size=gold.shape) + 2 * gold - 1
    thrice = fit_decisions(np.concatenate([logits] * 3), np.concatenate([gold] * 3), fits=3)
    assert thrice == fit_decisions(logits, gold)
    assert thrice != fit_decisions(np.concatenate([logits] * 3), np.concatenate([gold] * 3))


@pytest.mark.usefixtures("evaluated")
def test_the_evaluate_command_writes_where_it_is_told(
    state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """--output takes the files elsewhere and prints the table; README.md stays as it is, and what folds said is still read."""
    readme = README.read_bytes()
    assert evaluate_module.main(["--state", str(state), "--output", str(tmp_path / "out"), "--profile", "fast"]) == 0
    written = {path.name for path in (tmp_path / "out").iterdir()}
    assert written == {"oof.jsonl", "folds.jsonl", "metrics.json", "decisions.json", "report.html"}
    assert "| **this model (int8)** |" in capsys.readouterr().out
    assert readme == README.read_bytes()
    shutil.rmtree(state / "fits")
    monkeypatch.setattr(evaluate_module, "EVALUATION", tmp_path / "committed")
    (tmp_path / "committed").mkdir()
    shutil.copy(EVALUATION / "screening.jsonl", tmp_path / "committed")
    (tmp_path / "out").rename(tmp_path / "committed" / "fast")
    assert evaluate_module.main(["--state", str(state), "--output", str(tmp_path / "other"), "--profile", "fast"]) == 0
    assert not list((state / "fits").rglob("manifest.json"))
    assert (tmp_path / "other" / "oof.jsonl").read_bytes() == (tmp_path / "committed" / "fast" / "oof.jsonl").read_bytes()


def test_quick_is_provisional_and_holds_no_document_out(quick_bundle: Path) -> None:
    """The bundle that tests use says what it is."""
    manifest = read_bundle(quick_bundle)
    assert (
        manifest.provisional,
        manifest.held_out,
        manifest.profile,
        manifest.trained_on["passages"],
    ) == (True, None, "quick", 584)
    assert QUICK.sha256 == manifest.recipe_sha256
    assert find_base_model().sha256 == manifest.base_model_sha256
    with pytest.raises(BundleError):
        read_bundle(quick_bundle.parent / "none")
