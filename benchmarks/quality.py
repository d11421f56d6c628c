"""How good the shipping recipe is on documents that it has not seen, beside the baselines.

make bench-quality           full run: `tagger evaluate` (cached fits), benchmarks/results/quality.json, table in README.md
make bench-quality QUICK=1   refits one fold of the fastest evaluated profile, fails when the committed out-of-document
                             scores are not reproduced, and computes the shipping profile's figures from its scores;
                             changes nothing
python -m benchmarks.quality --figures
                             no fit: quality.json and the table again from the committed evaluation, as
                             `tagger evaluate --figures` leaves it
Both but the quick run also write the table of the profiles (`benchmarks.trade`).
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.results import finish
from benchmarks.trade import write_trade
from labels.authored import load_authored
from labels.corpus import Corpus, load_corpus
from training.assessment import assess
from training.base_model import find_base_model
from training.dataset import corpus_dataset
from training.decisions import apply_decisions
from training.evaluate import main as evaluate
from training.folds import document_folds
from training.out_of_fold import out_of_fold_logits
from training.recipe import FAST, SHIPPING, Recipe
from training.report import quality_table
from training.standing import EVALUATION, evaluation_key, fold_decisions

QUICK_FOLD = "001"
"""The document whose fold a quick run refits."""
MAX_CHANGED = 0.01
"""Share of decisions that may differ from the committed ones."""


def main(arguments: list[str]) -> int:
    """Measure, print the table, and end with the line RESULT {json}."""
    parser = argparse.ArgumentParser(prog="bench-quality")
    way = parser.add_mutually_exclusive_group()
    way.add_argument("--quick", action="store_true", help="refit one fold, compare, change nothing")
    way.add_argument("--figures", action="store_true", help="fit nothing: from the committed evaluation")
    options = parser.parse_args(arguments)
    quick = options.quick
    corpus = load_corpus()
    extra: dict[str, Any] = {}
    if options.figures:
        metrics = _metrics(SHIPPING)
    elif quick:
        changed = _changed_decisions(corpus)
        if changed > MAX_CHANGED:
            print(f"the committed evaluation is not reproduced: {changed:.1%} of decisions differ", file=sys.stderr)
            return 1
        metrics = {**_metrics(SHIPPING), "model": _from_oof(corpus)}
        extra = {"refitted": QUICK_FOLD, "changed_decisions": round(changed, 4)}
    else:
        if status := evaluate([]):
            return status
        metrics = _metrics(SHIPPING)
    if not quick:
        write_trade()
    peers = {name: figures["macro_f1"] for name, figures in metrics["baselines"].items()}
    result = {
        "macro_f1": metrics["model"]["macro_f1"],
        "best_peer_macro_f1": max(peers.values()),
        "peers": peers,
        "passages": metrics["model"]["passages"],
        "positives": {name: entry["positives"] for name, entry in metrics["model"]["tags"].items()},
        **extra,
    }
    return finish("quality", quality_table(metrics), result, quick=quick, block=f"quality-{SHIPPING.profile}")


def _metrics(recipe: Recipe) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((EVALUATION / recipe.profile / "metrics.json").read_text(encoding="utf-8"))
    return found


def _committed(recipe: Recipe) -> list[dict[str, Any]]:
    with (EVALUATION / recipe.profile / "oof.jsonl").open(encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def _changed_decisions(corpus: Corpus) -> float:
    """Share of the refitted fold's decisions that are not the committed ones."""
    recipe = FAST if (EVALUATION / FAST.profile / "metrics.json").exists() else SHIPPING
    base = find_base_model(recipe.base_model)
    dataset = corpus_dataset(corpus, load_authored(corpus.codebook, corpus.documents))
    if _metrics(recipe)["key"] != evaluation_key(recipe, base, dataset):
        print("the committed evaluation is of another configuration; run `make bench-quality`", file=sys.stderr)
        return 1.0
    [fold] = [fold for fold in document_folds(list(dataset["document"]), list(dataset["mimics"])) if fold.name == QUICK_FOLD]
    with tempfile.TemporaryDirectory() as state:
        logits = out_of_fold_logits(corpus, dataset, [fold], recipe, base, Path(state))[fold.held_out]
    _, tagged = apply_decisions(logits, fold_decisions(QUICK_FOLD, EVALUATION / recipe.profile))
    committed = {row["passage"]: row["tags"] for row in _committed(recipe) if row["seed"] == recipe.seed}
    names = corpus.codebook.names
    wanted = np.array([[name in committed[corpus.gold[index].passage] for name in names] for index in fold.held_out])
    return float((wanted != tagged).mean())


def _from_oof(corpus: Corpus) -> dict[str, Any]:
    """The figures, computed again from the committed out-of-document logits."""
    dataset = corpus_dataset(corpus)
    names = corpus.codebook.names
    gold = np.array(dataset["targets"], dtype=np.float64).reshape(-1, len(names))
    rows = _committed(SHIPPING)
    logits = [
        np.array([row["logits"] for row in rows if row["seed"] == seed]) for seed in dict.fromkeys(row["seed"] for row in rows)
    ]
    return assess(logits, gold, list(dataset["document"]), names)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
