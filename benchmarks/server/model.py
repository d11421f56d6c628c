"""What the peers' own scripts share: the same file, tokenized the way their guides do it. Runs in each peer's environment.

`documented`: one session with its defaults, requests padded to one batch. `tuned`: one thread a session (each peer runs a
worker a core), passages one by one without padding, and the slow fusion of layer norms left out, as our own engine does.
"""

import json
import os
from pathlib import Path

import numpy as np
import onnxruntime
from tokenizers import Tokenizer

FOLDER = Path(os.environ["BENCH_MODEL"])
TUNED = os.environ["BENCH_MODE"] == "tuned"
INPUTS = ("input_ids", "attention_mask", "token_type_ids")


class Model:
    """Texts to scores."""

    def __init__(self) -> None:
        """Load tokenizer and session."""
        self.tokenizer = Tokenizer.from_file(str(FOLDER / "tokenizer.json"))
        self.tokenizer.enable_truncation(512)
        options = onnxruntime.SessionOptions()
        if TUNED:
            options.intra_op_num_threads = 1
        else:
            self.tokenizer.enable_padding()
        self.session = onnxruntime.InferenceSession(
            str(FOLDER / "model.onnx"),
            options,
            providers=["CPUExecutionProvider"],
            disabled_optimizers=["SkipLayerNormFusion"] if TUNED else [],
        )
        self.inputs = {entry.name for entry in self.session.get_inputs()}
        self.tags = list(json.loads((FOLDER / "config.json").read_text(encoding="utf-8"))["id2label"].values())

    def score(self, texts: list[str]) -> list[dict[str, float]]:
        """Tag -> score of each text."""
        if TUNED:
            return [self._batch([text])[0] for text in texts]
        return self._batch(texts)

    def _batch(self, texts: list[str]) -> list[dict[str, float]]:
        rows = self.tokenizer.encode_batch(texts)
        columns = ([row.ids for row in rows], [row.attention_mask for row in rows], [row.type_ids for row in rows])
        feeds = {name: np.array(column, dtype=np.int64) for name, column in zip(INPUTS, columns, strict=True)}
        [logits] = self.session.run(None, {name: array for name, array in feeds.items() if name in self.inputs})
        return [dict(zip(self.tags, row, strict=True)) for row in (1 / (1 + np.exp(-logits))).astype(float).tolist()]
