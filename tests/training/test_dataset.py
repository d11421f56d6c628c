import math
from dataclasses import replace

from labels.corpus import Corpus
from training.base_model import BaseModel
from training.dataset import corpus_dataset, dataset_sha256, encode_dataset, positives
from training.folds import document_folds, random_folds
from training.package import encoder_of
from training.recipe import Recipe


def test_rows_are_what_the_model_reads(full_corpus: Corpus) -> None:
    """One row a gold passage, in order, text and context cleaned, a target a tag."""
    dataset = corpus_dataset(full_corpus)
    assert [row.passage for row in full_corpus.gold] == list(dataset["passage"])
    assert positives(dataset, full_corpus.codebook.names) == {
        "passages": 584,
        "authored": 0,
        "advocacy_call": 185,
        "sanctions_demand": 24,
        "victim_support_measure": 48,
        "historical_case": 44,
    }
    assert not any(text.startswith("•") for text in dataset["text"])


def test_a_tag_that_was_not_judged_is_no_negative(full_corpus: Corpus) -> None:
    """Null becomes NaN and is left out of the counts."""
    first = full_corpus.gold[0]
    unjudged = replace(first, tags=first.tags | {"advocacy_call": None})
    dataset = corpus_dataset(replace(full_corpus, gold=[unjudged]))
    assert math.isnan(dataset[0]["targets"][0])
    assert positives(dataset, full_corpus.codebook.names)["advocacy_call"] == 0


def test_the_hash_moves_with_text_context_and_target(full_corpus: Corpus) -> None:
    """What a fit reads is what is hashed."""
    rows = full_corpus.gold[:50]
    hashes = {
        dataset_sha256(corpus_dataset(replace(full_corpus, gold=changed)))
        for changed in (
            rows,
            [replace(rows[0], text="other"), *rows[1:]],
            [replace(rows[0], context="other"), *rows[1:]],
            [replace(rows[0], tags=rows[0].tags | {"historical_case": True}), *rows[1:]],
            rows[::-1],
        )
    }
    assert len(hashes) == 5


def test_examples_are_encoded_with_and_without_context(full_corpus: Corpus, tiny_base: BaseModel, tiny_recipe: Recipe) -> None:
    """No seed passage is cut, and only those with a lead-in differ between both readings."""
    examples = encode_dataset(corpus_dataset(full_corpus), encoder_of(tiny_recipe, tiny_base))
    assert not any(example.with_context.truncated for example in examples)
    longer = [len(example.with_context.ids) > len(example.without_context.ids) for example in examples]
    assert [bool(row.context) for row in full_corpus.gold] == longer


def test_document_folds_never_share_a_document(full_corpus: Corpus) -> None:
    """Each document is held out once, and no document is on both sides."""
    documents = [row.document for row in full_corpus.gold]
    folds = document_folds(documents)
    assert [fold.name for fold in folds] == ["000", "001", "002", "003", "004"]
    assert list(range(len(documents))) == sorted(index for fold in folds for index in fold.held_out)
    for fold in folds:
        assert {fold.name} == {documents[index] for index in fold.held_out}
        assert fold.name not in {documents[index] for index in fold.train}


def test_random_folds_hold_every_passage_out_once() -> None:
    """Five parts of like size, and the same ones each time."""
    folds = random_folds(103)
    assert list(range(103)) == sorted(index for fold in folds for index in fold.held_out)
    assert all(set(fold.train).isdisjoint(fold.held_out) and len(fold.train) + len(fold.held_out) == 103 for fold in folds)
    assert folds == random_folds(103)
