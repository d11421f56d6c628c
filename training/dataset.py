"""The labelled passages as a `datasets.Dataset`, and as encoded examples for fitting.

Reads the corpus; writes nothing. Splits are by document and by nothing else.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from datasets import Dataset, Features, List, Value
from numpy.typing import NDArray

from labels.adjudication import GoldRow
from labels.authored import AuthoredPassage
from labels.corpus import Corpus
from labels.store import passage_key
from serving.encoding import Encoded, Encoder
from serving.model_input import model_input

AUTHORED = "authored"
"""What stands in place of a document for a passage that was written for training; it is never held out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """One passage ready to fit on: encoded once, read in every epoch."""

    passage: str
    document: str
    with_context: Encoded
    without_context: Encoded
    targets: NDArray[np.float32]
    """Shape (tags,): 1, 0, or NaN for a tag that was not judged."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AddedPassage:
    """A passage that was labelled since the last review: it trains and is never scored."""

    document: str
    text: str
    context: str
    tags: dict[str, bool | None]


def corpus_dataset(corpus: Corpus, authored: Sequence[AuthoredPassage] = ()) -> Dataset:
    """All gold passages of the corpus, in order, and after them the authored ones."""
    return build_dataset(corpus.gold, corpus.codebook.names, authored)


def build_dataset(
    gold: Sequence[GoldRow],
    names: Sequence[str],
    authored: Sequence[AuthoredPassage] = (),
    added: Sequence[AddedPassage] = (),
) -> Dataset:
    """Gold passages, in order, after them the added ones, then the authored ones.

    Columns: passage, document (`authored` for the last), mimics, text and context as the model reads them, targets.
    """
    rows = [_row(row.passage, row.document, None, row.text, row.context, row.tags, names) for row in gold]
    rows += [
        _row(
            f"{row.document}+{passage_key(row.text, row.context)[:16]}",
            row.document,
            None,
            row.text,
            row.context,
            row.tags,
            names,
        )
        for row in added
    ]
    rows += [_row(row.id, AUTHORED, row.mimics, row.text, row.context, row.tags, names) for row in authored]
    features = Features(
        {
            "passage": Value("string"),
            "document": Value("string"),
            "mimics": Value("string"),
            "text": Value("string"),
            "context": Value("string"),
            "targets": List(Value("float32")),
        }
    )
    return Dataset.from_list(rows, features=features)


def _row(
    passage: str,
    document: str,
    mimics: str | None,
    text: str,
    context: str,
    tags: Mapping[str, bool | None],
    names: Sequence[str],
) -> dict[str, Any]:
    cleaned = model_input(text, context)
    targets = [float("nan") if (holds := tags[name]) is None else float(holds) for name in names]
    place = {"passage": passage, "document": document, "mimics": mimics}
    return {**place, "text": cleaned.text, "context": cleaned.context, "targets": targets}


def encode_dataset(dataset: Dataset, encoder: Encoder) -> list[Example]:
    """Encode each passage once with its context and once without."""
    examples: list[Example] = []
    for row in dataset:
        both = model_input(row["text"], row["context"])
        alone = model_input(row["text"])
        examples.append(
            Example(
                passage=row["passage"],
                document=row["document"],
                with_context=encoder.encode(both),
                without_context=encoder.encode(alone),
                targets=np.array(row["targets"], dtype=np.float32),
            )
        )
    return examples


def softened(examples: Sequence[Example], scores: NDArray[np.float64], weight: float) -> list[Example]:
    """Examples whose targets are moved by `weight` towards a teacher's scores, shape (passages, tags).

    Hinton et al. 2015, "Distilling the Knowledge in a Neural Network". A tag that was not judged stays NaN.
    """
    return [
        replace(example, targets=((1 - weight) * example.targets + weight * row).astype(np.float32))
        for example, row in zip(examples, scores, strict=True)
    ]


def dataset_sha256(dataset: Dataset) -> str:
    """Hash of what a fit reads: passages in order, text, context, targets."""
    digest = hashlib.sha256()
    for row in dataset:
        digest.update(repr([row["passage"], row["text"], row["context"], row["targets"]]).encode())
    return digest.hexdigest()


def positives(dataset: Dataset, names: Sequence[str]) -> dict[str, int]:
    """Positives per tag, `passages`, and how many of these are `authored`."""
    targets = np.array(dataset["targets"], dtype=np.float32).reshape(-1, len(names))
    counts = {name: int(np.nansum(targets[:, index])) for index, name in enumerate(names)}
    return {"passages": len(dataset), "authored": list(dataset["document"]).count(AUTHORED), **counts}
