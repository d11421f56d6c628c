"""Smoothing: the same scores, evener activations."""

import copy
from typing import Any

import numpy as np
import torch

from labels.corpus import Corpus
from serving.encoding import Encoded
from training.base_model import BaseModel
from training.dataset import corpus_dataset, encode_dataset
from training.network import Tagger, prepared
from training.package import encoder_of
from training.recipe import Recipe
from training.smoothing import smooth


def _logits(model: Tagger, passages: list[Encoded]) -> np.ndarray:
    with torch.inference_mode():
        rows = [
            model(ids := torch.from_numpy(one.ids)[None], torch.ones_like(ids), torch.from_numpy(one.types)[None])[0].numpy()
            for one in passages
        ]
    return np.stack(rows)


def _first_layer(model: Tagger) -> Any:
    stack: Any = model.encoder.encoder
    return stack.layer[0]


def test_scores_stay_and_outliers_shrink(tiny_corpus: Corpus, tiny_base: BaseModel, tiny_recipe: Recipe) -> None:
    """A channel made a hundred times larger than the others is evened out; what the network says is the same."""
    torch.manual_seed(0)
    model = Tagger(prepared(tiny_base.load()), tags=4).eval()
    layer = _first_layer(model)
    with torch.no_grad():
        layer.attention.output.LayerNorm.weight[3] = 100.0
    examples = encode_dataset(corpus_dataset(tiny_corpus), encoder_of(tiny_recipe, tiny_base))
    passages = [example.with_context for example in examples[:12]]
    smoothed = copy.deepcopy(model)
    smooth(smoothed, passages, alpha=0.75)
    np.testing.assert_allclose(_logits(smoothed, passages), _logits(model, passages), atol=1e-4)

    seen: list[torch.Tensor] = []
    _first_layer(smoothed).intermediate.dense.linear.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    _logits(smoothed, passages[:1])
    largest = seen[0].abs().amax(dim=(0, 1))
    assert largest.max() / largest.median() < 20
    assert hasattr(_first_layer(smoothed).attention.self.query, "weight")
