"""A tiny encoder and a tiny corpus: the whole training path in seconds, with nothing mocked."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from transformers import BertConfig, BertModel

from labels.authored import AuthoredPassage, load_authored
from labels.corpus import Corpus, load_corpus
from training.base_model import BaseModel, find_base_model
from training.recipe import FAST, Recipe


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    """Tiny matrices gain nothing from a second thread, and two busy cores lose much."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def tiny_base(tmp_path_factory: pytest.TempPathFactory) -> BaseModel:
    """A BERT of two narrow layers with random weights and the real tokenizer."""
    folder = tmp_path_factory.mktemp("tiny-encoder")
    torch.manual_seed(0)
    config = BertConfig(hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64, vocab_size=30522)
    BertModel(config).save_pretrained(folder)
    (folder / "tokenizer.json").write_bytes(find_base_model().tokenizer_file.read_bytes())
    return find_base_model(str(folder))


@pytest.fixture(scope="session")
def tiny_recipe(tiny_base: BaseModel) -> Recipe:
    """Two epochs on the tiny encoder."""
    return replace(
        FAST, profile="tiny", base_model=tiny_base.source, epochs=2, encoder_rate=1e-3, head_rate=1e-2, teacher_weight=0.0
    )


@pytest.fixture(scope="session")
def full_corpus() -> Corpus:
    """The committed labels."""
    return load_corpus()


@pytest.fixture(scope="session")
def tiny_corpus(full_corpus: Corpus) -> Corpus:
    """Every fourth passage of the committed labels: all five documents, all four tags."""
    return replace(full_corpus, gold=full_corpus.gold[::4])


@pytest.fixture(scope="session")
def tiny_authored(full_corpus: Corpus) -> list[AuthoredPassage]:
    """Every twentieth authored passage, and some that mimic a seed."""
    rows = load_authored(full_corpus.codebook, full_corpus.documents)
    return [*rows[::20], *[row for row in rows if row.mimics][1:60:3]]


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """A state folder of its own."""
    return tmp_path / "state"
