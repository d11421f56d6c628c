"""States above frozen layers: what layers that do not change make of a passage is computed once, not in every step.

A step through the other half of the layers takes half of the time then. Which layers can stay frozen: Lee et al. 2019,
"What would Elsa do?", https://arxiv.org/abs/1911.03090.
"""

import copy
from collections.abc import Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence
from transformers import PreTrainedModel

from serving.encoding import Encoded
from serving.progress import progress
from training.batches import Batch, collate, input_key, plan_unknown
from training.network import Tagger

_Module = TypeVar("_Module", bound=nn.Module)


class FrozenStates:
    """What the lowest `layers` of a network's encoder make of passages, and the network above them, which is trained.

    States are kept in half precision: 150 kB for a passage of a hundred tokens and 768 channels.
    """

    def __init__(self, model: Tagger, layers: int) -> None:
        """Look at `model` as two halves; the weights are the model's own."""
        encoder: Any = model.encoder
        self._lower = _with(model, encoder=_part(encoder, encoder.embeddings, slice(layers)))
        self._upper = _with(model, encoder=_part(encoder, _Given(), slice(layers, None)))
        self._states: dict[bytes, Tensor] = {}

    @torch.no_grad()
    def read(self, encoded: Sequence[Encoded], title: str) -> None:
        """Compute the states of those passages that have none yet, once for all readings."""
        new, batches = plan_unknown(encoded, self._states)
        with progress(f"{title}, frozen layers", len(batches)) as advance:
            for indices in batches:
                batch = collate(new, indices)
                states = self._lower.states(batch.input_ids, batch.attention_mask, batch.token_type_ids)
                for index, of_one in zip(indices, states, strict=True):
                    self._states[input_key(new[index])] = of_one[: len(new[index].ids)].to(torch.half, copy=True)
                advance(1)

    def logits(self, encoded: Sequence[Encoded], batch: Batch) -> Tensor:
        """Logits of a batch of passages that were read, with gradients: shape (passages, tags)."""
        states = pad_sequence([self._states[input_key(encoded[index])] for index in batch.indices], batch_first=True)
        logits: Tensor = self._upper(states.float(), batch.attention_mask, batch.token_type_ids)
        return logits


class _Given(nn.Module):
    """In the place of the embeddings: its inputs are no ids but states, which the next layer reads as they are."""

    def forward(self, input_ids: Tensor, **_: object) -> Tensor:
        return input_ids


def _part(encoder: PreTrainedModel, embeddings: nn.Module, layers: slice) -> nn.Module:
    """The encoder with other embeddings and some of its layers."""
    stack: Any = encoder.encoder  # the library types it as any module
    return _with(encoder, embeddings=embeddings, encoder=_with(stack, layer=stack.layer[layers]))


def _with(module: _Module, **parts: nn.Module) -> _Module:
    """A module with some of its parts replaced, sharing all others."""
    made = copy.copy(module)
    made._modules = {**module._modules, **parts}  # noqa: SLF001 - a shallow copy shares this very dictionary
    return made
