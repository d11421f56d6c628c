"""Which passages are chosen to be labelled next: uncertain ones, unlike each other, of many documents."""

from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from labels.uncertainty import Near
from serving.labelling.choice import POOL, Candidate, chosen, pool


def candidate(text: str, uncertainty: float = 0.8, document: str = "one") -> Candidate:
    """A passage that might be labelled."""
    near = Near(tag="advocacy_call", score=0.5, threshold=0.5, uncertainty=uncertainty)
    return Candidate(document=document, text=text, context="", scores={"advocacy_call": 0.5}, tags=[], near=near, bundle="b")


def texts(candidates: list[Candidate]) -> list[str]:
    """What they say."""
    return [one.text for one in candidates]


def test_the_most_uncertain_unlike_passages_come_first() -> None:
    """A near copy of a passage that is chosen steps behind a surer one that says something else."""
    found = chosen(
        [
            candidate("We urge the Council to impose an arms embargo now", 0.9),
            candidate("We urge the Council to impose an arms embargo today", 0.89),
            candidate("Shelters for survivors are to be opened", 0.5),
        ],
        [],
        3,
        share=1,
    )
    assert [text.split()[0] for text in texts(found)] == ["We", "Shelters", "We"]


def test_what_says_the_same_is_chosen_once() -> None:
    """Case, punctuation and order aside; and not at all when it has a label."""
    rows = [candidate("Act now!"), candidate("now: ACT", document="two"), candidate("Wait and see", 0.1), candidate("Page 3")]
    assert texts(chosen(rows, ["page 3"], 9)) == ["Act now!", "Wait and see"]


def test_what_is_like_a_labelled_passage_comes_later() -> None:
    """The store counts as chosen already."""
    rows = [candidate("impose an arms embargo on the junta", 0.9), candidate("open shelters for survivors", 0.8)]
    assert texts(chosen(rows, [], 2, share=1))[0].startswith("impose")
    assert texts(chosen(rows, ["impose an arms embargo"], 2, share=1))[0].startswith("open")


def test_one_document_does_not_fill_the_queue() -> None:
    """A fifth each, while others have any; when they have not, what is left of it."""
    rows = [candidate(f"word{at} other{at}", 0.9, "long") for at in range(30)]
    rows += [candidate(f"thing{at} matter{at}", 0.2, f"short {at}") for at in range(6)]
    found = chosen(rows, [], 10)
    assert Counter(one.document for one in found)["long"] == 4
    assert [one.document for one in found[:3]] == ["long", "long", "short 0"]
    assert Counter(one.document for one in chosen(rows, [], 20))["long"] == 14
    assert len(chosen(rows[:30], [], 10)) == 10
    assert len(chosen(rows, [], 3)) == 3


@settings(max_examples=60)
@given(
    rows=st.lists(st.tuples(st.text("ab ", max_size=6), st.floats(0, 1), st.sampled_from("xyz")), max_size=25),
    labelled=st.lists(st.text("ab ", max_size=6), max_size=3),
    size=st.integers(1, 12),
)
def test_a_queue_is_as_it_should_be(rows: list[tuple[str, float, str]], labelled: list[str], size: int) -> None:
    """Whatever comes: no more than asked for, no two of the same words, none of a label's, the same each time."""
    candidates = [candidate(text, uncertainty, document) for text, uncertainty, document in rows]
    found = chosen(candidates, labelled, size)
    words = [frozenset(one.text.split()) for one in found]
    assert len(found) <= size
    assert len(set(words)) == len(words)
    assert not {frozenset(text.split()) for text in labelled} & set(words)
    assert found == chosen(candidates, labelled, size)
    useful = {frozenset(one.text.split()) for one in candidates if one.near.uncertainty > 0}
    assert len(found) == min(size, len(useful - {frozenset(text.split()) for text in labelled}))


def test_a_pool_is_the_most_uncertain_of_all() -> None:
    """However many come, and in whatever order; of one document not more than a queue can use."""
    rows = [candidate(f"{at}", (at * 7919 % 20_000) / 20_000, "long" if at % 2 else f"d{at % 50}") for at in range(20_000)]
    found = pool(iter(rows), 10)
    counts = Counter(one.document for one in found)
    assert (len(found), counts["long"]) == (POOL, POOL // 10)
    surest = min(one.near.uncertainty for one in found)
    missing = [one for one in rows if one.document != "long" and one.near.uncertainty > surest]
    assert {id(one) for one in missing} <= {id(one) for one in found}
