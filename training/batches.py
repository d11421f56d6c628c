"""Length-grouped batches: passages of like length together, so that little is computed on padding."""

from collections.abc import Container, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from serving.encoding import Encoded

_READ_TOKENS = 4096
"""Of a batch that is only read: no gradients have to be kept."""
_READ_PASSAGES = 64
_BUCKET_PASSAGES = 1024
"""Passages are shuffled, sorted by length within buckets of this size, cut into batches, and these shuffled again."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Padded inputs of one step. Shapes: (passages, tokens) for inputs, (passages, tags) for targets."""

    input_ids: Tensor
    attention_mask: Tensor
    token_type_ids: Tensor
    indices: list[int]


def plan_batches(lengths: Sequence[int], batch_tokens: int, max_batch: int, rng: np.random.Generator) -> list[list[int]]:
    """Indices of each batch of one epoch; a batch holds at most `batch_tokens` tokens, padding included."""
    order = rng.permutation(len(lengths))
    batches: list[list[int]] = []
    for start in range(0, len(order), _BUCKET_PASSAGES):
        bucket = sorted(order[start : start + _BUCKET_PASSAGES].tolist(), key=lambda index: lengths[index])
        current: list[int] = []
        for index in bucket:  # ascending lengths: the newest passage is the longest of its batch
            if current and ((len(current) + 1) * lengths[index] > batch_tokens or len(current) == max_batch):
                batches.append(current)
                current = []
            current.append(index)
        batches.append(current)
    return [batches[index] for index in rng.permutation(len(batches))]


def input_key(passage: Encoded) -> bytes:
    """The same for passages that a network cannot tell apart."""
    return passage.ids.tobytes() + passage.types.tobytes()


def plan_unknown(encoded: Sequence[Encoded], known: Container[bytes]) -> tuple[list[Encoded], list[list[int]]]:
    """The passages whose `input_key` is not known, each once, and batches of their indices for reading without gradients."""
    new = list({key: one for one in encoded if (key := input_key(one)) not in known}.values())
    return new, plan_batches([len(one.ids) for one in new], _READ_TOKENS, _READ_PASSAGES, np.random.default_rng(0))


def collate(encoded: Sequence[Encoded], indices: list[int]) -> Batch:
    """Pad the chosen passages to the longest of them."""
    chosen = [encoded[index] for index in indices]
    width = max(len(passage.ids) for passage in chosen)
    ids = np.zeros((len(chosen), width), dtype=np.int64)
    mask = np.zeros_like(ids)
    types = np.zeros_like(ids)
    for row, passage in enumerate(chosen):
        length = len(passage.ids)
        ids[row, :length] = passage.ids
        mask[row, :length] = 1
        types[row, :length] = passage.types
    return Batch(torch.from_numpy(ids), torch.from_numpy(mask), torch.from_numpy(types), indices)
