"""Frozen layers: their states, computed once, lead to what the whole network says."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from transformers import BertConfig, BertModel, MPNetConfig, MPNetModel, PreTrainedModel

from serving.encoding import Encoded
from training.batches import collate
from training.frozen import FrozenStates
from training.network import Tagger, prepared

_SHAPE: dict[str, Any] = {
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "vocab_size": 100,
}
LENGTHS = [5, 19, 7, 30, 12]


def _bert() -> PreTrainedModel:
    return BertModel(BertConfig(**_SHAPE))


def _mpnet() -> PreTrainedModel:
    return MPNetModel(MPNetConfig(**_SHAPE))


@pytest.fixture
def passages() -> list[Encoded]:
    """Of several lengths, half of each a context."""
    rng = np.random.default_rng(0)
    return [
        Encoded(ids=rng.integers(5, 100, length), types=(np.arange(length) >= length // 2).astype(np.int64), truncated=False)
        for length in LENGTHS
    ]


def _network(make: Callable[[], PreTrainedModel], frozen_layers: int) -> Tagger:
    torch.manual_seed(0)
    return Tagger(prepared(make(), frozen_layers=frozen_layers), tags=4, dropout=0.0)


@pytest.mark.parametrize("frozen_layers", [1, 2])
@pytest.mark.parametrize("make", [_bert, _mpnet])
def test_the_upper_half_says_what_the_whole_says(
    make: Callable[[], PreTrainedModel], frozen_layers: int, passages: list[Encoded]
) -> None:
    """Within half precision, in batches other than those in which the states were computed; gradients are the whole's too."""
    model = _network(make, frozen_layers)
    states = FrozenStates(model, frozen_layers)
    states.read([*passages, passages[0]], "test")
    found = {}
    batch = collate(passages, [3, 0, 4])
    logits: Any
    for name, logits in (
        ("whole", model(batch.input_ids, batch.attention_mask, batch.token_type_ids)),
        ("halves", states.logits(passages, batch)),
    ):
        model.zero_grad()
        logits.sum().backward()
        found[name] = [logits, *[one.grad.clone() for one in model.parameters() if one.grad is not None]]
    assert len(found["whole"]) == len(found["halves"]) > 10
    for whole, halves in zip(found["whole"], found["halves"], strict=True):
        assert torch.allclose(whole, halves, atol=2e-3, rtol=1e-2)


def test_the_types_of_a_passage_count(passages: list[Encoded]) -> None:
    """The same ids as context and as text have states of their own, where the encoder tells them apart."""
    model = _network(_bert, 1)
    states = FrozenStates(model, 1)
    other = Encoded(ids=passages[0].ids, types=np.zeros_like(passages[0].types), truncated=False)
    pair = [passages[0], other]
    states.read(pair, "test")
    first, second = states.logits(pair, collate(pair, [0, 1]))
    assert not torch.allclose(first, second, atol=1e-4)


def test_the_network_stays_whole(passages: list[Encoded]) -> None:
    """Taking it apart leaves its layers and its embeddings where they were; training the half trains the whole."""
    model = _network(_mpnet, 1)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    states = FrozenStates(model, 1)
    states.read(passages, "test")
    assert model.state_dict().keys() == before.keys()
    optimizer = torch.optim.SGD([one for one in model.parameters() if one.requires_grad], lr=1.0)
    loss: Any = states.logits(passages, collate(passages, [1, 2])).sum()
    loss.backward()
    optimizer.step()
    changed = {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
    assert "head.weight" in changed
    assert any(name.startswith("encoder.encoder.layer.2.") for name in changed)
    assert not any(name.startswith(("encoder.embeddings.", "encoder.encoder.layer.0.")) for name in changed)
