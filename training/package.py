"""From a dataset side to a bundle: fit (cached by hash), export, and the manifest that says where it all came from."""

import gc
import hashlib
import importlib.metadata
import json
import os
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from datasets import Dataset
from tokenizers import Tokenizer

from labels.codebook import Codebook
from labels.passages import SEGMENTER
from serving.bundle import FILES, FORMAT, BundleError, Canary, Decisions, Manifest, read_bundle, write_bundle
from serving.classifier import Classifier, calibrated
from serving.encoding import Encoded, Encoder
from serving.memory import give_back
from serving.model_input import INPUT_VERSION
from serving.results import Options, PassageIn
from training.base_model import BaseModel, find_base_model
from training.card import model_card
from training.dataset import Example, dataset_sha256, encode_dataset, positives, softened
from training.decisions import neutral, sigmoid
from training.export import export, onnx_logits
from training.fit import fit
from training.metrics import Floats
from training.network import Tagger
from training.recipe import TEACHER, Recipe

MAKING = ".making-"
"""Prefix of the folders in which bundles are made; one that is left over belongs to a run that was killed."""
CANARIES = 8
_CANDIDATES = 12
"""Passages of each tag from which canaries are chosen; four times as many of all."""
SMOOTHING_PASSAGES = 96
PARITY_PASSAGES = 192
"""Passages on which int8 is compared with fp32: others than those by which it was smoothed."""
_PACKAGES = ("datasets", "numpy", "onnx", "onnxruntime", "scikit-learn", "tokenizers", "torch", "transformers")


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What an evaluation says of a configuration: the decisions and figures that its bundle carries."""

    decisions: Decisions
    metrics: dict[str, Any]


def fit_key(recipe: Recipe, base: BaseModel, dataset: Dataset) -> str:
    """Hash of all that shapes a fit's weights."""
    parts = [recipe.sha256, base.sha256 or base.name, dataset_sha256(dataset), SEGMENTER, INPUT_VERSION]
    if recipe.teacher_weight:
        parts.append(TEACHER.sha256)
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def fitted_bundle(
    fits: Path,
    recipe: Recipe,
    base: BaseModel,
    dataset: Dataset,
    codebook: Codebook,
    held_out: str | None,
    *,
    fresh: bool = False,
) -> Path:
    """The provisional bundle of a fit on `dataset`, from the cache `fits` or made now. Raises OSError, ParityError."""
    folder = fits / fit_key(recipe, base, dataset)
    for found in sorted(folder.glob(f"{recipe.profile}-*")):
        try:
            if not fresh and read_bundle(found).held_out == held_out:
                os.utime(folder)  # not old, see `Registry.collect`
                return found
        except BundleError:
            shutil.rmtree(found)  # half-written or damaged: make it again
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=MAKING, dir=folder) as name:
        making = Path(name) / "bundle"
        making.mkdir()
        soft = _teacher_scores(fits, dataset, codebook, held_out) if recipe.teacher_weight else None
        manifest = _make(making, recipe, base, dataset, codebook, held_out, soft)
        made = write_bundle(folder, making, manifest)
    gc.collect()  # an optimizer and its schedule hold each other, and with them four times the weights
    give_back()  # a retraining makes six and more in one process
    return made


def with_standing(bundle: Path, models: Path, standing: Standing, *, provisional: bool = False) -> Path:
    """A copy of a provisional bundle that carries the decisions and figures of its evaluation.

    A stopgap stays `provisional` even so.
    """
    manifest = read_bundle(bundle)
    models.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=MAKING, dir=models) as name:
        making = Path(name) / "bundle"
        making.mkdir()
        for file in FILES:
            shutil.copyfile(bundle / file, making / file)
        raw = [_logits_of(canary.scores) for canary in manifest.canaries]
        changed = replace(
            manifest,
            decisions=standing.decisions,
            provisional=provisional,
            metrics=standing.metrics,
            canaries=[
                replace(canary, scores=_rounded(calibrated(logits, standing.decisions)))
                for canary, logits in zip(manifest.canaries, raw, strict=True)
            ],
        )
        (making / "model_card.md").write_text(model_card(changed), encoding="utf-8")
        return write_bundle(models, making, changed)


def copied(bundle: Path, models: Path) -> Path:
    """A copy of a bundle as it is."""
    models.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=MAKING, dir=models) as name:
        making = Path(name) / "bundle"
        shutil.copytree(bundle, making)
        return write_bundle(models, making, read_bundle(bundle))


def encoder_of(recipe: Recipe, base: BaseModel) -> Encoder:
    """The base model's tokenizer with this recipe's length."""
    return Encoder.from_file(base.tokenizer_file, recipe.max_tokens)


def _teacher_scores(fits: Path, dataset: Dataset, codebook: Codebook, held_out: str | None) -> Floats:
    """Scores that the teacher, trained on the same passages, gives them: shape (passages, tags)."""
    teacher = find_base_model(TEACHER.base_model, fits.parent / "encoders")
    bundle = fitted_bundle(fits, TEACHER, teacher, dataset, codebook, held_out)
    classifier = Classifier.load(bundle)
    try:
        passages = [PassageIn(text=row["text"], context=row["context"]) for row in dataset]
        results = classifier.score(passages, Options(long="truncate"))
    finally:
        classifier.close()
    return sigmoid(np.array([result.logits for result in results]))


