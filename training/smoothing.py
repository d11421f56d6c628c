"""Smoothing before int8: outliers of activations moved into the weights, so that neither loses much when it is quantized.

A few channels of a transformer's activations are far larger than the others, and one 8-bit scale has to span them all. Each
input channel of a linear layer is divided by s and its weights are multiplied by s: the product stays the same, the
activations become even. s = activations^alpha / weights^(1 - alpha), both the channel's largest absolute value on a sample of
passages (Xiao et al. 2023, "SmoothQuant"). The division stays in the graph as one multiplication: the layer norms before it
feed the residual stream too, so it cannot be folded into them.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from serving.encoding import Encoded
from training.network import Tagger

_KEPT = ("q", "k", "v", "query", "key", "value")
"""Layers left as they are: the three read one input, and what fuses them into one attention looks for them side by side."""
_SMALLEST = 1e-4
_WIDEST = 20.0
"""Bound of s and of 1/s, around the median channel of the layer."""


class _Smoothed(nn.Module):
    """A linear layer with its input's channels scaled."""

    def __init__(self, linear: nn.Linear, scale: Tensor) -> None:
        super().__init__()
        self.linear = linear
        self.factor = nn.Buffer(1 / scale)
        with torch.no_grad():
            linear.weight.mul_(scale)

    def forward(self, states: Tensor) -> Tensor:
        result: Tensor = self.linear(states * self.factor)
        return result


def smooth(model: Tagger, passages: Sequence[Encoded], alpha: float) -> None:
    """Rewrite the encoder's linear layers in place; `passages` show how large their inputs are. Scores stay the same."""
    largest = _largest_inputs(model, passages)
    for name, found in largest.items():
        parent, _, last = name.rpartition(".")
        holder: Any = model.get_submodule(parent)
        linear: nn.Linear = getattr(holder, last)
        weights = linear.weight.detach().abs().amax(dim=0).clamp(min=_SMALLEST)
        scale = found.clamp(min=_SMALLEST) ** alpha / weights ** (1 - alpha)
        scale = (scale / scale.median()).clamp(1 / _WIDEST, _WIDEST)
        setattr(holder, last, _Smoothed(linear, scale))


def _largest_inputs(model: Tagger, passages: Sequence[Encoded]) -> dict[str, Tensor]:
    """Layer -> largest absolute value of each input channel, shape (features,)."""
    found: dict[str, Tensor] = {}
    handles = [
        module.register_forward_pre_hook(_recorder(name, found))
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear) and ".layer." in name and name.rpartition(".")[2] not in _KEPT
    ]
    try:
        for passage in passages:
            model.alone(passage)
    finally:
        for handle in handles:
            handle.remove()
    return {name: value.clone() for name, value in found.items()}


def _recorder(name: str, found: dict[str, Tensor]) -> Any:
    def record(_module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        largest = inputs[0].abs().amax(dim=(0, 1))
        found[name] = torch.maximum(found[name], largest) if name in found else largest

    return record
