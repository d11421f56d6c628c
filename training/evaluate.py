"""Leave-one-document-out evaluation of the shipping recipe, with its baselines.

Reads the labels and the base model; every figure comes from int8 bundles through the serving classifier. Writes
oof.jsonl, metrics.json, decisions.json and report.html; fits are cached in `state/fits`, so a stopped run goes on. What each
fold said is kept in folds.jsonl beside them: folds whose passages and recipe are as they were are not fitted again.

    tagger evaluate                     the default profile, into training/evaluation/PROFILE, and the table in README.md
    tagger evaluate --profile fast      another profile
    tagger evaluate --output FOLDER     elsewhere, README.md untouched; what the committed folds said is read all the same
    tagger evaluate --figures           no fit: figures and tables again from the committed logits, when only these have changed
"""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from labels.adjudication import GoldRow
from labels.annotations import text_sha256
from labels.authored import AuthoredPassage, load_authored
from labels.corpus import Corpus, load_corpus
from labels.problems import CorpusError
from serving.settings import load_settings
from training.assessment import Assessed, ahead_of, assess, decide_out_of_document, final_review, untaught
from training.base_model import BaseModel, BaseModelError, find_base_model
from training.baselines import cue_words, frozen_encoder, none_at_all, tfidf
from training.dataset import encode_dataset
from training.decisions import fit_decisions
from training.evidence import carrying_sentences
from training.export import ParityError
from training.fit import embeddings
from training.folds import document_folds, random_folds
from training.kept import remembered
from training.learning_curve import learning_curve
from training.locking import NoSpaceError, exclusive
from training.metrics import Floats
from training.network import Tagger, prepared
from training.out_of_fold import out_of_fold_logits
from training.package import encoder_of, fit_key
from training.readme import README, write_block
from training.recipe import PROFILES, SHIPPING, Recipe
from training.report import quality_table, write_report
from training.snapshot import Snapshot, take
from training.standing import EVALUATION, FOLDS, Known, StaleError, compared, evaluation_key, known_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluated:
    """An evaluation in memory."""

    metrics: dict[str, Any]
    decisions: dict[str, Any]
    oof: list[dict[str, Any]]


def main(arguments: list[str]) -> int:
    """Evaluate the shipping recipe; the exit status."""
    parser = argparse.ArgumentParser(prog="tagger evaluate", description="Leave-one-document-out evaluation.")
    parser.add_argument("--profile", choices=PROFILES, default=SHIPPING.profile, help="default: %(default)s")
    parser.add_argument("--output", type=Path, help="folder to write to (default: the profile's committed one)")
    parser.add_argument("--seeds", type=int, default=1, help="fits per fold, each with a seed of its own (default: 1)")
    parser.add_argument(
        "--state", type=Path, default=load_settings().state, help="folder of cached fits (default: %(default)s)"
    )
    parser.add_argument("--figures", action="store_true", help="fit nothing: all again from the committed logits")
    options = parser.parse_args(arguments)
    recipe = PROFILES[options.profile]
    folder = options.output or EVALUATION / recipe.profile
    try:
        with exclusive(options.state):
            corpus = load_corpus()
            authored = load_authored(corpus.codebook, corpus.documents)
            base = find_base_model(recipe.base_model, options.state / "encoders")
            snapshot = take(corpus, authored)
            known = known_of(recipe, base, snapshot.dataset()) if options.figures else None
            keys = set() if known else fold_keys(snapshot, recipe, base, options.seeds)  # figures need no fit
            committed = [] if options.output is None else [EVALUATION / recipe.profile / FOLDS]
            with remembered(folder / FOLDS, options.state / "fits", keys, elsewhere=committed):
                evaluated = evaluate(corpus, authored, recipe, base, options.state, options.seeds, known)
    except (CorpusError, BaseModelError, ParityError, NoSpaceError, StaleError) as error:
        print(f"tagger evaluate: {error}", file=sys.stderr)
        return 1
    write_evaluation(folder, evaluated, corpus)
    table = quality_table(evaluated.metrics)
    if options.output is None:
        write_block(README, f"quality-{recipe.profile}", table)
    print(table)
    return 0


def fold_keys(snapshot: Snapshot, recipe: Recipe, base: BaseModel, seeds: int = 1) -> set[str]:
    """Keys of the fits that an evaluation needs."""
    dataset = snapshot.dataset()
    sides = [dataset.select(fold.train) for fold in snapshot.folds()]
    return {fit_key(one, base, side) for one in _seeded(recipe, seeds) for side in sides}


