"""What a run reads: votes joined with the reviewed base, folds that no document and no near copy straddles."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from labels.authored import AuthoredPassage
from labels.corpus import Corpus
from labels.near_copies import near_copies
from labels.store import Label, passage_key
from training.dataset import corpus_dataset, dataset_sha256
from training.folds import document_folds
from training.snapshot import Snapshot, packed, snapshot_sha256, take

ALL: dict[str, bool | None] = {
    "advocacy_call": True,
    "sanctions_demand": False,
    "victim_support_measure": False,
    "historical_case": False,
}


def label(text: str, tags: Mapping[str, bool | None], annotator: str = "a", document: str = "new", context: str = "") -> Label:
    """A row of a store."""
    return Label(
        id=1,
        key=f"{document} {text} {annotator}",
        document=document,
        passage=passage_key(text, context),
        text=text,
        context=context,
        tags={**dict.fromkeys(ALL), **tags},
        annotator=annotator,
        kind="human",
        codebook="1.1",
        suggested=False,
        source="test",
        at="2026-01-01T00:00:00+00:00",
        supersedes=None,
    )


def further(corpus: Corpus, sizes: Mapping[str, int]) -> Corpus:
    """The corpus with reviewed passages of further documents after those of the seeds."""
    rows = [
        replace(
            corpus.gold[0],
            passage=f"{name}#{number}",
            document=name,
            text=f"{name} speaks of matter {number} in its own words",
            context="",
        )
        for name, size in sizes.items()
        for number in range(size)
    ]
    return replace(corpus, gold=[*corpus.gold, *rows])


def test_without_a_store_it_is_the_dataset_and_the_folds_of_the_corpus(
    full_corpus: Corpus, tiny_authored: list[AuthoredPassage]
) -> None:
    """Cached fits and the committed evaluation stay what they are."""
    snapshot = take(full_corpus, tiny_authored)
    dataset = corpus_dataset(full_corpus, tiny_authored)
    assert dataset_sha256(snapshot.dataset()) == dataset_sha256(dataset)
    assert snapshot.folds() == document_folds(list(dataset["document"]), list(dataset["mimics"]))


def test_labels_added_train_and_are_never_scored(full_corpus: Corpus, tiny_authored: list[AuthoredPassage]) -> None:
    """They stand between reviewed and authored passages, on the training side of every fold, on no held-out side."""
    rows = [label(f"The new report asks for thing number {number} at once.", ALL) for number in range(3)]
    snapshot = take(full_corpus, tiny_authored, rows)
    added = {len(full_corpus.gold) + number for number in range(3)}
    assert [snapshot.dataset()[at]["document"] for at in sorted(added)] == ["new"] * 3
    for fold in snapshot.folds():
        assert added <= set(fold.train)
        assert not added & set(fold.held_out)
    assert snapshot_sha256(snapshot) != snapshot_sha256(take(full_corpus, tiny_authored))


def test_added_passages_leave_the_fold_of_their_document_and_of_what_they_copy(full_corpus: Corpus) -> None:
    """Of a seed: never beside it when it is held out; a near copy of a seed's passage: the same."""
    long = next(row for row in full_corpus.gold if row.document == "002" and len(row.text.split()) > 20)
    copy = long.text.replace(long.text.split()[3], "altogether")
    rows = [
        label("A sentence of the first seed that nobody had cut so.", ALL, document="000"),
        label(copy, ALL, document="elsewhere"),
    ]
    snapshot = take(full_corpus, [], rows)
    of_seed, copying = len(full_corpus.gold), len(full_corpus.gold) + 1
    sides = {fold.name: set(fold.train) for fold in snapshot.folds()}
    assert {name for name, train in sides.items() if of_seed not in train} == {"000"}
    assert {name for name, train in sides.items() if copying not in train} == {"002"}


