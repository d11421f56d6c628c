"""Export: a trained network to `model.onnx` in int8, checked against PyTorch on real passages.

torch.onnx (the TorchScript exporter: the fuser below knows the graphs it makes, and it takes 2 s where the newer one
takes 7) -> fused attention, layer norm and GELU (onnxruntime.transformers.optimizer) -> dynamic int8 with a scale per
channel of the weights, of activations that were smoothed before -> layer norms taken apart again (training/norms.py).
"""

import logging
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from onnx import TensorProto
from onnxruntime.quantization import QuantType, quantize_dynamic
from onnxruntime.transformers.optimizer import optimize_model

from serving.encoding import Encoded
from serving.engine import load_session
from training.network import Tagger
from training.norms import unfuse_norms
from training.smoothing import smooth

INPUTS = ("input_ids", "attention_mask", "token_type_ids")
OPSET = 17
MAX_GRAPH_DIFFERENCE = 1e-3
"""Largest difference of a score between PyTorch and the fp32 graph."""
MAX_INT8_MEAN_DIFFERENCE = 0.03
MAX_INT8_FLIPS = 0.05
"""Share of decisions at 0.5 that int8 changes; plain dynamic int8 changes 2 to 5 % (notes of issue 'The service')."""


class ParityError(Exception):
    """Raised when the exported file does not say what the trained network says."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parity:
    """Differences of scores (sigmoid of logits) on real passages."""

    passages: int
    graph_max: float
    """PyTorch against the fp32 graph, largest."""
    int8_mean: float
    """fp32 graph against int8, mean."""
    int8_max: float
    int8_flips: float
    """Share of decisions at 0.5 that differ."""


def export(
    model: Tagger, folder: Path, passages: Sequence[Encoded], smoothing: float = 0.0, seen: Sequence[Encoded] = ()
) -> Parity:
    """Write `folder/model.onnx` and compare it with the network on `passages`. Raises ParityError.

    With `smoothing`, the exponent of activations, the network's layers are smoothed in place first (training/smoothing.py), by
    what they make of the passages `seen`, which should be others than those that it is compared on.
    """
    if smoothing:
        smooth(model, seen or passages, smoothing)
    plain, fused, int8 = folder / "plain.onnx", folder / "fused.onnx", folder / "model.onnx"
    _trace(model, plain)
    _fuse(model, plain, fused)
    _quantize(fused, int8)
    unfuse_norms(int8)
    parity = _compare(model, fused, int8, passages)
    plain.unlink()
    fused.unlink()
    problems = [
        f"{what} is {found:.5f}, at most {allowed} is allowed"
        for what, found, allowed in (
            ("largest score difference of the graph to PyTorch", parity.graph_max, MAX_GRAPH_DIFFERENCE),
            ("mean score difference of int8", parity.int8_mean, MAX_INT8_MEAN_DIFFERENCE),
            ("share of decisions that int8 changes", parity.int8_flips, MAX_INT8_FLIPS),
        )
        if not found <= allowed
    ]
    if problems:
        raise ParityError("; ".join(problems))
    return parity


def export_fp32(model: Tagger, path: Path) -> None:
    """Write the plain graph, as others would serve it: what benchmarks compare with."""
    _trace(model, path)


def _trace(model: Tagger, path: Path) -> None:
    ids = torch.arange(1000, 1032).reshape(2, 16)
    inputs = INPUTS if model.reads_types else INPUTS[:2]
    axes = {name: {0: "passages", 1: "tokens"} for name in inputs}
    with warnings.catch_warnings():
        # The exporter is deprecated in favour of one whose graphs the attention fusion does not recognise yet, and it warns
        # of every shape that tracing fixes; parity on real passages is what decides.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            model,
            (ids, torch.ones_like(ids), torch.zeros_like(ids))[: len(inputs)],
            str(path),
            input_names=list(inputs),
            output_names=["logits"],
            dynamic_axes={**axes, "logits": {0: "passages"}},
            opset_version=OPSET,
            dynamo=False,
        )


def _fuse(model: Tagger, source: Path, target: Path) -> None:
    config = model.encoder.config
    logging.getLogger("onnxruntime.transformers").setLevel(logging.ERROR)
    fused = optimize_model(
        str(source),
        model_type="bert",
        num_heads=config.num_attention_heads,
        hidden_size=config.hidden_size,
        opt_level=0,
    )
    fused.save_model_to_file(str(target))


def _quantize(source: Path, target: Path) -> None:
    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.ERROR)  # it advises a pre-processing that the fused graph does not need, on the root logger
    try:
        quantize_dynamic(
            source,
            target,
            weight_type=QuantType.QInt8,
            per_channel=True,
            extra_options={"DefaultTensorType": TensorProto.FLOAT},  # shape inference stops at the fused nodes
        )
    finally:
        root.setLevel(level)


def _compare(model: Tagger, fused: Path, int8: Path, passages: Sequence[Encoded]) -> Parity:
    reference = np.stack([model.alone(passage).numpy().astype(np.float64) for passage in passages])
    scores, graph, small = (_sigmoid(rows) for rows in (reference, onnx_logits(fused, passages), onnx_logits(int8, passages)))
    difference = np.abs(graph - small)
    return Parity(
        passages=len(passages),
        graph_max=float(np.abs(scores - graph).max()),
        int8_mean=float(difference.mean()),
        int8_max=float(difference.max()),
        int8_flips=float(((graph >= 0.5) != (small >= 0.5)).mean()),  # noqa: PLR2004 - before calibration
    )


def onnx_logits(path: Path, passages: Sequence[Encoded]) -> NDArray[np.float64]:
    """Logits of an exported file, one unpadded passage at a time: shape (passages, tags)."""
    session = load_session(path)
    inputs = {entry.name for entry in session.get_inputs()}
    rows = []
    for passage in passages:
        feeds = dict(
            zip(INPUTS, (passage.ids[None], np.ones((1, len(passage.ids)), dtype=np.int64), passage.types[None]), strict=True)
        )
        rows.append(session.run(None, {name: array for name, array in feeds.items() if name in inputs})[0][0])
    return np.stack(rows).astype(np.float64)


def _sigmoid(values: NDArray[np.float64]) -> NDArray[np.float64]:
    found: NDArray[np.float64] = 1 / (1 + np.exp(-values))
    return found
