"""The label store, on SQLite and on PostgreSQL: append-only, idempotent by key, all or none, one vote an annotator."""

import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import Engine, text

from labels.codebook import load_codebook
from labels.database import open_database
from labels.store import KeyReusedError, LabelsRefusedError, LabelStore, NewLabel
from labels.votes import voted

CALL = NewLabel(
    document="report-1",
    text="We urge the Council to act.",
    tags={"advocacy_call": True, "sanctions_demand": False},
    annotator="maria",
)


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    """A database of each kind."""
    found = open_database(database_url)
    yield found
    found.dispose()


@pytest.fixture
def store(engine: Engine) -> LabelStore:
    """An empty store."""
    return LabelStore(engine, load_codebook())


def test_a_label_comes_back_as_it_was_given(store: LabelStore) -> None:
    """Every field; tags that were not named are not judged."""
    [added] = store.add([replace(CALL, context="States should:", suggested=True, kind="llm", key="k1", source="test")])
    assert added.status == "added"
    [row] = store.current()
    assert (row.document, row.text, row.context, row.annotator) == ("report-1", CALL.text, "States should:", "maria")
    assert row.tags == {
        "advocacy_call": True,
        "sanctions_demand": False,
        "victim_support_measure": None,
        "historical_case": None,
    }
    assert (row.key, row.kind, row.codebook, row.suggested, row.source) == ("k1", "llm", "1.1", True, "test")
    assert row.supersedes is None
    assert row.at.endswith("+00:00")


def test_who_judges_tag_by_tag_takes_nothing_back(store: LabelStore) -> None:
    """A tag that is not named stays as it was; null takes it back; a tag that implies what is now false goes with it."""
    alone = replace(CALL, tags={"historical_case": True}, key="k2")
    assert [one.status for one in store.add([CALL, alone, alone])] == ["added", "changed", "repeated"]
    [row] = store.current()
    assert row.tags == {
        "advocacy_call": True,
        "sanctions_demand": False,
        "victim_support_measure": None,
        "historical_case": True,
    }
    store.add([replace(CALL, tags={"historical_case": None, "sanctions_demand": True, "advocacy_call": True})])
    store.add([replace(CALL, tags={"advocacy_call": False})])
    [row] = store.current()
    assert list(row.tags.values()) == [False, False, None, None]


def test_a_correction_supersedes_and_nothing_is_lost(store: LabelStore) -> None:
    """The annotator's later row counts, names the earlier one, and both are still there; going back is a third row."""
    first = store.add([CALL])[0]
    second = store.add([replace(CALL, tags={"advocacy_call": False})])[0]
    third = store.add([CALL])[0]
    assert [first.status, second.status, third.status] == ["added", "changed", "changed"]
    assert [row.supersedes for row in store.rows()] == [None, first.id, second.id]
    assert [row.tags["advocacy_call"] for row in store.current()] == [True]
    assert store.add([CALL])[0].status == "unchanged"
    assert store.count() == store.newest() == 3


def test_other_annotators_contexts_and_documents_do_not_supersede(store: LabelStore) -> None:
    """A vote is an annotator's, of a passage, which is text and context within a document."""
    others = [replace(CALL, annotator="li"), replace(CALL, context="States should:"), replace(CALL, document="report-2")]
    assert [one.status for one in store.add([CALL, *others])] == ["added"] * 4
    assert len(store.current()) == 4


def test_a_known_key_adds_nothing(store: LabelStore) -> None:
    """Sent again, also later on and from elsewhere, it is the same row."""
    keyed = replace(CALL, key="k1")
    first = store.add([keyed])[0]
    store.add([replace(CALL, tags={"advocacy_call": False})])
    again = store.add([replace(keyed, source="elsewhere")])[0]
    assert (again.status, again.id) == ("repeated", first.id)
    assert store.count() == 2
    assert [one.status for one in store.add([replace(keyed, key="k2"), replace(keyed, key="k2")])] == ["changed", "repeated"]


def test_a_key_that_stands_for_something_else_is_refused(store: LabelStore) -> None:
    """The message says what differs; nothing of the request is added."""
    store.add([replace(CALL, key="k1")])
    with pytest.raises(KeyReusedError, match="'k1' was used for another label already: its annotator was 'maria'"):
        store.add([replace(CALL, document="other"), replace(CALL, key="k1", annotator="li")])
    assert store.count() == 1


