"""The committed evaluation: where it is, and whether it is that of a given configuration."""

import hashlib
import json
from pathlib import Path

from datasets import Dataset

from serving.bundle import Decisions
from training.base_model import BaseModel
from training.package import Standing, fit_key
from training.recipe import Recipe

EVALUATION = Path(__file__).parent / "evaluation"
"""A folder a profile: oof.jsonl, metrics.json and decisions.json of the committed labels and configuration."""


def evaluation_key(recipe: Recipe, base: BaseModel, dataset: Dataset) -> str:
    """Hash of the configuration that an evaluation is of."""
    documents = sorted(set(dataset["document"]))
    return hashlib.sha256(f"{fit_key(recipe, base, dataset)} {documents}".encode()).hexdigest()[:16]


def standing_of(recipe: Recipe, base: BaseModel, dataset: Dataset, folder: Path | None = None) -> Standing | None:
    """The decisions and figures of the evaluation in `folder`, or None when it is of another configuration."""
    folder = folder or EVALUATION / recipe.profile
    try:
        decisions = json.loads((folder / "decisions.json").read_text(encoding="utf-8"))
        metrics = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    except OSError:
        return None
    key = evaluation_key(recipe, base, dataset)
    if decisions["key"] != key or metrics["key"] != key:
        return None
    return Standing(decisions=Decisions(**decisions["final"]), metrics=metrics["model"])


def fold_decisions(document: str, folder: Path) -> Decisions:
    """The committed decisions that were fitted without `document`."""
    decisions = json.loads((folder / "decisions.json").read_text(encoding="utf-8"))
    return Decisions(**decisions["without"][document])
