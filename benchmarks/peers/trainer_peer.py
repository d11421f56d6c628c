"""Plain fine-tuning: `transformers.Trainer` with its defaults (3 epochs, rate 5e-5, batches of 8) on the same encoder weights.

usage: trainer_peer.py INPUT OUTPUT
"""

import json
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from datasets import Dataset
from transformers import AutoModelForSequenceClassification, AutoTokenizer, Trainer, TrainingArguments

torch.set_float32_matmul_precision("medium")  # bfloat16 products, as our own training has them
source, target = map(Path, sys.argv[1:])
data = json.loads(source.read_text(encoding="utf-8"))
tokenizer = AutoTokenizer.from_pretrained(data["encoder"])
model = AutoModelForSequenceClassification.from_pretrained(
    data["encoder"], num_labels=len(data["tags"]), problem_type="multi_label_classification"
)


def encoded(texts: list[str], targets: list[list[float]] | None = None) -> Dataset:
    """Tokens of the passages, cut at 384, and the labels as Trainer looks for them."""
    columns = dict(tokenizer(texts, truncation=True, max_length=384))
    return Dataset.from_dict(columns | ({"labels": targets} if targets else {}))


train = encoded([row["text"] for row in data["train"]], [[float(value) for value in row["targets"]] for row in data["train"]])
with tempfile.TemporaryDirectory() as folder:
    settings = TrainingArguments(
        output_dir=folder, seed=data["seed"], report_to="none", save_strategy="no", disable_tqdm=True, use_cpu=True
    )
    trainer = Trainer(model=model, args=settings, train_dataset=train, processing_class=tokenizer)
    trainer.train()
    logits = trainer.predict(encoded(data["test"])).predictions
target.write_text(json.dumps(np.asarray(logits, dtype=float).tolist()), encoding="utf-8")
