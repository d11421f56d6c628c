"""The committed evaluation: where it is, and whether it is that of a given configuration."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from datasets import Dataset

from serving.bundle import Decisions
from training.base_model import BaseModel
from training.metrics import Floats
from training.package import Standing, fit_key
from training.recipe import Recipe

EVALUATION = Path(__file__).parent / "evaluation"
"""A folder a profile: oof.jsonl, metrics.json, decisions.json and folds.jsonl of the committed labels and configuration.

Beside them compared.jsonl, a line for every configuration whose leave-one-document-out figure was looked at in choosing.
"""

FOLDS = "folds.jsonl"
"""What each fold's fit said (`training.kept.remembered`): a fold whose key is as it was need not be fitted again."""


class StaleError(Exception):
    """Raised when the committed evaluation is of another configuration."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What only fits can say."""

    logits: list[Floats]
    """Of each seed, shape (passages, tags)."""
    carrying: dict[str, Any]
    """As `training.evidence.carrying_sentences` gives it."""


def evaluation_key(recipe: Recipe, base: BaseModel, dataset: Dataset) -> str:
    """Hash of the configuration that an evaluation is of: what shapes the fit, and what decides who is in which fold."""
    sides = sorted(zip(dataset["passage"], dataset["document"], (one or "" for one in dataset["mimics"]), strict=True))
    return hashlib.sha256(f"{fit_key(recipe, base, dataset)} {json.dumps(sides)}".encode()).hexdigest()[:16]


def compared() -> int:
    """How many configurations were compared on the leave-one-document-out figure."""
    return len((EVALUATION / "compared.jsonl").read_text(encoding="utf-8").splitlines())


def known_of(recipe: Recipe, base: BaseModel, dataset: Dataset) -> Known:
    """What the committed evaluation of this very configuration holds. Raises StaleError when it is of another."""
    folder = EVALUATION / recipe.profile
    if standing_of(recipe, base, dataset) is None:
        message = f"{folder}: is no evaluation of this configuration; `tagger evaluate` makes one"
        raise StaleError(message)
    metrics = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    rows = [json.loads(line) for line in (folder / "oof.jsonl").read_text(encoding="utf-8").splitlines()]
    logits = [np.array([row["logits"] for row in rows if row["seed"] == seed], dtype=np.float64) for seed in metrics["seeds"]]
    return Known(logits=logits, carrying=metrics["carrying_sentences"])


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
