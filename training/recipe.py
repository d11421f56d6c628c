"""Recipes: every number that shapes the weights, in one frozen place, hashed into the bundle and the evaluation."""

import hashlib
import json
from dataclasses import asdict, dataclass

from training.base_model import DEFAULT

CODE_VERSION = "2"
"""Raise it with a change of `training/` that alters the weights: cached fits and the evaluation then count as stale."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """How a bundle is trained."""

    profile: str
    base_model: str = DEFAULT
    layers: int | None = None
    """The encoder's first layers that are kept; None keeps all."""
    frozen: bool = False
    """Only the head is fitted, by logistic regression on the frozen encoder's embeddings."""
    epochs: int = 3
    encoder_rate: float = 1e-4
    head_rate: float = 1e-3
    weight_decay: float = 0.01
    warmup: float = 0.1
    """Share of the steps in which the rate rises."""
    dropout: float = 0.1
    batch_tokens: int = 1024
    """Tokens of a batch, padding included."""
    max_batch: int = 16
    context_dropout: float = 0.5
    """Share of a passage's readings in training that leave its context out: callers rarely send one."""
    max_positive_weight: float = 3.0
    """Upper bound of the weight that a rare tag's positives get in the loss."""
    probe_strength: float = 1.0
    """C of the logistic regression that fits the head of a frozen encoder."""
    max_tokens: int = 384
    seed: int = 13

    @property
    def sha256(self) -> str:
        """Hash of all fields and of the training code's version."""
        return hashlib.sha256(json.dumps([CODE_VERSION, asdict(self)], sort_keys=True).encode()).hexdigest()


FAST = Recipe(profile="fast")
QUICK = Recipe(profile="quick", frozen=True)
"""Trained in seconds, for tests and speed benchmarks; its bundles are provisional."""
