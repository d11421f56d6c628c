"""Added labels that contradict what was learned so far are doubted, wherever the tag was inverted; honest ones are not."""

from dataclasses import replace

from labels.corpus import Corpus
from serving.classifier import Classifier
from training.dataset import AddedPassage
from training.plausible import doubts_of, problems_of
from training.snapshot import Snapshot, take


def added(corpus: Corpus, document: str, inverted: str | None = None) -> Snapshot:
    """The labels of a seed as a user's document, with a tag inverted; nothing else is known of it."""
    rows = [
        AddedPassage(
            document="new",
            text=row.text,
            context=row.context,
            tags={name: (not holds if name == inverted and holds is not None else holds) for name, holds in row.tags.items()},
        )
        for row in corpus.gold
        if row.document == document
    ]
    return replace(take(replace(corpus, gold=[]), []), added=rows)


def test_a_tag_inverted_in_any_document_is_doubted(full_corpus: Corpus, classifier: Classifier) -> None:
    """Twenty cells: the tag may be frequent, rare or absent in the document."""
    for document in ("000", "001", "002", "003", "004"):
        assert doubts_of(classifier, added(full_corpus, document)) == []
        for name in full_corpus.codebook.names:
            found = doubts_of(classifier, added(full_corpus, document, name))
            assert any(one.startswith(f"{name} in new: the champion agrees with") for one in found), (document, name, found)


def test_small_documents_are_looked_at_together(full_corpus: Corpus, classifier: Classifier) -> None:
    """Five inverted passages in each of many documents."""
    snapshot = added(full_corpus, "001", "historical_case")
    rows = [replace(row, document=f"d{at // 5}") for at, row in enumerate(snapshot.added)]
    [found] = doubts_of(classifier, replace(snapshot, added=rows))
    assert found.startswith("historical_case in all documents added: ")


def test_a_tag_that_nobody_or_everybody_carries_cannot_be_learned(full_corpus: Corpus) -> None:
    """Named, with counts, before anything is trained."""
    snapshot = take(full_corpus, [])
    assert problems_of(snapshot) == []
    taught = [{**tags, "historical_case": False} for tags in snapshot.taught]
    assert problems_of(replace(snapshot, taught=taught)) == [
        "historical_case: 0 of 584 judged passages carry it, so it cannot be learned"
    ]