@pytest.mark.parametrize(
    ("change", "field", "message"),
    [
        ({"document": " "}, "document", "is empty"),
        ({"document": "x" * 301}, "document", "has 301 characters, at most 300 are allowed"),
        ({"text": ""}, "text", "is empty"),
        ({"text": "a\0b"}, "text", "NUL"),
        ({"context": "\ud800"}, "context", "surrogate"),
        ({"annotator": ""}, "annotator", "is empty"),
        ({"annotator": "maria "}, "annotator", "begins or ends with a blank, it is 'maria' that is meant"),
        ({"document": "\u00a0x"}, "document", "begins or ends with a blank"),
        ({"kind": "robot"}, "kind", "'robot' is none of human, llm, rule"),
        ({"codebook": "0.9"}, "codebook", "judged by version '0.9', the codebook is '1.1'"),
        ({"tags": {"advocacy": True}}, "tags", "unknown tag 'advocacy' (known: advocacy_call"),
        ({"tags": {"advocacy_call": 1}}, "tags", "advocacy_call: 1 is not true, false or null"),
        ({"tags": {"advocacy_call": None}}, "tags", "no tag was judged"),
        ({"tags": {"sanctions_demand": True}}, "tags", "sanctions_demand holds, so advocacy_call must hold too"),
    ],
)
def test_what_is_not_right_is_refused_whole(store: LabelStore, change: dict[str, object], field: str, message: str) -> None:
    """The index, the field, the value and what is allowed; the good label beside it is not added either."""
    with pytest.raises(LabelsRefusedError) as caught:
        store.add([CALL, replace(CALL, **change)])  # type: ignore[arg-type]  # wrong on purpose
    index, found, text_of = caught.value.problems[0]
    assert (index, found) == (1, field)
    assert message in text_of
    assert store.count() == 0


def test_a_dry_run_says_all_and_adds_nothing(store: LabelStore) -> None:
    """The same statuses as the real one."""
    store.add([CALL])
    new = [CALL, replace(CALL, tags={"advocacy_call": False}), replace(CALL, annotator="li", key="k"), replace(CALL, key="k2")]
    said = [one.status for one in store.add(new, dry=True)]
    assert store.count() == 1
    assert said == [one.status for one in store.add(new)] == ["unchanged", "changed", "added", "changed"]


def test_many_at_once_add_each_label_once(engine: Engine, store: LabelStore) -> None:
    """Eight threads send the same hundred keys: every key is there once, and superseding makes one chain."""
    labels = [replace(CALL, text=f"Passage {number // 2}", key=f"k{number}") for number in range(100)]
    stores = [LabelStore(engine, store.codebook) for _ in range(8)]
    threads = [threading.Thread(target=lambda store=one: [store.add([label]) for label in labels]) for one in stores]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    rows = store.rows()
    assert sorted(row.key for row in rows) == sorted(label.key for label in labels)
    assert len(store.current()) == 50
    superseded = [row.supersedes for row in rows if row.supersedes]
    assert len(superseded) == len(set(superseded)) == 50


def test_a_database_of_the_first_version_is_taken_over(tmp_path: Path) -> None:
    """What the registry has written stays when the label tables come."""
    from alembic import command
    from alembic.config import Config

    from labels import database

    url = f"sqlite:///{tmp_path / 'tagger.db'}"
    engine = open_database(url)
    config = Config()
    config.set_main_option("script_location", str(Path(database.__file__).parent / "migrations"))
    with database.alone(engine) as connection:
        config.attributes["connection"] = connection
        command.downgrade(config, "0001")
        connection.execute(text("INSERT INTO aliases (name, bundle) VALUES ('champion', 'b')"))
    engine.dispose()
    again = open_database(url)
    with again.connect() as connection:
        assert connection.execute(text("SELECT bundle FROM aliases")).scalar() == "b"
        assert connection.execute(text("SELECT count(*) FROM labels")).scalar() == 0
    again.dispose()


def test_most_votes_win_and_ties_are_listed(store: LabelStore) -> None:
    """A vote an annotator; a tag with as many for as against is left out; null is no vote; the base has votes too."""
    for annotator, holds in (("a", True), ("b", True), ("c", False)):
        store.add([replace(CALL, annotator=annotator, tags={"advocacy_call": holds, "historical_case": annotator == "a"})])
    store.add([replace(CALL, annotator="d", tags={"historical_case": True})])
    [one] = voted(store.current(), store.codebook.names)
    assert one.tags == {
        "advocacy_call": True,
        "sanctions_demand": None,
        "victim_support_measure": None,
        "historical_case": None,
    }
    assert one.ties == ["historical_case"]
    assert not one.agreed
    base = {(one.document, one.passage): [{"advocacy_call": False}] * 2}
    [with_base] = voted(store.current(), store.codebook.names, base)
    assert with_base.tags["advocacy_call"] is False
