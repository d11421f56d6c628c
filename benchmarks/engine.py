"""How fast the engine is beside the transformers pipeline and plain onnxruntime, on the passages of the seeds.

    make bench-engine            full run: writes benchmarks/results/engine.json and the table in README.md
    make bench-engine QUICK=1    fewer rounds, changes nothing

Machines are shared and noisy: contenders take turns in each round, and medians over the rounds are quoted. The ceiling is
MatMulInteger (U8S8, 2048 cubed) on all cores in the same run, over the multiplications that the file's linear layers
do at the real token counts.
"""

import argparse
import os
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from onnx import TensorProto, helper
from tokenizers import Tokenizer
from transformers import AutoTokenizer, BertForSequenceClassification, pipeline

from benchmarks.passages import seed_passages
from benchmarks.results import finish, quick_bundle
from serving.bundle import read_bundle
from serving.classifier import Classifier
from serving.encoding import Encoder
from serving.model_input import model_input
from serving.results import PassageIn
from training.base_model import find_base_model

_CUBE = 2048
_CEILING_RUNS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Contender:
    """Something that scores passages."""

    name: str
    run: Callable[[Sequence[PassageIn]], object]
    share: float = 1.0
    """Share of the passages that it is given; slow ones are measured on fewer."""


def main(arguments: list[str]) -> int:
    """Measure, print the table, and end with the line RESULT {json}."""
    parser = argparse.ArgumentParser(prog="bench-engine")
    parser.add_argument("--quick", action="store_true", help="fewer rounds; changes no tracked file")
    quick = parser.parse_args(arguments).quick
    bundle = quick_bundle()
    passages = [PassageIn(text=passage.text, context=passage.context) for passage in seed_passages()][: 300 if quick else 1000]
    contenders = _contenders(bundle)
    rates: dict[str, list[float]] = {contender.name: [] for contender in contenders}
    for number in range(3 if quick else 7):
        for contender in contenders:
            part = passages[: max(40, round(len(passages) * contender.share))]
            started = time.perf_counter()
            contender.run(part)
            rates[contender.name].append(len(part) / (time.perf_counter() - started))
        print(
            f"round {number + 1}: " + ", ".join(f"{name} {found[-1]:.0f}/s" for name, found in rates.items()), file=sys.stderr
        )
    medians = {name: statistics.median(found) for name, found in rates.items()}
    ours = medians["this engine"]
    best_pipeline = max(rate for name, rate in medians.items() if name.startswith("transformers"))
    ceiling = _ceiling(bundle, passages)
    caption = (
        f"{len(passages)} passages of the seeds, MiniLM, {os.cpu_count()} cores, median of {len(rates['this engine'])} "
        f"alternating rounds; the ceiling of the int8 matrix products is {ceiling:.0f} passages/s."
    )
    table = "\n".join(
        [
            caption,
            "",
            "| | passages/s | this engine is faster by |",
            "| --- | --- | --- |",
            *(f"| {name} | {rate:.0f} | {ours / rate:.1f} |" for name, rate in medians.items()),
        ]
    )
    result = {
        "passages_per_s": round(ours, 1),
        "pipeline_ratio": round(ours / best_pipeline, 2),
        "ceiling_share": round(ours / ceiling, 3),
        "passages": len(passages),
        "medians": {name: round(rate, 1) for name, rate in medians.items()},
    }
    return finish("engine", table, result, quick=quick)


def _contenders(bundle: Path) -> list[Contender]:
    classifier = Classifier.load(bundle)
    encoder = Encoder.from_file(bundle / "tokenizer.json", classifier.manifest.max_tokens)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    plain = onnxruntime.InferenceSession(bundle / "model.onnx", options, providers=["CPUExecutionProvider"])

    def padded(passages: Sequence[PassageIn]) -> None:
        tokenizer = Tokenizer.from_file(str(bundle / "tokenizer.json"))
        tokenizer.enable_padding()
        for start in range(0, len(passages), 32):
            rows = tokenizer.encode_batch([f"{passage.context} {passage.text}" for passage in passages[start : start + 32]])
            feeds = {
                "input_ids": [row.ids for row in rows],
                "attention_mask": [row.attention_mask for row in rows],
                "token_type_ids": [row.type_ids for row in rows],
            }
            plain.run(None, {name: np.array(value, dtype=np.int64) for name, value in feeds.items()})

    def one_by_one(passages: Sequence[PassageIn]) -> None:
        for passage in passages:
            encoded = encoder.encode(model_input(passage.text, passage.context))
            feeds = {"input_ids": encoded.ids, "attention_mask": np.ones_like(encoded.ids), "token_type_ids": encoded.types}
            plain.run(None, {name: value[None] for name, value in feeds.items()})

    base = find_base_model()
    network = BertForSequenceClassification.from_pretrained(base.source, num_labels=4)
    network.train(mode=False)
    tokenizer = AutoTokenizer.from_pretrained(base.source)
    piped = pipeline("text-classification", model=network, tokenizer=tokenizer, top_k=None, device=torch.device("cpu"))

    def transformers_pipeline(batch: int, *, by_length: bool = False) -> Callable[[Sequence[PassageIn]], None]:
        def run(passages: Sequence[PassageIn]) -> None:
            texts = [f"{passage.context} {passage.text}".strip() for passage in passages]
            piped(sorted(texts, key=len) if by_length else texts, batch_size=batch, truncation=True, max_length=384)

        return run

    return [
        Contender(name="this engine", run=classifier.score),
        Contender(name="onnxruntime, same file, batches of 32", run=padded),
        Contender(name="onnxruntime, same file, one by one", run=one_by_one),
        Contender(name="transformers pipeline, batch 1", run=transformers_pipeline(1), share=0.2),
        Contender(name="transformers pipeline, batch 32", run=transformers_pipeline(32), share=0.2),
        Contender(name="transformers pipeline, batch 32 by length", run=transformers_pipeline(32, by_length=True), share=0.2),
    ]


def _ceiling(bundle: Path, passages: Sequence[PassageIn]) -> float:
    """Passages a second if the linear layers ran at the speed of a plain MatMulInteger and nothing else cost anything."""
    encoder = Encoder.from_file(bundle / "tokenizer.json", read_bundle(bundle).max_tokens)
    tokens = [len(encoder.encode(model_input(passage.text, passage.context)).ids) for passage in passages]
    graph = onnx.load(bundle / "model.onnx").graph
    used = {
        name for node in graph.node if node.op_type in {"MatMulInteger", "QAttention", "MatMul", "Gemm"} for name in node.input
    }
    weights = sum(int(np.prod(entry.dims)) for entry in graph.initializer if entry.name in used and len(entry.dims) == 2)
    multiplications = weights * statistics.mean(tokens)
    return _multiplications_per_second() / multiplications


def _multiplications_per_second() -> float:
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
    best = min(_timed(lambda: session.run(None, {"a": left})) for _ in range(_CEILING_RUNS))
    return float(_CUBE**3 / best)


def _timed(function: Callable[[], object]) -> float:
    started = time.perf_counter()
    function()
    return time.perf_counter() - started


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
