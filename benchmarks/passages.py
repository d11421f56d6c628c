"""What benchmarks score: the passages of the seeds, in one fixed order that mixes documents and lengths."""

import numpy as np

from labels.documents import load_documents
from labels.passages import Passage, split_passages


def seed_passages() -> list[Passage]:
    """All passages of the five documents."""
    found = [passage for document in load_documents() for passage in split_passages(document.text)]
    return [found[index] for index in np.random.default_rng(0).permutation(len(found))]
