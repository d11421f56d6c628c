"""Opening the database: what is no address of one is told in a line without its password, and what may only be read is."""

import sys
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.exc import OperationalError

from labels.codebook import load_codebook
from labels.database import DatabaseError, alone, open_database
from labels.store import LabelStore, NewLabel
from tests.databases import make_read_only

LABEL = NewLabel(document="d", text="We urge you to act.", tags={"advocacy_call": True}, annotator="maria")


@pytest.mark.parametrize(
    "url",
    [
        "nonsense",
        "sqlite://",
        "sqlite:///:memory:",
        "sqlite:tagger.db",
        "nosuch://host/tagger",
        "postgres://tagger:secret",
        "postgresql+psycopg://tagger:p@secret@host/tagger",
        "mysql://tagger:secret@host/tagger",
        "postgresql://tagger:secret@host/tagger",
        "postgresql+psycopg://tagger:se/cr:et@host:port/tagger",
        "postgresql+psycopg://tagger:secret@host:port/tagger",
        "postgresql+psycopg//tagger:secret@host/tagger",
        "mysql://host/tagger?user=tagger&password=secret",
    ],
)
def test_what_is_no_address_is_told(url: str) -> None:
    """One line: what was given, without its password, and what is allowed."""
    with pytest.raises(DatabaseError) as caught:
        open_database(url)
    said = str(caught.value)
    assert "sqlite:///PATH" in said
    assert "postgresql+psycopg://" in said
    assert said.startswith(url[:6])
    assert "secret" not in said
    assert "cr:et" not in said
    assert "\n" not in said


def test_a_missing_driver_names_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """PostgreSQL without psycopg: what to install, and no password."""
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(
        DatabaseError, match=r"://tagger:\*\*\*@host/tagger: needs the extra `postgres`.*'\.\[postgres\]'"
    ) as caught:
        open_database("postgresql+psycopg://tagger:secret@host/tagger")
    assert "\n" not in str(caught.value)


def test_what_may_only_be_read_is_read_and_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A state folder of somebody else: its labels can be read; a change says what is wrong before anything is done."""
    url = f"sqlite:///{tmp_path / 'tagger.db'}"
    engine = open_database(url)
    LabelStore(engine, load_codebook()).add([LABEL])
    engine.dispose()
    make_read_only(monkeypatch)
    frozen = open_database(url)
    store = LabelStore(frozen, load_codebook())
    assert store.newest() == 1
    with (
        pytest.raises(DatabaseError, match=r"^sqlite:////.*tagger\.db: cannot be written: .*readonly.*; nothing was kept$"),
        alone(frozen),
    ):
        pytest.fail("it was let in")
    frozen.dispose()


def test_what_is_found_to_be_read_only_at_the_first_change_is_told(tmp_path: Path, database_url: str) -> None:
    """As when another user's server holds the file open, or on a standby: the same line, on either database."""
    open_database(database_url).dispose()
    read_only = database_url.replace("sqlite:///", "sqlite:///file:") + "?mode=ro&uri=true"
    if database_url.startswith("postgresql"):
        read_only = f"{database_url}?options=-c%20default_transaction_read_only%3Don"
    engine = create_engine(read_only)
    with engine.connect() as connection:
        assert connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    with pytest.raises(DatabaseError, match=r": cannot be written: .*read-?only.*; nothing was kept$"):
        LabelStore(engine, load_codebook()).add([LABEL])
    engine.dispose()


def test_what_others_write_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By one who may only read, also when they began after it was opened and have it open still."""
    url = f"sqlite:///{tmp_path / 'tagger.db'}"
    open_database(url).dispose()
    with monkeypatch.context() as patched:
        make_read_only(patched)
        frozen = LabelStore(open_database(url), load_codebook())
        assert frozen.newest() == 0
    writer = open_database(url)
    LabelStore(writer, load_codebook()).add([LABEL])
    assert frozen.newest() == 1
    writer.dispose()
    assert frozen.newest() == 1


def test_options_of_an_address_are_not_shown() -> None:
    """They may hold the password; what the driver says is one line."""
    pytest.importorskip("psycopg")
    with pytest.raises(DatabaseError, match="cannot be opened") as caught:
        open_database("postgresql+psycopg://127.0.0.1:1/tagger?user=tagger&password=secret")
    assert "secret" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_no_database_is_told(tmp_path: Path) -> None:
    """In a line that names it."""
    (tmp_path / "tagger.db").write_text("a diary, " * 1000, encoding="utf-8")
    with pytest.raises(DatabaseError, match=r"tagger\.db: cannot be opened: file is not a database"):
        open_database(f"sqlite:///{tmp_path / 'tagger.db'}")


def test_a_file_that_is_replaced_is_noticed(tmp_path: Path) -> None:
    """Labels go into the file that stands there, as after a backup was put back; and into none that is gone."""
    path = tmp_path / "tagger.db"
    engine = open_database(f"sqlite:///{path}")
    store = LabelStore(engine, load_codebook())
    store.add([LABEL])
    other = open_database(f"sqlite:///{tmp_path / 'other.db'}")
    other.dispose()
    for name in ("tagger.db-wal", "tagger.db-shm"):
        (tmp_path / name).unlink(missing_ok=True)
    (tmp_path / "other.db").replace(path)
    assert store.newest() == 0
    store.add([LABEL])
    again = open_database(f"sqlite:///{path}")
    assert LabelStore(again, load_codebook()).newest() == 1
    again.dispose()
    path.unlink()
    with pytest.raises(OperationalError, match="no such table"):
        store.add([LABEL])
    engine.dispose()
