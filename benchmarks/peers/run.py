"""Other ways to train a tagger on the same labels: same input, folds, seed and threshold rule, each in its own environment.

make bench-peers         with and without the authored passages; what is done is kept, so a stopped run goes on

`--kept` trains nothing: after a change of our own model it compares that with what is kept.
"""

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.peers.measured import Measuring, Peer, out_of_document, workers
from benchmarks.results import finish
from labels.authored import load_authored
from labels.corpus import Corpus, load_corpus
from training.assessment import assess, decide_out_of_document
from training.base_model import find_base_model
from training.dataset import corpus_dataset
from training.folds import Fold, document_folds
from training.metrics import Bools, Floats, paired_macro_f1
from training.recipe import FAST, PROFILES
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
    parser.add_argument("--kept", action="store_true", help="train nothing: the table of the peers whose folds are all kept")
    options = parser.parse_args(arguments)
    if options.kept:
        return finish("peers", *kept_table(), quick=False)
    corpus = load_corpus()
    with workers() as pool:
        runs = [*_runs(corpus, Measuring(pool, find_base_model(FAST.base_model), corpus.codebook.names), quick=options.quick)]
        if options.quick:
            scored = {one.label: {"scored": int((~np.isnan(_logits(one, corpus)[:, 0])).sum())} for one in runs}
            return finish("peers", "\n".join(scored), {"peers": scored}, quick=True)
        rows = _ours()
        for one in runs:
            rows[one.label] = _beside_ours(one, corpus)
            finish("peers", *_written(rows, corpus.codebook.names), quick=False)  # a stopped run leaves what it has
    return 0


def kept_table() -> tuple[str, dict[str, Any]]:
    """The table, and the figures in it, of the peers whose folds are all kept."""
    corpus = load_corpus()
    runs = _runs(corpus, Measuring(None, find_base_model(FAST.base_model), corpus.codebook.names))
    rows = _ours() | {one.label: _beside_ours(one, corpus) for one in runs if None not in one.found}
    return _written(rows, corpus.codebook.names)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Run:
    """A peer on one of the two training sets."""

    label: str
    folds: list[Fold]
    found: list["Future[list[list[float]]] | None"]


def _runs(corpus: Corpus, measuring: Measuring, *, quick: bool = False) -> Iterator[_Run]:
    for peer, authored in _ORDER:
        if quick and authored:
            continue
        dataset = corpus_dataset(corpus, load_authored(corpus.codebook, corpus.documents) if authored else ())
        folds = document_folds(list(dataset["document"]), list(dataset["mimics"]))[: 1 if quick else None]
        label = peer.name if authored else f"{peer.name}, seeds only"
        yield _Run(label=label, folds=folds, found=[measuring.logits(peer, dataset, fold) for fold in folds])


def _logits(run: _Run, corpus: Corpus) -> Floats:
    found = [one for one in run.found if one is not None]
    return out_of_document(run.folds, found, len(corpus.gold), len(corpus.codebook.names))


def _beside_ours(run: _Run, corpus: Corpus) -> dict[str, Any]:
    """A run's figures, once it is done, and by how much each of our profiles is ahead of it."""
    documents = [row.document for row in corpus.gold]
    gold = np.array(corpus_dataset(corpus)["targets"], dtype=np.float64)
    logits = _logits(run, corpus)
    theirs = decide_out_of_document(logits, gold, documents).tagged
    pairs = {profile: paired_macro_f1(gold, _our_tags(corpus, profile), theirs, documents) for profile in PROFILES}
    ahead = {profile: [round(pair.low, 4), round(pair.high, 4)] for profile, pair in pairs.items()}
    return {**assess([logits], gold, documents, corpus.codebook.names), "ahead": ahead}


def _written(figures: dict[str, Any], names: Sequence[str]) -> tuple[str, dict[str, Any]]:
    result = {
        name: {
            "macro_f1": one["macro_f1"],
            **{tag: one["tags"][tag]["f1"] for tag in names},
            **{key: one[key] for key in ("ahead",) if key in one},
        }
        for name, one in figures.items()
    }
    return _table(figures, names), {"peers": result, "passages": next(iter(figures.values()))["passages"]}


def _ours() -> dict[str, Any]:
    """The committed figures of our profiles."""
    files = {profile: EVALUATION / profile / "metrics.json" for profile in PROFILES}
    return {f"{name}, this project's": json.loads(file.read_text(encoding="utf-8"))["model"] for name, file in files.items()}


def _our_tags(corpus: Corpus, profile: str) -> Bools:
    """The committed out-of-document decisions of a profile's first seed: shape (passages, tags)."""
    lines = (EVALUATION / profile / "oof.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    tagged = {row["passage"]: row["tags"] for row in rows if row["seed"] == rows[0]["seed"]}
    return np.array([[name in tagged[row.passage] for name in corpus.codebook.names] for row in corpus.gold])


def _table(figures: dict[str, Any], names: Sequence[str]) -> str:
    lines = [
        f"| | macro-F1 | {' | '.join(names)} | {' | '.join(f'{one} is ahead by' for one in PROFILES)} |",
        f"| --- | --- |{' --- |' * (len(names) + len(PROFILES))}",
    ]
    for name, one in figures.items():
        pairs = [one.get("ahead", {}).get(profile) for profile in PROFILES]
        ahead = " | ".join("{:+.2f} to {:+.2f}".format(*pair) if pair else "" for pair in pairs)
        lines.append(f"| {name} | {one['macro_f1']:.2f} | {_cells(one, names)} | {ahead} |")
    return "\n".join(lines)


def _cells(figures: dict[str, Any], names: Sequence[str]) -> str:
    return " | ".join(f"{figures['tags'][tag]['f1']:.2f}" for tag in names)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
