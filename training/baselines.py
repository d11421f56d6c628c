"""Baselines that stand beside every figure: none at all, cue words, TF-IDF + LR, frozen encoder + LR.

Each gives logits for the held-out side of a fold from its training side, and is then judged as the model is.
"""

import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.feature_extraction.text import TfidfVectorizer

from training.fit import fit_linear
from training.folds import Fold
from training.metrics import Floats

_CERTAIN = 4.0
"""Logit of a cue word's yes and no."""

# Written from the codebook before any model was trained, by somebody who had read the seeds.
_CUES = {
    "advocacy_call": r"\b(?:call(?:s|ed|ing)? (?:on|upon|for)|urg(?:e|es|ed|ing)|should|must|demand(?:s|ed|ing)?"
    r"|recommend(?:s|ed)?|appeal(?:s|ed)? to|encourage(?:s|d)?|petition|campaign(?:s|ed)? for|lobb(?:y|ies|ied))\b",
    "sanctions_demand": r"\b(?:sanctions?|embargo(?:es)?|boycotts?|divest(?:ment)?|asset freezes?|travel bans?|expel|expulsion"
    r"|suspend(?:s|ed|ing)?|sever(?:s|ed|ing)?|penalt(?:y|ies)|ban (?:on|the import))\b",
    "victim_support_measure": r"\b(?:helplines?|shelters?|counselling|legal aid|compensation|reparations?|witness protection"
    r"|protection orders?|(?:support|assist\w*|protect\w*|help) (?:\w+ ){0,3}(?:victims?|survivors?|witnesses)"
    r"|(?:victims?|survivors?)(?:'s?)? (?:support|rights|assistance|protection|services))\b",
    "historical_case": r"\b(?:massacre|coup|uprising|revolution|protests?|war|murder(?:ed|s)?|killed|genocide|invasion|crisis"
    r"|revolt|assassinat\w+|movement)\b(?=.*\b(?:1[5-9]|20)\d\d\b)|\b(?:1[5-9]|20)\d\d\b(?=.*\b(?:massacre|coup|uprising"
    r"|revolution|protests?|war|murder(?:ed|s)?|killed|genocide|invasion|crisis|revolt|assassinat\w+|movement)\b)",
}


def cue_words(texts: Sequence[str], names: Sequence[str]) -> Floats:
    """Logits of the cue words: shape (passages, tags). It learns nothing, so it has no folds."""
    patterns = [re.compile(_CUES[name], re.IGNORECASE) for name in names]
    return np.array([[_CERTAIN if pattern.search(text) else -_CERTAIN for pattern in patterns] for text in texts])


def none_at_all(texts: Sequence[str], names: Sequence[str]) -> Floats:
    """Logits of a model that never tags: shape (passages, tags)."""
    return np.full((len(texts), len(names)), -_CERTAIN)


def tfidf(texts: Sequence[str], gold: Floats, folds: Sequence[Fold]) -> Floats:
    """Word 1- and 2-grams, sublinear TF-IDF, logistic regression per tag: out-of-fold logits."""

    def features(fold: Fold) -> tuple[Any, Any]:
        vectorizer = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, dtype=np.float32)
        train = vectorizer.fit_transform([texts[index] for index in fold.train])
        return train, vectorizer.transform([texts[index] for index in fold.held_out])

    return _out_of_fold(features, gold, folds, strength=10.0)


def frozen_encoder(embedded: NDArray[np.float32], gold: Floats, folds: Sequence[Fold]) -> Floats:
    """Logistic regression per tag on the frozen encoder's embeddings: out-of-fold logits.

    As in every baseline, rows that no fold holds out (authored passages) train and get no logits (NaN).
    """
    return _out_of_fold(lambda fold: (embedded[fold.train], embedded[fold.held_out]), gold, folds, strength=10.0)


def _out_of_fold(
    features: Callable[[Fold], tuple[Any, Any]],
    gold: Floats,
    folds: Sequence[Fold],
    strength: float,
) -> Floats:
    logits = np.full_like(gold, np.nan)
    for fold in folds:
        train, held_out = features(fold)
        weights, biases = fit_linear(train, gold[fold.train].astype(np.float32), strength)
        logits[fold.held_out] = held_out @ weights.T + biases
    return logits