def _make(
    making: Path,
    recipe: Recipe,
    base: BaseModel,
    dataset: Dataset,
    codebook: Codebook,
    held_out: str | None,
    soft: Floats | None,
) -> Manifest:
    examples = encode_dataset(dataset, encoder_of(recipe, base))
    side = f"without {held_out}" if held_out else "on all documents"
    taught = examples if soft is None else softened(examples, soft, recipe.teacher_weight)
    model = fit(recipe, base, taught, title=f"training {recipe.profile} {side}")
    step = max(1, len(examples) // SMOOTHING_PASSAGES)
    seen = [example.with_context for example in examples[::step]]
    others = [example.with_context for at, example in enumerate(examples) if at % step]
    most = PARITY_PASSAGES // 2 if recipe.frozen else PARITY_PASSAGES  # a quick bundle has seconds, and no more asked of it
    parity = export(model, making, _spread(others or seen, most), recipe.smoothing, seen)
    tokenizer = Tokenizer.from_file(str(base.tokenizer_file))
    tokenizer.no_padding()
    tokenizer.no_truncation()  # the package's file cuts and pads to 128 tokens
    tokenizer.save(str(making / "tokenizer.json"))
    (making / "config.json").write_text(_config(base, model, codebook.names), encoding="utf-8")
    decisions = neutral(len(codebook.names))
    manifest = Manifest(
        format=FORMAT,
        tags=list(codebook.names),
        titles={tag.name: tag.title for tag in codebook.tags},
        definitions={tag.name: tag.definition for tag in codebook.tags},
        decisions=decisions,
        provisional=True,
        profile=recipe.profile,
        max_tokens=recipe.max_tokens,
        segmenter=SEGMENTER,
        codebook=codebook.version,
        input_version=INPUT_VERSION,
        dataset_sha256=dataset_sha256(dataset),
        base_model=base.name,
        base_model_sha256=base.sha256,
        code_version=importlib.metadata.version("passage-tagger"),
        recipe=asdict(recipe),
        recipe_sha256=recipe.sha256,
        packages={name: importlib.metadata.version(name) for name in _PACKAGES},
        trained_on=positives(dataset, codebook.names),
        held_out=held_out,
        metrics={},
        parity={key: round(value, 6) for key, value in asdict(parity).items()},
        canaries=_canaries(making, dataset, examples, decisions),
        files={},
    )
    (making / "model_card.md").write_text(model_card(manifest), encoding="utf-8")
    return manifest


def _spread(passages: Sequence[Encoded], most: int) -> list[Encoded]:
    """At most so many of the passages, from all over."""
    return list(passages[:: max(1, len(passages) // most)][:most])


def _canaries(making: Path, dataset: Dataset, examples: Sequence[Example], decisions: Decisions) -> list[Canary]:
    """Two passages of each tag, then passages of none, with the scores that the file gives them.

    Of several candidates those that the model is surest of: near 0.5, int8's rounding alone, which differs between
    processors and versions, moves a score by more than a canary may.
    """
    targets = np.stack([example.targets for example in examples])
    groups = [np.flatnonzero(targets[:, tag] > 0)[:_CANDIDATES].tolist() for tag in range(targets.shape[1])]
    groups.append(list(range(0, len(examples), max(1, len(examples) // (4 * _CANDIDATES)))))
    candidates = sorted({index for group in groups for index in group})
    logits = onnx_logits(making / "model.onnx", [examples[index].with_context for index in candidates])
    scores = {index: calibrated(row, decisions) for index, row in zip(candidates, logits, strict=True)}
    chosen: list[int] = []
    for group in groups:
        sure = sorted(set(group) - set(chosen), key=lambda index: max(score * (1 - score) for score in scores[index]))
        chosen += sure[: 2 if group is not groups[-1] else CANARIES - len(chosen)]
    return [
        Canary(text=dataset[index]["text"], context=dataset[index]["context"], scores=_rounded(scores[index]))
        for index in chosen[:CANARIES]
    ]


def _logits_of(scores: Sequence[float]) -> list[float]:
    """The logits behind uncalibrated scores."""
    clipped = np.clip(np.array(scores), 1e-9, 1 - 1e-9)
    return [float(value) for value in np.log(clipped / (1 - clipped))]


def _rounded(scores: Sequence[float]) -> list[float]:
    return [round(score, 9) for score in scores]


def _config(base: BaseModel, model: Tagger, names: Sequence[str]) -> str:
    """The encoder's own configuration, with the tags as other tools of the ecosystem look for them."""
    config = base.config().to_dict() | {
        "architectures": ["BertForSequenceClassification"],
        "problem_type": "multi_label_classification",
        "num_labels": len(names),
        "id2label": {str(index): name for index, name in enumerate(names)},
        "label2id": {name: index for index, name in enumerate(names)},
        "hidden_size": model.encoder.config.hidden_size,
        "num_hidden_layers": model.encoder.config.num_hidden_layers,
    }
    for key in ("_name_or_path", "transformers_version", "dtype", "torch_dtype"):
        config.pop(key, None)  # a path of this machine, and versions that the manifest holds
    return json.dumps(config, indent=1, sort_keys=True) + "\n"
