"""Fitting: encoded examples in, a trained network out. Seeded; the same machine gives the same weights.

A frozen encoder's heads do so up to rounding: embeddings that an earlier fit of the process left are taken.
"""

import random
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from torch import nn

from serving.encoding import Encoded
from serving.memory import give_back
from serving.progress import progress
from training.base_model import BaseModel
from training.batches import collate, input_key, plan_batches, plan_unknown
from training.dataset import AUTHORED, Example
from training.frozen import FrozenStates
from training.network import Tagger, prepared
from training.recipe import Recipe

_GIVE_BACK_STEPS = 10
"""Batches have many shapes, and what one had free fits no other: without this a fit grows to twice the memory that it uses."""


def fit(recipe: Recipe, base: BaseModel, examples: Sequence[Example], title: str = "training") -> Tagger:
    """Train a network by the recipe. Raises ValueError when there is nothing to train on."""
    if not examples:
        message = "there are no passages to train on"
        raise ValueError(message)
    _seed(recipe.seed)
    encoder = prepared(base.load(), recipe.layers, recipe.frozen_layers)
    model = Tagger(encoder, tags=len(examples[0].targets), dropout=recipe.dropout)
    if recipe.frozen or recipe.probe_first:
        known = _known_embeddings(base.sha256 or base.name, recipe.layers)
        _fit_head(recipe, model, embeddings(model, examples, title, known), examples)
    if not recipe.frozen:
        _fine_tune(recipe, model, examples, title)
    return model.eval()


def has_bf16() -> bool:
    """Whether this processor multiplies bfloat16 matrices itself; elsewhere autocast would only slow training."""
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported()) and torch.cpu._is_avx512_bf16_supported()  # noqa: SLF001 - torch has no public question for this


def _fast_products() -> torch.autocast:
    return torch.autocast("cpu", dtype=torch.bfloat16, enabled=has_bf16())


def embeddings(
    model: Tagger, examples: Sequence[Example], title: str, known: dict[bytes, NDArray[np.float32]] | None = None
) -> NDArray[np.float32]:
    """Mean-pooled embeddings of the passages with their context: shape (passages, hidden).

    Those that are `known` by their input are not computed again, and the others become known.
    """
    known = {} if known is None else known
    encoded = [example.with_context for example in examples]
    new, batches = plan_unknown(encoded, known)
    model.eval()
    with progress(title, len(batches)) as advance, torch.inference_mode(), _fast_products():
        for indices in batches:
            batch = collate(new, indices)
            rows = model.embed(batch.input_ids, batch.attention_mask, batch.token_type_ids).float().numpy()
            known.update(zip((input_key(new[index]) for index in indices), rows, strict=True))
            advance(1)
    return np.stack([known[input_key(passage)] for passage in encoded])


@lru_cache(maxsize=1)
def _known_embeddings(_encoder: str, _layers: int | None) -> dict[bytes, NDArray[np.float32]]:
    """Of the encoder used last: the folds of an evaluation read nearly the same passages (up to rounding: other batches)."""
    return {}