def test_votes_on_a_reviewed_passage_change_what_is_taught_and_not_what_is_measured(full_corpus: Corpus) -> None:
    """Two reviewed annotators outweigh one later opinion; two tie and are listed; three win; gold stays."""
    row = full_corpus.gold[5]
    assert len(row.sources) == 2
    other = {name: not holds for name, holds in row.tags.items()}

    def after(votes: int) -> Snapshot:
        return take(full_corpus, [], [label(row.text, other, f"v{n}", row.document, row.context) for n in range(votes)])

    assert after(1).taught[5] == row.tags
    assert after(2).taught[5] == dict.fromkeys(row.tags)
    assert after(2).ties[0].startswith(f"{row.document} ")
    assert row.text[:20] not in after(2).ties[0]
    assert after(3).taught[5] == other
    assert np.array_equal(after(3).gold(), take(full_corpus, []).gold(), equal_nan=True)
    assert not after(3).added


def test_further_reviewed_documents_share_five_folds_whole(full_corpus: Corpus) -> None:
    """Seeds keep theirs; seven documents are packed into five, about equally, none of them divided."""
    sizes = {"a": 30, "b": 20, "c": 20, "d": 10, "e": 10, "f": 10, "g": 5}
    snapshot = take(further(full_corpus, sizes), [])
    folds = snapshot.folds()
    assert [fold.name for fold in folds][:5] == ["000", "001", "002", "003", "004"]
    assert len(folds) == 10
    for name in sizes:
        rows = {at for at, row in enumerate(snapshot.reviewed) if row.document == name}
        assert sum(rows <= set(fold.held_out) for fold in folds) == 1
        assert all(rows <= set(fold.held_out) or not rows & set(fold.held_out) for fold in folds)
    assert max(len(fold.held_out) for fold in folds[5:]) == 30
    held_out = sorted(at for fold in folds for at in fold.held_out)
    assert held_out == list(range(len(snapshot.reviewed)))


def test_packs_do_not_depend_on_the_order_of_documents() -> None:
    """The same documents make the same packs."""
    sizes = {"a": 3, "b": 3, "c": 9, "d": 1, "e": 2, "f": 2}
    assert packed(Counter(sizes)) == packed(Counter(dict(reversed(sizes.items()))))


def test_near_copies_of_reviewed_further_documents_leave_each_others_folds(full_corpus: Corpus) -> None:
    """A passage that two documents share is never on both sides."""
    corpus = further(full_corpus, {"a": 3, "b": 2})
    at = len(full_corpus.gold)
    corpus.gold[at + 3] = replace(corpus.gold[at + 3], text=corpus.gold[at].text + " again")
    sides = {fold.name: fold for fold in take(corpus, []).folds()}
    for fold in sides.values():
        assert not ({at, at + 3} & set(fold.train) and {at, at + 3} & set(fold.held_out))


def test_who_judges_again_has_one_vote(full_corpus: Corpus) -> None:
    """A reviewed annotator's later row replaces that vote of the base, also without the lead-ins or with other marks."""
    at, row = next((at, row) for at, row in enumerate(full_corpus.gold) if row.context and len(row.text.split()) > 12)
    other = {**row.tags, "historical_case": not row.tags["historical_case"]}
    first, second = row.sources
    one = take(full_corpus, [], [label(row.text, other, first, row.document, row.context)])
    assert one.taught[at] == {**row.tags, "historical_case": None}
    both = [label(f"- {row.text}", other, first, row.document), label(row.text, other, second, row.document, row.context)]
    snapshot = take(full_corpus, [], both)
    assert snapshot.taught[at] == other
    assert not snapshot.added


