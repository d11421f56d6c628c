"""Recipes: every number that shapes the weights, in one frozen place, hashed into the bundle and the evaluation."""

import hashlib
import json
from dataclasses import asdict, dataclass, fields

from training.base_model import MINILM, MPNET

CODE_VERSION = "3"
"""Raise it with a change of `training/` that alters the weights: cached fits and the evaluation then count as stale."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """How a bundle is trained."""

    profile: str
    base_model: str = MINILM
    layers: int | None = None
    """The encoder's first layers that are kept; None keeps all."""
    frozen_layers: int = 0
    """The lowest layers, which stay as they are, and with them all embeddings: a step takes less time (Lee et al. 2019)."""
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
    seed_readings: int = 1
    """How often each passage of a real document is read in an epoch; an authored one is read once."""
    authored_share: float = 1.0
    """Share of the authored passages that are read in an epoch, others in each."""
    context_dropout: float = 0.5
    """Share of a passage's readings in training that leave its context out: callers rarely send one."""
    max_positive_weight: float = 3.0
    """Upper bound of the weight that a rare tag's positives get in the loss."""
    probe_strength: float = 1.0
    """C of the logistic regression that fits the head of a frozen encoder."""
    probe_first: bool = False
    """The head starts from the logistic regression on the frozen encoder instead of from noise (Kumar et al. 2022, LP-FT)."""
    average: float = 0.0
    """Share of the steps, at the end, whose weights are averaged (Izmailov et al. 2018, SWA); 0 keeps the last weights."""
    teacher_weight: float = 0.0
    """How far the targets are the scores of a larger model that was trained on the same passages; 0 is none."""
    smoothing: float = 0.0
    """Exponent of activations in the smoothing before int8; 0 is none."""
    max_tokens: int = 384
    seed: int = 13

    @property
    def sha256(self) -> str:
        """Hash of the training code's version and of the fields that are not at their defaults: a new field changes no hash."""
        defaults = {field.name: field.default for field in fields(self)}
        chosen = {name: value for name, value in asdict(self).items() if value != defaults[name]}
        return hashlib.sha256(json.dumps([CODE_VERSION, chosen], sort_keys=True).encode()).hexdigest()


ACCURATE = Recipe(
    profile="accurate",
    base_model=MPNET,
    epochs=2,
    encoder_rate=6e-5,
    batch_tokens=2560,
    max_batch=48,
    average=0.2,
    smoothing=0.75,
)
FAST = Recipe(profile="fast", epochs=4, encoder_rate=1.5e-4, average=0.2, smoothing=0.75, teacher_weight=0.7)
QUICK = Recipe(profile="quick", frozen=True)
"""Trained in seconds, for tests and speed benchmarks; its bundles are provisional."""

PROFILES = {recipe.profile: recipe for recipe in (ACCURATE, FAST)}
SHIPPING = ACCURATE
"""The default profile."""
TEACHER = ACCURATE
"""Whose scores a recipe with a `teacher_weight` learns."""
