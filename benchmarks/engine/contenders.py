"""What the engine is compared with: the same passages, the same encoder's weights."""

import json
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from tokenizers import Tokenizer
from transformers import AutoModelForSequenceClassification, AutoTokenizer, pipeline

from benchmarks.environments import environment
from serving.classifier import Classifier
from serving.encoding import Encoder
from serving.model_input import model_input
from serving.results import PassageIn
from serving.settings import load_settings
from training.base_model import find_base_model
from training.export import export_fp32
from training.network import Tagger, prepared

Score = Callable[[Sequence[PassageIn]], object]
INPUTS = ("input_ids", "attention_mask", "token_type_ids")
_OPENVINO = ("openvino==2026.4.1", "numpy")


@dataclass(frozen=True, slots=True, kw_only=True)
class Contender:
    """Something that scores passages."""

    name: str
    run: Score
    share: float = 1.0
    """Share of the passages that it is given; slow ones are measured on fewer."""
    close: Callable[[], object] = lambda: None


def contenders(bundle: Path, base_model: str, passages: Sequence[PassageIn], folder: Path) -> list[Contender]:
    """Ours first. `folder` takes the fp32 file."""
    classifier = Classifier.load(bundle)
    encoder = Encoder.from_file(bundle / "tokenizer.json", classifier.manifest.max_tokens)
    base = find_base_model(base_model, load_settings().state / "encoders")
    plain = folder / "fp32.onnx"
    export_fp32(Tagger(prepared(base.load(), None), tags=4, dropout=0.0).eval(), plain)
    network = AutoModelForSequenceClassification.from_pretrained(base.source, num_labels=4).eval()
    piped = pipeline(
        "text-classification",
        model=network,
        tokenizer=AutoTokenizer.from_pretrained(base.source),
        top_k=None,
        device=torch.device("cpu"),
    )

    def transformers_pipeline(batch: int, *, by_length: bool = False) -> Score:
        def run(part: Sequence[PassageIn]) -> None:
            texts = [f"{passage.context} {passage.text}".strip() for passage in part]
            piped(sorted(texts, key=len) if by_length else texts, batch_size=batch, truncation=True, max_length=384)

        return run

    tokenizer = bundle / "tokenizer.json"
    return [
        Contender(name="this engine", run=classifier.score, close=classifier.close),
        Contender(name="onnxruntime int8, same file, batches of 32", run=_padded(bundle / "model.onnx", tokenizer)),
        Contender(name="onnxruntime int8, same file, one by one", run=_one_by_one(bundle / "model.onnx", encoder)),
        Contender(name="onnxruntime fp32, batches of 32", run=_padded(plain, tokenizer), share=0.2),
        Contender(name="onnxruntime fp32, one by one", run=_one_by_one(plain, encoder), share=0.2),
        _openvino(plain, encoder, passages, folder),
        Contender(name="transformers pipeline, batch 1", run=transformers_pipeline(1), share=0.2),
        Contender(name="transformers pipeline, batch 32", run=transformers_pipeline(32), share=0.2),
        Contender(name="transformers pipeline, batch 32 by length", run=transformers_pipeline(32, by_length=True), share=0.2),
    ]


def _session(path: Path) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def _padded(path: Path, tokenizer_file: Path) -> Score:
    session = _session(path)
    wanted = {entry.name for entry in session.get_inputs()}
    tokenizer = Tokenizer.from_file(str(tokenizer_file))
    tokenizer.enable_padding()

    def run(passages: Sequence[PassageIn]) -> None:
        for start in range(0, len(passages), 32):
            rows = tokenizer.encode_batch([f"{one.context} {one.text}" for one in passages[start : start + 32]])
            columns = ([row.ids for row in rows], [row.attention_mask for row in rows], [row.type_ids for row in rows])
            feeds = {name: np.array(column, dtype=np.int64) for name, column in zip(INPUTS, columns, strict=True)}
            session.run(None, {name: column for name, column in feeds.items() if name in wanted})

    return run


def _one_by_one(path: Path, encoder: Encoder) -> Score:
    session = _session(path)
    wanted = {entry.name for entry in session.get_inputs()}

    def run(passages: Sequence[PassageIn]) -> None:
        for passage in passages:
            encoded = encoder.encode(model_input(passage.text, passage.context))
            feeds = dict(zip(INPUTS, (encoded.ids, np.ones_like(encoded.ids), encoded.types), strict=True))
            session.run(None, {name: value[None] for name, value in feeds.items() if name in wanted})

    return run


def _openvino(path: Path, encoder: Encoder, passages: Sequence[PassageIn], folder: Path) -> Contender:
    """In a process and an environment of its own; its tokens are ready beforehand, which favours it."""
    tokens = folder / "tokens.json"
    ids = [encoder.encode(model_input(passage.text, passage.context)).ids.tolist() for passage in passages]
    tokens.write_text(json.dumps(ids), encoding="utf-8")
    python = environment(_OPENVINO, "OpenVINO") / "python"
    script = Path(__file__).with_name("openvino_peer.py")
    process = subprocess.Popen(
        [str(python), str(script), str(path), str(tokens)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )

    def run(part: Sequence[PassageIn]) -> None:
        assert process.stdin
        assert process.stdout
        process.stdin.write(f"{len(part)}\n")
        process.stdin.flush()
        process.stdout.readline()

    def close() -> None:
        process.communicate()

    return Contender(name="OpenVINO, same weights, throughput mode", run=run, share=0.5, close=close)
