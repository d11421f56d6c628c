"""Other ways to train a tagger on the same labels: same input, folds, seed and threshold rule, each in its own environment.

make bench-peers         with and without the authored passages; what is done is kept, so a stopped run goes on
"""

import argparse
import json
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np

from benchmarks.peers.measured import Measuring, Peer, out_of_document, workers
from benchmarks.results import finish
from labels.authored import load_authored
from labels.corpus import Corpus, load_corpus
from training.assessment import assess, decide_out_of_document
from training.base_model import find_base_model
from training.dataset import corpus_dataset
from training.folds import document_folds
from training.metrics import Bools, paired_macro_f1
from training.recipe import FAST, SHIPPING
from training.standing import EVALUATION

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


_ORDER = [*((peer, False) for peer in PEERS), *((peer, True) for peer in PEERS)]
"""With the authored passages or without; the slowest comes last."""


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
    with workers() as pool:
        measuring = Measuring(pool, find_base_model(FAST.base_model), names)
        runs = []
        for peer, authored in _ORDER:
            if quick and authored:
                continue
            dataset = corpus_dataset(corpus, load_authored(corpus.codebook, corpus.documents) if authored else ())
            folds = document_folds(list(dataset["document"]), list(dataset["mimics"]))[: 1 if quick else None]
            gold = np.array(dataset["targets"], dtype=np.float64)[: len(corpus.gold)]
            label = peer.name if authored else f"{peer.name}, seeds only"
            runs.append((label, gold, folds, [measuring.logits(peer, dataset, fold) for fold in folds]))
        for label, gold, folds, found in runs:
            logits = out_of_document(folds, found, len(corpus.gold), len(names))
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
