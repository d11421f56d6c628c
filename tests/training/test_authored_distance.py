"""No authored passage and no behavioural case is a near copy: of a seed, the codebook, one of the other, another family."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

from labels.authored import load_authored
from labels.corpus import LABELS, Corpus
from serving.model_input import model_input
from training.base_model import find_base_model
from training.dataset import Example
from training.fit import embeddings
from training.network import Tagger, prepared
from training.package import encoder_of
from training.recipe import QUICK

MAX_COSINE = 0.85


def _embedded(texts: list[str]) -> np.ndarray:
    base = find_base_model(QUICK.base_model)
    encoder = encoder_of(QUICK, base)
    encoded = [encoder.encode(model_input(text)) for text in texts]
    none = np.zeros(1, dtype=np.float32)
    examples = [Example(passage="", document="", with_context=one, without_context=one, targets=none) for one in encoded]
    found = embeddings(Tagger(prepared(base.load()), tags=1), examples, "embedding")
    unit: np.ndarray = found / np.linalg.norm(found, axis=1, keepdims=True)
    return unit


def _near(authored: np.ndarray, families: list[str], others: np.ndarray) -> list[tuple[int, int]]:
    """Pairs over the limit; columns are the authored passages, then the others."""
    likeness = authored @ np.concatenate([authored, others]).T
    own = np.array(families)
    likeness[:, : len(own)][own[:, None] == own[None, :]] = 0
    return [(int(one), int(other)) for one, other in np.argwhere(likeness > MAX_COSINE)]


def test_no_authored_passage_is_a_near_copy(full_corpus: Corpus, root: Path) -> None:
    """Cosine in the base encoder, mean-pooled, at most 0.85."""
    authored = load_authored(full_corpus.codebook, full_corpus.documents)
    codebook = (LABELS / "CODEBOOK.md").read_text(encoding="utf-8")
    examples = re.findall(r'"([^"]{15,})"', codebook) + re.split(r"\n\n|\n- ", codebook)
    cases = [json.loads(line) for line in (root / "tests" / "model" / "cases.jsonl").read_text(encoding="utf-8").splitlines()]
    given = [row.text for row in full_corpus.gold] + [text for text in examples if text.strip()]
    asked = [(case["id"], case[key]) for case in cases for key in ("text", "changed") if case.get(key)]
    vectors = _embedded([row.text for row in authored] + given + [text for _, text in asked])
    near = _near(vectors[: len(authored)], [row.family for row in authored], vectors[len(authored) :])
    assert [(authored[one].id, other) for one, other in near] == []
    likeness = vectors[-len(asked) :] @ vectors[len(authored) : len(authored) + len(given)].T
    assert [(asked[one][0], given[other]) for one, other in np.argwhere(likeness > MAX_COSINE)] == []


@pytest.mark.parametrize("families", [["a", "b"], ["a", "a"]])
def test_a_near_copy_is_noticed(families: list[str]) -> None:
    """The check can fail, between families and against the others, and not within a family."""
    texts = ["The dockers of Santos struck in May 1897.", "Dockers in Santos went on strike in May 1897.", "Opening hours"]
    vectors = _embedded([*texts, "The dockers of Santos struck in May 1897!"])
    near = _near(vectors[:2], families, vectors[2:])
    assert ((0, 1) in near) == (families == ["a", "b"])
    assert (0, 3) in near
    assert all(other != 2 for _, other in near)
