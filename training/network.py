"""The network: encoder, mean over tokens, one linear layer with a logit per tag."""

from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from serving.encoding import Encoded


class Tagger(nn.Module):
    """Encoder with a multi-label head. Sentence encoders are trained with mean pooling, so the head reads the mean."""

    def __init__(self, encoder: PreTrainedModel, tags: int, dropout: float = 0.1) -> None:
        """Put a head for `tags` logits on `encoder`."""
        super().__init__()
        self.encoder = encoder
        self.reads_types = getattr(encoder.config, "type_vocab_size", 0) > 1
        """BERT's encoders tell two sequences apart by token types; MPNet has none."""
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(encoder.config.hidden_size, tags)
        nn.init.zeros_(self.head.bias)
        nn.init.normal_(self.head.weight, std=0.02)

    def forward(self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor | None = None) -> Tensor:
        """Logits.

        Shapes: inputs (passages, tokens), int64; result (passages, tags).
        """
        logits: Tensor = self.head(self.dropout(self.embed(input_ids, attention_mask, token_type_ids)))
        return logits

    def embed(self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor | None = None) -> Tensor:
        """Mean of the token states that the mask keeps: shape (passages, hidden)."""
        states = self.states(input_ids, attention_mask, token_type_ids)
        weights = attention_mask.unsqueeze(-1).to(states.dtype)
        mean: Tensor = (states * weights).sum(dim=1) / weights.sum(dim=1)
        return mean

    def alone(self, passage: Encoded) -> Tensor:
        """Logits of one passage: shape (tags,), without gradients.

        On one thread: a single passage gains little from a second one, and on a busy machine the two wait for each other at
        every layer, which was seen to take twenty times as long.
        """
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            ids, types = torch.from_numpy(passage.ids)[None], torch.from_numpy(passage.types)[None]
            with torch.inference_mode():
                logits: Tensor = self(ids, torch.ones_like(ids), types)[0]
        finally:
            torch.set_num_threads(threads)
        return logits

    def states(self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor | None = None) -> Tensor:
        """What the encoder makes of each token: shape (passages, tokens, hidden)."""
        types = {"token_type_ids": token_type_ids} if self.reads_types else {}
        states: Tensor = self.encoder(input_ids=input_ids, attention_mask=attention_mask, **types).last_hidden_state
        return states


def prepared(encoder: PreTrainedModel, layers: int | None = None, frozen_layers: int = 0) -> PreTrainedModel:
    """`encoder` as this project trains it: its first `layers` (None: all), the lowest `frozen_layers` of these as they are.

    Without BERT's pooling layer, which mean pooling leaves unused; with the embeddings frozen, which hold half of MiniLM's
    weights and see few of their rows in so small a corpus; without dropout inside, whose random masks cost a third of
    a step on a CPU (the head keeps its own). Measured together: 1,958 to 4,588 tokens a second.
    """
    if hasattr(encoder, "pooler"):
        encoder.pooler = None  # type: ignore[assignment]  # the library itself sets it so for add_pooling_layer=False
    if layers is not None:
        stack: Any = encoder.encoder  # the library types it as any module
        stack.layer = stack.layer[:layers]
        encoder.config.num_hidden_layers = layers
    for part in _frozen(encoder, frozen_layers):
        for parameter in part.parameters():
            parameter.requires_grad = False
    for module in encoder.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    return encoder


def _frozen(encoder: PreTrainedModel, layers: int) -> list[nn.Module]:
    """The parts that are not trained. Below frozen layers nothing is, so that no gradient has to be taken through them."""
    if not layers:
        return [encoder.get_input_embeddings()]
    stack: Any = encoder.encoder
    shared = getattr(stack, "relative_attention_bias", None)  # MPNet's, which every layer reads
    return [encoder.embeddings, *stack.layer[:layers], *([shared] if shared else [])]
