"""SetFit as its guide for several labels sets it up, on the same encoder weights; one pair of each kind a passage and epoch.

Its default samples pairs until every combination was seen, millions for a corpus of this size; `num_iterations=1` is the
option for that. usage: setfit_peer.py INPUT OUTPUT
"""

import json
import sys
from pathlib import Path

import numpy as np
import torch
from datasets import Dataset
from setfit import SetFitModel, Trainer, TrainingArguments

torch.set_float32_matmul_precision("medium")  # bfloat16 products, as our own training has them
source, target = map(Path, sys.argv[1:])
data = json.loads(source.read_text(encoding="utf-8"))
model = SetFitModel.from_pretrained(data["encoder"], multi_target_strategy="one-vs-rest")
rows = [{"text": row["text"], "label": [int(value) for value in row["targets"]]} for row in data["train"]]
settings = TrainingArguments(
    batch_size=16, num_epochs=1, num_iterations=1, seed=data["seed"], report_to="none", show_progress_bar=False
)
Trainer(model=model, args=settings, train_dataset=Dataset.from_list(rows)).train()
chances = np.clip(np.asarray(model.predict_proba(data["test"], as_numpy=True)), 1e-6, 1 - 1e-6)
target.write_text(json.dumps(np.log(chances / (1 - chances)).tolist()), encoding="utf-8")
