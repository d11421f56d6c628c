"""Screening of recipes: one fit without two documents, scored on them. Cheap enough to try many; never a shipping figure.

    tagger screen accurate epochs=4 encoder_rate=3e-5

Appends a line to training/evaluation/screening.jsonl, from which the report prints its table of tried recipes. The two
documents hold most sanctions demands and historical cases: what a recipe learns of these tags, it learns from authored text.
"""

import argparse
import json
import sys
import time
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from labels.authored import load_authored
from labels.corpus import load_corpus
from labels.problems import CorpusError
from serving.classifier import Classifier
from serving.results import Options, PassageIn
from serving.settings import load_settings
from training.base_model import BaseModelError, find_base_model
from training.dataset import corpus_dataset, dataset_sha256
from training.decisions import sigmoid
from training.export import ParityError
from training.locking import NoSpaceError, exclusive
from training.metrics import Floats, count, macro_f1, pooled_ap
from training.package import fitted_bundle
from training.recipe import PROFILES, Recipe
from training.standing import EVALUATION

HELD_OUT = ("000", "003")
SCREENING = EVALUATION / "screening.jsonl"


def main(arguments: list[str]) -> int:
    """Screen one recipe; the exit status."""
    parser = argparse.ArgumentParser(prog="tagger screen", description="Try a recipe on two held-out documents.")
    parser.add_argument("profile", choices=PROFILES, help="the recipe to start from")
    parser.add_argument("changes", nargs="*", metavar="FIELD=VALUE", help="fields of the recipe to change")
    parser.add_argument("--share", type=float, default=1.0, help="share of the authored passages to train on (default: 1)")
    parser.add_argument(
        "--state", type=Path, default=load_settings().state, help="folder of cached fits (default: %(default)s)"
    )
    options = parser.parse_args(arguments)
    try:
        changes = dict(_change(text) for text in options.changes)
    except ValueError as error:
        parser.error(str(error))
    recipe = replace(PROFILES[options.profile], **changes)
    try:
        with exclusive(options.state):
            found = screen(recipe, options.state, options.share)
    except (CorpusError, BaseModelError, ParityError, NoSpaceError) as error:
        print(f"tagger screen: {error}", file=sys.stderr)
        return 1
    line = json.dumps({"profile": options.profile, "changes": changes, **found})
    with SCREENING.open("a", encoding="utf-8") as file:
        file.write(line + "\n")
    print(line)
    return 0


def screen(recipe: Recipe, state: Path, share: float) -> dict[str, Any]:
    """Figures of one fit on `share` of the authored passages, taken family by family, and all seeds but two."""
    started = time.monotonic()
    corpus = load_corpus()
    authored = load_authored(corpus.codebook, corpus.documents)
    kept = set(_families([row.family for row in authored], share))
    authored = [row for row in authored if row.family in kept]
    dataset = corpus_dataset(corpus, authored)
    sides = zip(dataset["document"], dataset["mimics"], strict=True)
    train = [index for index, side in enumerate(sides) if not set(side) & set(HELD_OUT)]
    side = dataset.select(train)
    base = find_base_model(recipe.base_model, state / "encoders")
    bundle = fitted_bundle(state / "fits", recipe, base, side, corpus.codebook, "+".join(HELD_OUT))
    rows = [row for row in corpus.gold if row.document in HELD_OUT]
    classifier = Classifier.load(bundle)
    try:
        results = classifier.score([PassageIn(text=row.text, context=row.context) for row in rows], Options(long="truncate"))
    finally:
        classifier.close()
    names = corpus.codebook.names
    gold = np.array([[np.nan if row.tags[name] is None else row.tags[name] for name in names] for row in rows], dtype=float)
    return {
        "held_out": list(HELD_OUT),
        "passages": len(train),
        "authored": len(authored),
        "dataset": dataset_sha256(side)[:12],
        **_figures(sigmoid(np.array([result.logits for result in results])), gold, names),
        "seconds": round(time.monotonic() - started),
    }


def _figures(scores: Floats, gold: Floats, names: tuple[str, ...]) -> dict[str, Any]:
    """Average precision of each tag that has positives, F1 at 0.5, and F1 at the one threshold that suits them best."""
    seen = [index for index in range(len(names)) if np.nansum(gold[:, index]) > 0]
    precision = pooled_ap(gold[:, seen], scores[:, seen])
    plain = count(gold[:, seen], scores[:, seen] >= 0.5)  # noqa: PLR2004 - before calibration
    best = max(macro_f1(gold[:, seen], scores[:, seen] >= limit) for limit in np.linspace(0.05, 0.95, 19))
    return {
        "average_precision": {names[index]: round(float(value), 3) for index, value in zip(seen, precision, strict=True)},
        "f1_at_half": {names[index]: round(cell.f1, 3) for index, cell in zip(seen, plain, strict=True)},
        "macro_average_precision": round(float(np.mean(precision)), 3),
        "macro_f1_best_common": round(float(best), 3),
    }


def _families(families: list[str], share: float) -> list[str]:
    """The first `share` of the families in an order that is fixed and mixes the batches."""
    names = sorted(set(families))
    order = np.random.default_rng(0).permutation(len(names))
    return [names[index] for index in order[: round(share * len(names))]]


def _change(text: str) -> tuple[str, Any]:
    name, _, value = text.partition("=")
    kinds = {field.name: str(field.type) for field in fields(Recipe)}
    if name not in kinds or not value:
        message = f"{text!r} is no FIELD=VALUE of a recipe (fields: {', '.join(asdict(PROFILES['fast']))})"
        raise ValueError(message)
    if "bool" in kinds[name]:
        if value not in {"true", "false"}:
            message = f"{name}: {value!r} is neither true nor false"
            raise ValueError(message)
        return name, value == "true"
    if "int" in kinds[name]:
        return name, int(value)
    return name, float(value) if "float" in kinds[name] else value
