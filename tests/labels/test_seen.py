"""Passages kept for labelling, on SQLite and PostgreSQL: once each, most uncertain first, gone when labelled or forgotten."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine, create_engine

from labels.codebook import load_codebook
from labels.database import DatabaseError, open_database
from labels.seen import MAX_DOCUMENT, SeenPassage, count_waiting, forget, keep, labelled, waiting
from labels.store import LabelStore, NewLabel


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    """A new database."""
    found = open_database(database_url)
    yield found
    found.dispose()


def passage(
    text: str, uncertainty: float = 0.6, document: str = "one", context: str = "", bundle: str = "fast-1"
) -> SeenPassage:
    """A passage with a score."""
    scores = {"advocacy_call": uncertainty / 2}
    return SeenPassage(document=document, text=text, context=context, scores=scores, uncertainty=uncertainty, bundle=bundle)


def texts(engine: Engine, *, most: int = 100, of_document: int = 100, document: str | None = None) -> list[str]:
    """The texts of the passages that wait."""
    return [one.text for one in waiting(engine, most=most, of_document=of_document, document=document)]


def label(text: str, document: str = "one", context: str = "", annotator: str = "anna", *, holds: bool = True) -> NewLabel:
    """A judgement of a passage."""
    return NewLabel(document=document, text=text, context=context, tags={"advocacy_call": holds}, annotator=annotator)


def test_what_is_kept_comes_back(engine: Engine) -> None:
    """Every field, whatever the text holds."""
    odd = passage('  "États"; 日本 🕊\n\tO\'Brien\\ %s :x ', context="Members\nshould:", document="a/b c.pdf")
    keep(engine, [odd])
    assert list(waiting(engine, most=9, of_document=9)) == [odd]


def test_a_passage_is_kept_once_with_its_latest_scores(engine: Engine) -> None:
    """Kept again, in one call or in another, it stays one row; the same text in another place is another passage."""
    keep(engine, [passage("a", 0.6), passage("a", 0.7)])
    keep(engine, [passage("a", 0.9, bundle="fast-2")])
    assert list(waiting(engine, most=9, of_document=9)) == [passage("a", 0.9, bundle="fast-2")]
    keep(engine, [passage("a", document="two"), passage("a", context="States should:")])
    assert count_waiting(engine) == 3


def test_the_most_uncertain_come_first(engine: Engine) -> None:
    """Of equals the one that was kept first; so many, of a document so many, or of one document alone."""
    kept = [passage("b", 0.6), passage("c", 0.9), passage("d", 0.6), passage("e", 0.8), passage("f", 0.7, document="two")]
    keep(engine, kept)
    assert texts(engine) == ["c", "e", "f", "b", "d"]
    assert texts(engine, most=2) == ["c", "e"]
    assert texts(engine, of_document=1) == ["c", "f"]
    assert texts(engine, document="two") == ["f"]
    assert texts(engine, document="three") == []
    assert (count_waiting(engine), count_waiting(engine, "one"), count_waiting(engine, "three")) == (5, 4, 0)


def test_what_has_a_label_does_not_wait(engine: Engine) -> None:
    """Whoever judged it, and however; the same text of another document or with another context waits on."""
    keep(engine, [passage("a"), passage("a", document="two"), passage("a", context="States should:"), passage("b")])
    LabelStore(engine, load_codebook()).add([label("a"), label("b", holds=False)])
    assert count_waiting(engine) == 2
    assert {(one.document, one.context) for one in waiting(engine, most=9, of_document=9)} == {
        ("two", ""),
        ("one", "States should:"),
    }


def test_labelled_passages_are_listed_once_the_latest_first(engine: Engine) -> None:
    """Two annotators and a correction make one passage."""
    store = LabelStore(engine, load_codebook())
    store.add([label("a"), label("b"), label("a", annotator="ben")])
    store.add([label("c"), label("b", holds=False)])
    assert [one.text for one in labelled(engine)] == ["b", "c", "a"]
    assert [one.text for one in labelled(engine, 1)] == ["b"]
    assert labelled(engine)[0].passage == label("b").passage


def test_forgetting_empties_the_table(engine: Engine) -> None:
    """And leaves the labels alone."""
    keep(engine, [passage("a"), passage("b")])
    LabelStore(engine, load_codebook()).add([label("a")])
    assert (forget(engine), forget(engine), count_waiting(engine), len(labelled(engine))) == (2, 0, 0, 1)


def test_a_long_path_is_kept_by_its_end(engine: Engine) -> None:
    """A document's id is no longer than the table allows."""
    keep(engine, [passage("a", document="x" * 400 + "/report.pdf")])
    [one] = waiting(engine, most=9, of_document=9)
    assert (len(one.document), one.document[-10:]) == (MAX_DOCUMENT, "report.pdf")


def test_runs_at_once_keep_each_passage_once(engine: Engine) -> None:
    """Eight threads keep overlapping passages, in other orders: nothing is lost, doubled or locked."""
    problems: list[BaseException] = []

    def work(number: int) -> None:
        try:
            for step in range(10):
                numbers = [(number + step + at) % 40 for at in range(20)]
                keep(engine, [passage(f"text {at}") for at in (numbers if number % 2 else numbers[::-1])])
        except BaseException as error:  # noqa: BLE001 - told below
            problems.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert problems == []
    assert sorted(texts(engine)) == sorted(f"text {at}" for at in range(36))


def test_a_database_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    """One line that names it."""
    path = tmp_path / "tagger.db"
    open_database(f"sqlite:///{path}").dispose()
    engine = create_engine(f"sqlite:///file:{path}?mode=ro&uri=true")
    with pytest.raises(DatabaseError, match=r"tagger\.db.*: cannot be written: .*readonly.*; nothing was kept"):
        keep(engine, [passage("a")])
    engine.dispose()
