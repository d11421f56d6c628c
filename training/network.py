"""The network: encoder, mean over tokens, one linear layer with a logit per tag."""

from torch import Tensor, nn
from transformers import PreTrainedModel


class Tagger(nn.Module):
    """Encoder with a multi-label head. Sentence encoders are trained with mean pooling, so the head reads the mean."""

    def __init__(self, encoder: PreTrainedModel, tags: int, dropout: float = 0.1) -> None:
        """Put a head for `tags` logits on `encoder`."""
        super().__init__()
        self.encoder = encoder
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(encoder.config.hidden_size, tags)
        nn.init.zeros_(self.head.bias)
        nn.init.normal_(self.head.weight, std=0.02)

    def forward(self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor) -> Tensor:
        """Logits.

        Shapes: inputs (passages, tokens), int64; result (passages, tags).
        """
        logits: Tensor = self.head(self.dropout(self.embed(input_ids, attention_mask, token_type_ids)))
        return logits

    def embed(self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor) -> Tensor:
        """Mean of the token states that the mask keeps: shape (passages, hidden)."""
        states = self.encoder(
            input_ids=input_ids, attention_mask=attention_mask, token_type_ids=token_type_ids
        ).last_hidden_state
        weights = attention_mask.unsqueeze(-1).to(states.dtype)
        mean: Tensor = (states * weights).sum(dim=1) / weights.sum(dim=1)
        return mean


def encoder_parameters(model: Tagger) -> list[nn.Parameter]:
    """Parameters below the head."""
    return list(model.encoder.parameters())


def without_pooler(encoder: PreTrainedModel) -> PreTrainedModel:
    """`encoder` without the pooling layer that BERT carries and mean pooling leaves unused."""
    if hasattr(encoder, "pooler"):
        encoder.pooler = None  # type: ignore[assignment]  # the library itself sets it so for add_pooling_layer=False
    return encoder