def evaluate(
    corpus: Corpus,
    authored: Sequence[AuthoredPassage],
    recipe: Recipe,
    base: BaseModel,
    state: Path,
    seeds: int,
    known: Known | None = None,
) -> Evaluated:
    """All figures of a recipe on a corpus; authored passages train and are never scored.

    What is `known` is not fitted again.
    """
    snapshot = take(corpus, authored)
    dataset = snapshot.dataset()
    names = corpus.codebook.names
    passages = len(corpus.gold)
    targets: Floats = np.array(dataset["targets"], dtype=np.float64).reshape(-1, len(names))
    gold, documents = targets[:passages], snapshot.groups()
    folds = snapshot.folds()
    seeds_only = document_folds(documents)
    texts = [f"{row['context']} {row['text']}".strip() for row in dataset]
    embedded = embeddings(
        Tagger(prepared(base.load()), tags=len(names)),
        encode_dataset(dataset, encoder_of(recipe, base)),
        "embedding for the frozen baseline",
    )
    recipes = _seeded(recipe, len(known.logits) if known else seeds)
    if not known:
        for fold in folds:  # both questions while its bundle is there: a fold that has answered one only would be fitted again
            carrying_sentences(corpus, dataset, [fold], recipe, base, state)
            out_of_fold_logits(corpus, dataset, [fold], recipe, base, state)
    logits = known.logits if known else [out_of_fold_logits(corpus, dataset, folds, one, base, state) for one in recipes]
    dealt = random_folds(passages)
    rules = {"no tags at all": none_at_all(texts[:passages], names), "cue words": cue_words(texts[:passages], names)}
    baselines = {
        "TF-IDF + LR": tfidf(texts, targets, folds)[:passages],
        "TF-IDF + LR, seeds only": tfidf(texts, targets, seeds_only)[:passages],
        "frozen encoder + LR": frozen_encoder(embedded, targets, folds)[:passages],
        "frozen encoder + LR, seeds only": frozen_encoder(embedded, targets, seeds_only)[:passages],
    }
    at_random = {
        "TF-IDF + LR, seeds only": tfidf(texts, targets, dealt)[:passages],
        "frozen encoder + LR, seeds only": frozen_encoder(embedded, targets, dealt)[:passages],
    }
    key = evaluation_key(recipe, base, dataset)
    final = fit_decisions(np.concatenate(logits), np.concatenate([gold] * len(logits)), fits=len(logits))
    beside = {name: ahead_of(logits[0], rows, gold, documents, as_they_are=True) for name, rows in rules.items()}
    beside |= {name: ahead_of(logits[0], rows, gold, documents) for name, rows in baselines.items()}
    metrics = {
        "key": key,
        "recipe": asdict(recipe),
        "seeds": [one.seed for one in recipes],
        "model": assess(logits, gold, documents, names),
        "baselines": {name: assess([rows], gold, documents, names, as_they_are=True) for name, rows in rules.items()}
        | {name: assess([rows], gold, documents, names) for name, rows in baselines.items()},
        "ahead": beside,
        "final_review": final_review(logits[0], gold, final, names),
        "compared": compared(),
        "random_split_macro_f1": {name: assess([rows], gold, documents, names)["macro_f1"] for name, rows in at_random.items()},
        "learning_curve": learning_curve(embedded, targets, list(dataset["document"]), folds),
        "untaught": untaught(gold, documents, names),
        "carrying_sentences": known.carrying if known else carrying_sentences(corpus, dataset, folds, recipe, base, state),
    }
    assessed = [decide_out_of_document(rows, gold, documents) for rows in logits]
    decisions = {
        "key": key,
        "final": asdict(final),
        "without": {name: asdict(found) for name, found in assessed[0].decisions.items()},
    }
    oof = [
        _oof_row(row, one.seed, rows[index], judged, index, names)
        for one, rows, judged in zip(recipes, logits, assessed, strict=True)
        for index, row in enumerate(corpus.gold)
    ]
    return Evaluated(metrics=metrics, decisions=decisions, oof=oof)


def write_evaluation(folder: Path, evaluated: Evaluated, corpus: Corpus) -> None:
    """Write the four files."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in (("metrics.json", evaluated.metrics), ("decisions.json", evaluated.decisions)):
        (folder / name).write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")
    lines = "".join(json.dumps(row) + "\n" for row in evaluated.oof)
    (folder / "oof.jsonl").write_text(lines, encoding="utf-8")
    write_report(folder / "report.html", evaluated.metrics, evaluated.oof, corpus, EVALUATION / "screening.jsonl")


def _seeded(recipe: Recipe, seeds: int) -> list[Recipe]:
    return [replace(recipe, seed=recipe.seed + number) for number in range(seeds)]


def _oof_row(row: GoldRow, seed: int, logits: Floats, assessed: Assessed, index: int, names: Sequence[str]) -> dict[str, Any]:
    return {
        "passage": row.passage,
        "document": row.document,
        "text_sha256": text_sha256(row.text),
        "seed": seed,
        "logits": [round(float(value), 5) for value in logits],
        "scores": [round(float(value), 5) for value in assessed.scores[index]],
        "tags": [name for name, holds in zip(names, assessed.tagged[index], strict=True) if holds],
    }
