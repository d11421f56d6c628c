"""Other ways to train a tagger on the same labels: same input, folds, seed and threshold rule, each in its own environment.

make bench-peers         with and without the authored passages; cached by what each run reads, so a stopped run goes on
"""

import argparse
import hashlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.environments import environment
from benchmarks.results import finish
from labels.authored import load_authored
from labels.corpus import Corpus, load_corpus
from serving.settings import load_settings
from training.assessment import assess, decide_out_of_document
from training.base_model import find_base_model
from training.dataset import corpus_dataset
from training.folds import Fold, document_folds
from training.metrics import Bools, Floats, paired_macro_f1
from training.recipe import FAST, SHIPPING
from training.standing import EVALUATION

FOLDER = Path(__file__).parent
SEED = 13


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """A way to train a tagger, and what its environment needs."""

    name: str
    script: str
    packages: tuple[str, ...]


PEERS = (
    Peer(name="spaCy textcat_multilabel", script="spacy_peer.py", packages=("spacy==3.8.18",)),
    Peer(
        name="transformers Trainer, MiniLM",
        script="trainer_peer.py",
        packages=("transformers==5.23.0", "torch==2.13.0", "datasets==5.2.0", "accelerate"),
    ),
    Peer(
        name="SetFit, MiniLM",
        script="setfit_peer.py",
        packages=("setfit==1.1.3", "transformers==4.57.6", "torch==2.13.0", "datasets==5.0.1"),
    ),
)


_ORDER = [*((peer, True) for peer in PEERS[:2]), *((peer, False) for peer in PEERS), (PEERS[2], True)]
"""The slowest comes last."""


def main(arguments: list[str]) -> int:
    """Train every peer on every fold, print the table, and end with the line RESULT {json}."""
    parser = argparse.ArgumentParser(prog="bench-peers")
    parser.add_argument("--quick", action="store_true", help="the seeds alone and one fold, to see that all peers run")
    quick = parser.parse_args(arguments).quick
    corpus = load_corpus()
    names = corpus.codebook.names
    documents = [row.document for row in corpus.gold]
    model = json.loads((EVALUATION / SHIPPING.profile / "metrics.json").read_text(encoding="utf-8"))["model"]
    ours = _our_tags(corpus)
    rows: dict[str, Any] = {}
    for peer, authored in _ORDER:
        if quick and authored:
            continue
        dataset = corpus_dataset(corpus, load_authored(corpus.codebook, corpus.documents) if authored else ())
        folds = document_folds(list(dataset["document"]), list(dataset["mimics"]))
        gold = np.array(dataset["targets"], dtype=np.float64)[: len(corpus.gold)]
        logits = _logits(peer, dataset, folds[:1] if quick else folds, corpus)
        label = peer.name if authored else f"{peer.name}, seeds only"
        if quick:
            rows[label] = {"scored": int((~np.isnan(logits[:, 0])).sum())}
            continue
        ahead = paired_macro_f1(gold, ours, decide_out_of_document(logits, gold, documents).tagged, documents)
        rows[label] = {**assess([logits], gold, documents, names), "ahead_low": ahead.low, "ahead_high": ahead.high}
        print(label, rows[label]["macro_f1"], file=sys.stderr, flush=True)
        finish("peers", *_written({"this model": model, **rows}, names), quick=False)  # a stopped run leaves what it has
    if quick:
        return finish("peers", "\n".join(rows), {"peers": rows}, quick=True)
    return 0


def _written(figures: dict[str, Any], names: Sequence[str]) -> tuple[str, dict[str, Any]]:
    result = {
        name: {
            "macro_f1": one["macro_f1"],
            **{tag: one["tags"][tag]["f1"] for tag in names},
            **{bound: round(one[bound], 4) for bound in ("ahead_low", "ahead_high") if bound in one},
        }
        for name, one in figures.items()
    }
    return _table(figures, names), {"peers": result, "passages": figures["this model"]["passages"]}


def _our_tags(corpus: Corpus) -> Bools:
    """The committed out-of-document decisions of the shipping profile's first seed: shape (passages, tags)."""
    lines = (EVALUATION / SHIPPING.profile / "oof.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    tagged = {row["passage"]: row["tags"] for row in rows if row["seed"] == rows[0]["seed"]}
    return np.array([[name in tagged[row.passage] for name in corpus.codebook.names] for row in corpus.gold])


def _logits(peer: Peer, dataset: Any, folds: Sequence[Fold], corpus: Corpus) -> Floats:
    state = load_settings().state / "peers"
    state.mkdir(parents=True, exist_ok=True)
    python = environment(peer.packages, peer.name) / "python"
    texts = [f"{row['context']} {row['text']}".strip() for row in dataset]
    targets = np.nan_to_num(np.array(dataset["targets"], dtype=np.float64)).tolist()
    logits = np.full((len(corpus.gold), len(corpus.codebook.names)), np.nan)
    for fold in folds:
        data = {
            "encoder": find_base_model(FAST.base_model).source,
            "seed": SEED,
            "tags": list(corpus.codebook.names),
            "train": [{"text": texts[index], "targets": targets[index]} for index in fold.train],
            "test": [texts[index] for index in fold.held_out],
        }
        logits[fold.held_out] = _run(peer, python, data, state)
    return logits


def _run(peer: Peer, python: Path, data: dict[str, Any], state: Path) -> list[list[float]]:
    script = FOLDER / peer.script
    text = json.dumps(data)
    key = hashlib.sha256(f"{peer} {script.read_text(encoding='utf-8')} {text}".encode()).hexdigest()[:16]
    source, target = state / f"{key}.in.json", state / f"{key}.out.json"
    if not target.exists():
        source.write_text(text, encoding="utf-8")
        started = time.monotonic()
        variables = {**os.environ, "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
        unfinished = target.with_suffix(".part")
        subprocess.run([str(python), str(script), str(source), str(unfinished)], check=True, env=variables)
        unfinished.rename(target)
        source.unlink()
        print(f"{peer.name}: {len(data['train'])} passages in {time.monotonic() - started:.0f} s", file=sys.stderr, flush=True)
    found: list[list[float]] = json.loads(target.read_text(encoding="utf-8"))
    return found


def _table(figures: dict[str, Any], names: Sequence[str]) -> str:
    lines = [
        f"| | macro-F1 | {' | '.join(names)} | this model is ahead by (95 %, paired) |",
        f"| --- | --- |{' --- |' * len(names)} --- |",
    ]
    for name, one in figures.items():
        ahead = f"{one['ahead_low']:.2f} to {one['ahead_high']:.2f}" if "ahead_low" in one else ""
        lines.append(f"| {name} | {one['macro_f1']:.2f} | {_cells(one, names)} | {ahead} |")
    return "\n".join(lines)


def _cells(figures: dict[str, Any], names: Sequence[str]) -> str:
    return " | ".join(f"{figures['tags'][tag]['f1']:.2f}" for tag in names)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