def test_rows_that_cannot_vote_are_left_out_and_listed(full_corpus: Corpus) -> None:
    """Judged by another codebook, or nothing but marks; votes that contradict the codebook lose the implying tag."""
    rows = [replace(label("A passage of before.", ALL), codebook="0.9"), label("[1]", ALL)]
    snapshot = take(full_corpus, [], rows)
    assert not snapshot.added
    assert ["codebook 0.9" in snapshot.left_out[0], "no text but marks" in snapshot.left_out[1]] == [True, True]
    demand = {**ALL, "sanctions_demand": True}
    neither = {**ALL, "advocacy_call": False}
    votes: list[Mapping[str, bool | None]] = [demand, demand, neither, neither]
    votes += [{"advocacy_call": False, "sanctions_demand": None}, {"sanctions_demand": True}]
    [one] = take(full_corpus, [], [label("Freeze it.", tags, f"a{n}") for n, tags in enumerate(votes)]).added
    assert (one.tags["advocacy_call"], one.tags["sanctions_demand"]) == (False, None)


def test_near_copies_are_told_from_other_texts() -> None:
    """An edited copy is one, so is a piece of a passage, so are two words that are the same; a common beginning is not."""
    texts = [
        "We urge the Council to act on the arms embargo without delay",
        "Page 3",
        "Recommendations",
        "Something else is said here",
        "the arms embargo now and for as long as it takes",
    ]
    long = "We urge the Council to act on the arms embargo now and for as long as it takes, whatever others may say of it later"
    others = ["We urge the Council to act on the arms embargo now", "Page 3", "Page 4", "Nothing of it is said here", long]
    assert near_copies(texts, others) == {0: {0, 4}, 1: {1}, 4: {4}}


def test_what_was_reviewed_is_not_voted_on_again(full_corpus: Corpus) -> None:
    """A store's rows that a review was made from have had their say; a judgement after it is a vote again."""
    gold = replace(full_corpus.gold[3], tags=ALL, sources=["li", "maria"])
    key = (gold.document, passage_key(gold.text, gold.context))
    corpus = replace(
        full_corpus,
        gold=[*full_corpus.gold[:3], gold, *full_corpus.gold[4:]],
        reviewed_at={key: "2026-06-01T12:00:00.000+00:00"},
    )
    no = {**ALL, "advocacy_call": False}
    rows = [
        replace(label(gold.text, no, who, gold.document, gold.context), at=f"2026-06-01T11:59:5{second}.000+00:00")
        for second, who in enumerate(("li", "maria"))
    ]
    assert take(corpus, [], rows).taught[3] == ALL
    assert not take(corpus, [], rows).ties
    of_the_day = replace(corpus, reviewed_at={key: "2026-06-01"})
    assert take(of_the_day, [], rows).taught[3] == ALL
    later = [replace(row, at="2026-06-02T00:00:00.000+00:00") for row in rows]
    assert take(corpus, [], later).taught[3] == no
    assert take(of_the_day, [], later).taught[3] == no


def test_a_tag_that_was_not_judged_again_keeps_its_votes(full_corpus: Corpus) -> None:
    """Who judges one tag of a reviewed passage anew takes nothing back of the others."""
    gold = replace(full_corpus.gold[3], tags=ALL, sources=["li"])
    corpus = replace(full_corpus, gold=[*full_corpus.gold[:3], gold, *full_corpus.gold[4:]])
    row = label(gold.text, {"historical_case": True}, "li", gold.document, gold.context)
    assert take(corpus, [], [row]).taught[3] == {**ALL, "historical_case": True}


def test_what_the_model_reads_alike_is_one_passage(full_corpus: Corpus) -> None:
    """Added twice with other white space or marks it is one row, an annotator's later judgement counts, and two may tie."""
    one, other = "We urge the Council to act on it.", "- We urge  the Council to act on it.\n"
    no = {**ALL, "advocacy_call": False}
    corrected = take(full_corpus, [], [label(one, ALL, "maria"), replace(label(other, no, "maria"), id=2)])
    assert [row.tags for row in corrected.added] == [no]
    tied = take(full_corpus, [], [label(one, ALL, "maria"), label(other, no, "li")])
    assert len(tied.ties) == 1
    assert tied.added[0].tags["advocacy_call"] is None
