"""The finished file's layer norms: taken apart, and the same numbers as before."""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from serving.engine import load_session
from training.norms import unfuse_norms


def test_the_shipped_file_has_no_fused_norms_and_is_not_fused_again(quick_bundle: Path, tmp_path: Path) -> None:
    """Neither in the file nor in what the session makes of it."""
    path = quick_bundle / "model.onnx"
    kinds = {node.op_type for node in onnx.load(path).graph.node}
    assert "SkipLayerNormalization" not in kinds
    assert "LayerNormalization" in kinds
    as_run = tmp_path / "as-run.onnx"
    load_session(path, optimized=as_run)
    assert "SkipLayerNormalization" not in {node.op_type for node in onnx.load(as_run).graph.node}


def test_the_numbers_stay_the_same(tmp_path: Path) -> None:
    """With a bias and without one."""
    rng = np.random.default_rng(0)
    names = ("gamma", "beta", "bias")
    weights = [numpy_helper.from_array(rng.normal(size=16).astype(np.float32), name) for name in names]
    nodes = [
        helper.make_node(
            "SkipLayerNormalization", ["x", "y", "gamma", "beta", "bias"], ["z"], domain="com.microsoft", epsilon=1e-6
        ),
        helper.make_node("SkipLayerNormalization", ["z", "x", "gamma", "beta"], ["out"], domain="com.microsoft", epsilon=1e-6),
    ]
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 5, 16]) for name in ("x", "y", "out")]
    graph = helper.make_graph(nodes, "norms", values[:2], values[2:], weights)
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
    path = tmp_path / "norms.onnx"
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=10), path)
    feeds = {name: rng.normal(size=(1, 5, 16)).astype(np.float32) for name in ("x", "y")}
    [before] = load_session(path).run(None, feeds)
    unfuse_norms(path)
    [after] = load_session(path).run(None, feeds)
    np.testing.assert_allclose(before, after, rtol=1e-5, atol=1e-5)
    assert [node.op_type for node in onnx.load(path).graph.node] == [
        "Add",
        "Add",
        "LayerNormalization",
        "Add",
        "LayerNormalization",
    ]
