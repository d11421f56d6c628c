"""What the int8 matrix products alone would allow: MatMulInteger over the multiplications of a file's linear layers."""

import os
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper

from serving.bundle import read_bundle
from serving.encoding import Encoder
from serving.model_input import model_input
from serving.results import PassageIn

_CUBE = 2048
_RUNS = 5
_PRODUCTS = frozenset({"MatMulInteger", "QAttention", "MatMul", "Gemm"})


def ceiling(bundle: Path, passages: Sequence[PassageIn]) -> float:
    """Passages a second if the linear layers ran at the speed of a plain MatMulInteger and nothing else cost anything."""
    encoder = Encoder.from_file(bundle / "tokenizer.json", read_bundle(bundle).max_tokens)
    tokens = [len(encoder.encode(model_input(passage.text, passage.context)).ids) for passage in passages]
    graph = onnx.load(bundle / "model.onnx").graph
    used = {name for node in graph.node if node.op_type in _PRODUCTS for name in node.input}
    weights = sum(int(np.prod(entry.dims)) for entry in graph.initializer if entry.name in used and len(entry.dims) == 2)
    return _multiplications_per_second() / (weights * statistics.mean(tokens))


def _multiplications_per_second() -> float:
    """U8S8, 2048 cubed, on all cores, best of five."""
    node = helper.make_node("MatMulInteger", ["a", "b"], ["c"])
    graph = helper.make_graph(
        [node],
        "cube",
        [helper.make_tensor_value_info("a", TensorProto.UINT8, [_CUBE, _CUBE])],
        [helper.make_tensor_value_info("c", TensorProto.INT32, [_CUBE, _CUBE])],
        [helper.make_tensor("b", TensorProto.INT8, [_CUBE, _CUBE], np.ones((_CUBE, _CUBE), dtype=np.int8).tobytes(), raw=True)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = len(os.sched_getaffinity(0))
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    left = np.ones((_CUBE, _CUBE), dtype=np.uint8)
    session.run(None, {"a": left})
    best = min(_timed(lambda: session.run(None, {"a": left})) for _ in range(_RUNS))
    return float(_CUBE**3 / best)


def _timed(function: Callable[[], object]) -> float:
    started = time.perf_counter()
    function()
    return time.perf_counter() - started
