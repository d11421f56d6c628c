"""What each peer says of a document that it has not seen: trained once, in an environment of its own, and kept in git.

A peer's logits change only with its script, its packages or the labels, so `results/peers.jsonl` holds them: a run that was
stopped goes on, on another machine too, and a new model of ours is compared without training the peers again.
"""

import hashlib
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from datasets import Dataset

from benchmarks.environments import environment
from benchmarks.results import ROOT
from training.base_model import BaseModel
from training.folds import Fold
from training.metrics import Floats

SEED = 13
KEPT = ROOT / "benchmarks" / "results" / "peers.jsonl"
_SCRIPTS = Path(__file__).parent
_DIGITS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """A way to train a tagger, and what its environment needs."""

    name: str
    script: str
    packages: tuple[str, ...]


class Measuring:
    """Peers' fits, one a core at a time: their batches are too small for two threads (two at once take 0.77 of the time)."""

    def __init__(self, workers: ThreadPoolExecutor | None, encoder: BaseModel, tags: Sequence[str]) -> None:
        """`encoder` is the one that all peers with an encoder start from; without `workers` nothing is trained."""
        self._workers, self._encoder, self._tags = workers, encoder, list(tags)
        self._writing = threading.Lock()
        lines = KEPT.read_text(encoding="utf-8").splitlines() if KEPT.is_file() else []
        self._known = {row["key"]: row["logits"] for row in map(json.loads, lines)}

    def logits(self, peer: Peer, dataset: Dataset, fold: Fold) -> "Future[list[list[float]]] | None":
        """Logits of the held-out side, to come: shape (passages held out, tags); None when nothing is kept or trained."""
        texts = [f"{row['context']} {row['text']}".strip() for row in dataset]
        targets = np.nan_to_num(np.array(dataset["targets"], dtype=np.float64)).tolist()
        data = {
            "seed": SEED,
            "tags": self._tags,
            "train": [{"text": texts[index], "targets": targets[index]} for index in fold.train],
            "test": [texts[index] for index in fold.held_out],
        }
        script = (_SCRIPTS / peer.script).read_text(encoding="utf-8")
        key = hashlib.sha256(f"{peer} {script} {self._encoder.sha256} {json.dumps(data)}".encode()).hexdigest()[:16]
        if key in self._known:
            found: Future[list[list[float]]] = Future()
            found.set_result(self._known[key])
            return found
        if self._workers is None:
            return None
        python = environment(peer.packages, peer.name) / "python"  # here, not in the workers: built by one, once
        return self._workers.submit(self._measured, key, peer, python, fold, data)

    def _measured(self, key: str, peer: Peer, python: Path, fold: Fold, data: dict[str, Any]) -> list[list[float]]:
        started = time.monotonic()
        logits = np.round(_run(python, peer, {"encoder": self._encoder.source, **data}), _DIGITS).tolist()
        row = {"key": key, "peer": peer.name, "trained_on": len(data["train"]), "held_out": fold.name, "logits": logits}
        with self._writing, KEPT.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
        took = time.monotonic() - started
        print(f"{peer.name} without {fold.name}: {len(data['train'])} passages in {took:.0f} s", file=sys.stderr, flush=True)
        return logits  # type: ignore[no-any-return]  # numpy types it as any nesting


@contextmanager
def workers() -> Iterator[ThreadPoolExecutor]:
    """As many as there are cores; those that wait are given up when the block ends early."""
    pool = ThreadPoolExecutor(max_workers=len(os.sched_getaffinity(0)))
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


def out_of_document(folds: Sequence[Fold], found: Sequence["Future[list[list[float]]]"], passages: int, tags: int) -> Floats:
    """All folds' logits together: shape (passages, tags), NaN where none of these folds holds a passage out."""
    logits: Floats = np.full((passages, tags), np.nan)
    for fold, one in zip(folds, found, strict=True):
        logits[fold.held_out] = one.result()
    return logits


def _run(python: Path, peer: Peer, data: dict[str, Any]) -> Floats:
    variables = {**os.environ, "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false", "OMP_NUM_THREADS": "1"}
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "in.json", Path(folder) / "out.json"
        source.write_text(json.dumps(data), encoding="utf-8")
        subprocess.run([str(python), str(_SCRIPTS / peer.script), str(source), str(target)], check=True, env=variables)
        return np.array(json.loads(target.read_text(encoding="utf-8")), dtype=np.float64)
