from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer

from serving.encoding import Encoder
from serving.model_input import ModelInput, model_input

CLS, SEP = 101, 102


@pytest.fixture(scope="module")
def encoder(quick_bundle: Path) -> Encoder:
    """The quick bundle's tokenizer at the model's length."""
    return Encoder.from_file(quick_bundle / "tokenizer.json", 384)


def test_bundle_tokenizer_neither_cuts_nor_pads(quick_bundle: Path) -> None:
    """The base model's file cuts and pads to 128 tokens; the bundle's does neither."""
    tokenizer = Tokenizer.from_file(str(quick_bundle / "tokenizer.json"))
    assert len(tokenizer.encode("word " * 500).ids) == 502
    assert len(tokenizer.encode("word").ids) == 3


def test_a_cutting_tokenizer_is_taken_over_without_its_cut(quick_bundle: Path) -> None:
    """The encoder takes padding and truncation off whatever it is given."""
    tokenizer = Tokenizer.from_file(str(quick_bundle / "tokenizer.json"))
    tokenizer.enable_truncation(8)
    tokenizer.enable_padding(length=8)
    assert len(Encoder(tokenizer, 384).encode(ModelInput("word " * 50)).ids) == 52


def test_text_alone_is_one_sequence(encoder: Encoder) -> None:
    """[CLS] text [SEP], all of type 0."""
    encoded = encoder.encode(ModelInput("we urge you"))
    assert (encoded.ids[0], encoded.ids[-1]) == (CLS, SEP)
    assert len(encoded.ids) == 5
    assert not encoded.types.any()


def test_context_comes_first_as_a_sequence_of_its_own(encoder: Encoder) -> None:
    """[CLS] context [SEP] text [SEP], the text of type 1."""
    encoded = encoder.encode(ModelInput("act now", "states should:"))
    assert encoded.types.tolist() == [0, 0, 0, 0, 0, 1, 1, 1]
    assert SEP == encoded.ids[4] == encoded.ids[-1]


def test_context_is_cut_before_text_and_from_its_far_end(encoder: Encoder) -> None:
    """A text that nearly fills the model keeps every token; of the context the nearest are kept."""
    encoded = encoder.encode(ModelInput("word " * 378, "alpha beta gamma delta"))
    assert len(encoded.ids) == 384
    assert not encoded.truncated
    assert encoder.encode(ModelInput("x", "gamma delta")).ids[1:3].tolist() == encoded.ids[1:4].tolist()[-2:]
    full = encoder.encode(ModelInput("word " * 382, "alpha beta"))
    assert len(full.ids) == 384
    assert not full.types.any()


def test_a_text_too_long_is_marked(encoder: Encoder) -> None:
    """One token over the limit is told."""
    assert not encoder.encode(ModelInput("word " * 382)).truncated
    assert encoder.encode(ModelInput("word " * 383)).truncated


@given(
    st.lists(st.sampled_from(["Word ", "end. ", "A", "x" * 150, "\n", "漢字", "“Q.” ", ",.;" * 90]), min_size=1, max_size=300)
)
def test_split_pieces_fit_and_lose_nothing(encoder: Encoder, words: list[str]) -> None:
    """Pieces come in order, fit the model, and every character between them is white space."""
    text = "".join(words)
    last = 0
    for start, end in encoder.split(text):
        assert last <= start < end
        assert not text[last:start].strip()
        assert not encoder.encode(model_input(text[start:end])).truncated
        last = end
    assert not text[last:].strip()