def fit_linear(features: Any, targets: NDArray[np.float32], strength: float) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Logistic regression per tag on features of shape (passages, features), dense or sparse.

    Returns weights of shape (tags, features) and biases of shape (tags,).

    A tag with positives only or none is given the smoothed logit of its share as its bias and no weights.
    """
    weights = np.zeros((targets.shape[1], features.shape[1]), dtype=np.float32)
    biases = np.zeros(targets.shape[1], dtype=np.float32)
    for tag in range(targets.shape[1]):
        judged = ~np.isnan(targets[:, tag])
        labels = targets[judged, tag] > 0
        if labels.all() or not labels.any():
            biases[tag] = np.log((labels.sum() + 0.5) / ((~labels).sum() + 0.5))
            continue
        regression = LogisticRegression(C=strength, max_iter=2000).fit(features[judged], labels)
        weights[tag], biases[tag] = regression.coef_[0], regression.intercept_[0]
    return weights, biases


def _fit_head(recipe: Recipe, model: Tagger, embedded: NDArray[np.float32], examples: Sequence[Example]) -> None:
    targets = np.stack([example.targets for example in examples])
    weights, biases = fit_linear(embedded, targets, recipe.probe_strength)
    with torch.no_grad():
        model.head.weight.copy_(torch.from_numpy(weights))
        model.head.bias.copy_(torch.from_numpy(biases))


def _fine_tune(recipe: Recipe, model: Tagger, examples: Sequence[Example], title: str) -> None:
    rng = np.random.default_rng(recipe.seed)
    examples = [*examples, *[one for one in examples if one.document != AUTHORED] * (recipe.seed_readings - 1)]
    targets = torch.from_numpy(np.stack([example.targets for example in examples]))
    loss_of = nn.BCEWithLogitsLoss(pos_weight=_positive_weights(recipe, targets), reduction="none")
    lengths = [len(example.with_context.ids) for example in examples]
    epochs = [_epoch(recipe, examples, lengths, rng) for _ in range(recipe.epochs)]
    steps = sum(map(len, epochs))
    optimizer = torch.optim.AdamW(
        [
            {"params": [one for one in model.encoder.parameters() if one.requires_grad], "lr": recipe.encoder_rate},
            {"params": list(model.head.parameters()), "lr": recipe.head_rate},
        ],
        weight_decay=recipe.weight_decay,
        fused=True,
    )
    warmup = max(1, round(recipe.warmup * steps))
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min((step + 1) / warmup, (steps - step) / max(1, steps - warmup))
    )
    model.train()
    mean = _Mean(model, from_step=steps - round(recipe.average * steps)) if recipe.average else None
    readings = [_reading(recipe, examples, rng) for _ in epochs]
    frozen = FrozenStates(model, recipe.frozen_layers) if recipe.frozen_layers else None
    if frozen:
        read = [encoded[index] for batches, encoded in zip(epochs, readings, strict=True) for one in batches for index in one]
        with _fast_products():
            frozen.read(read, title)
    step = 0
    with progress(title, steps) as advance:
        for batches, encoded in zip(epochs, readings, strict=True):
            for indices in batches:
                batch = collate(encoded, indices)
                with _fast_products():
                    if frozen:
                        logits = frozen.logits(encoded, batch)
                    else:
                        logits = model(batch.input_ids, batch.attention_mask, batch.token_type_ids)
                wanted = targets[indices]
                judged = ~torch.isnan(wanted)
                losses = loss_of(logits.float(), torch.nan_to_num(wanted))
                loss = (losses * judged).sum() / judged.sum().clamp(min=1)
                optimizer.zero_grad(set_to_none=True)
                loss.backward()
                nn.utils.clip_grad_norm_(model.parameters(), 1.0)
                optimizer.step()
                schedule.step()
                step += 1
                if step % _GIVE_BACK_STEPS == 0:
                    give_back()
                if mean:
                    mean.update(step)
                advance(1)
    optimizer.zero_grad(set_to_none=True)
    if mean:
        mean.copy_to_model()


def _epoch(recipe: Recipe, examples: Sequence[Example], lengths: Sequence[int], rng: np.random.Generator) -> list[list[int]]:
    """Indices of each batch of one epoch."""
    whole = recipe.authored_share >= 1
    read = [
        index for index, one in enumerate(examples) if whole or one.document != AUTHORED or rng.random() < recipe.authored_share
    ]
    batches = plan_batches([lengths[index] for index in read], recipe.batch_tokens, recipe.max_batch, rng)
    return [[read[index] for index in batch] for batch in batches]


def _reading(recipe: Recipe, examples: Sequence[Example], rng: np.random.Generator) -> list[Encoded]:
    """The passages as one epoch reads them: some without their context."""
    drop = rng.random(len(examples)) < recipe.context_dropout
    return [one.without_context if dropped else one.with_context for one, dropped in zip(examples, drop, strict=True)]


class _Mean:
    """Running mean of the trained weights over the last steps, one reading in every few."""

    def __init__(self, model: Tagger, from_step: int, every: int = 4) -> None:
        self._parameters = [one for one in model.parameters() if one.requires_grad]
        self._from, self._every, self._count = from_step, every, 0
        self._mean: list[torch.Tensor] = []

    @torch.no_grad()
    def update(self, step: int) -> None:
        if step < self._from or step % self._every:
            return
        if not self._mean:
            self._mean = [one.detach().clone() for one in self._parameters]
        self._count += 1
        torch._foreach_lerp_(self._mean, [one.detach() for one in self._parameters], 1 / self._count)

    @torch.no_grad()
    def copy_to_model(self) -> None:
        if self._count:  # a handful of passages makes so few steps that none was read
            for one, mean in zip(self._parameters, self._mean, strict=True):
                one.copy_(mean)


def _positive_weights(recipe: Recipe, targets: torch.Tensor) -> torch.Tensor:
    """Square root of negatives to positives, bounded: rare tags are learned, scores stay near probabilities."""
    positive = torch.nansum(targets, dim=0)
    negative = (~torch.isnan(targets)).sum(dim=0) - positive
    return (negative / positive.clamp(min=1)).sqrt().clamp(1.0, recipe.max_positive_weight)


def _seed(seed: int) -> None:
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002 - libraries beneath may draw from the global generator
    torch.manual_seed(seed)
    torch.use_deterministic_algorithms(mode=True)
    # All memory is written before it is read, and filling it costs a twentieth of a step.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]  # the stubs do not know it
