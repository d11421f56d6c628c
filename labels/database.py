"""The one database of a deployment: labels added, aliases of bundles, jobs. SQLite (WAL) by default, PostgreSQL by URL.

Its tables are made and changed by the migrations beside this module (Alembic), applied when it is opened.
"""

import re
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from alembic.util import CommandError
from sqlalchemy import Connection, Engine, create_engine, event, make_url, text
from sqlalchemy.exc import ArgumentError, DBAPIError, DisconnectionError, OperationalError, ProgrammingError
from sqlalchemy.pool import ConnectionPoolEntry, NullPool

HEAD = "0002"
"""The newest migration."""
_MIGRATIONS = Path(__file__).parent / "migrations"
_BUSY_MILLISECONDS = 20_000
_LOCK = 731_500_412
"""Of PostgreSQL's advisory locks the one that `alone` takes."""
_WAITS = {"connect_timeout": 10, "tcp_user_timeout": 30_000, "keepalives_idle": 10, "keepalives_interval": 5}
"""Of a connection to PostgreSQL, in seconds and (the second) milliseconds: a server that hangs is an error, not for ever."""
_DRIVERS = ("sqlite", "sqlite+pysqlite", "postgresql+psycopg")
_FROZEN = "tagger_frozen"
"""Of an engine that can only read: the option that holds the database's name."""


class DatabaseError(Exception):
    """Raised when the database cannot be opened, or be written; the message names it and says why."""


def open_database(url: str) -> Engine:
    """The database at a URL, its tables as this code needs them. Raises DatabaseError."""
    engine = _engine(url)
    if engine.dialect.name == "sqlite":
        if engine.url.database:
            folder = Path(engine.url.database).parent
            try:
                folder.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                message = f"{folder}: cannot be made: {error.strerror}"
                raise DatabaseError(message) from error
            event.listen(engine, "checkout", _still_there)
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
    try:
        if _version(engine) != HEAD:
            _migrate(engine)
    except (DBAPIError, CommandError) as error:  # also sqlite's plain DatabaseError, for a file that is none
        if engine.dialect.name == "sqlite" and "readonly" in str(error) and (frozen := _frozen(engine)):
            return frozen
        message = f"{_name(engine)}: cannot be opened: {_line(getattr(error, 'orig', error))}"
        raise DatabaseError(message) from error
    return engine


@contextmanager
def alone(engine: Engine) -> Iterator[Connection]:
    """A transaction that reads and then writes what it read: no other one of these runs meanwhile, on either database.

    On SQLite it takes the lock at once, since one that asks for it late can only fail. Raises DatabaseError when the database
    may only be read, before anything is done where that is known.
    """
    if name := engine.get_execution_options().get(_FROZEN):
        message = f"{name}: cannot be written: it, or its folder, is readonly for this user; nothing was kept"
        raise DatabaseError(message)
    with _telling(engine), _writing(engine) as connection:
        yield connection


@contextmanager
def changing(engine: Engine) -> Iterator[Connection]:
    """A transaction that writes what it has not read first. Raises DatabaseError when the database may only be read."""
    with _telling(engine), engine.begin() as connection:
        yield connection


@contextmanager
def _telling(engine: Engine) -> Iterator[None]:
    """Raises DatabaseError where the database says that it may only be read."""
    try:
        yield
    except DBAPIError as error:
        # SQLite's words (a file that somebody else's server holds open) and PostgreSQL's (a standby).
        if not re.search("readonly database|read-only transaction", str(error.orig)):
            raise
        message = f"{_name(engine)}: cannot be written: {_line(error.orig)}; nothing was kept"
        raise DatabaseError(message) from error


@contextmanager
def _writing(engine: Engine) -> Iterator[Connection]:
    with engine.connect().execution_options(tagger_writes=True) as connection, connection.begin():
        if engine.dialect.name == "postgresql":
            connection.execute(text(f"SET LOCAL lock_timeout = {_BUSY_MILLISECONDS}"))
            connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
        yield connection


def _engine(url: str) -> Engine:
    """The engine of a URL, not connected yet. Raises DatabaseError for what is no URL of a database that is meant here."""
    try:
        parsed = make_url(url)
        lasting = parsed.get_backend_name() != "sqlite" or parsed.database not in {None, "", ":memory:"}
        if parsed.drivername in _DRIVERS and lasting and "@" not in (parsed.host or ""):  # a password's own is written %40
            known = _WAITS if parsed.get_backend_name() == "postgresql" else {}
            waits = {name: value for name, value in known.items() if name not in parsed.query}
            # Errors are logged, passages are not.
            return create_engine(parsed, pool_pre_ping=True, hide_parameters=True, connect_args=waits)
    except (ArgumentError, ValueError):  # told below; the error's own words may hold the password
        pass
    except ImportError as error:
        why = str(error).partition("\n")[0]
        message = f"{_without_password(url)}: needs the extra `postgres` (pip install -e '.[postgres]'): {why}"
        raise DatabaseError(message) from error
    message = f"{_without_password(url)}: is no database; give sqlite:///PATH or postgresql+psycopg://USER:PASSWORD@HOST/NAME"
    raise DatabaseError(message)


def _without_password(url: str) -> str:
    """A URL, or what was meant to be one, for messages: rather too much is hidden than too little."""
    hidden = re.sub(r":(?!//).*@", ":***@", url, flags=re.DOTALL)
    hidden = re.sub(r"(//[^:/@]*):[^@/]*$", r"\1:***", hidden)
    return re.sub(r"(password=)[^&]*", r"\1***", hidden)


def _name(engine: Engine) -> str:
    """The database in messages: its URL without the password, and without the options, which may hold one too."""
    return engine.url.set(query={}).render_as_string(hide_password=True)


def _line(error: object) -> str:
    return " ".join(str(error).split())


def _prepare_sqlite(connection: Any, _: ConnectionPoolEntry) -> None:
    connection.isolation_level = None  # transactions begin where SQLAlchemy says, see below
    for pragma in ("journal_mode=WAL", "synchronous=FULL", f"busy_timeout={_BUSY_MILLISECONDS}", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}")


def _still_there(connection: Any, record: ConnectionPoolEntry, _: object) -> None:
    """Let a connection go whose file was deleted or replaced: what is written into it nobody would ever see."""
    path = connection.execute("PRAGMA database_list").fetchone()[2]
    try:
        status = Path(path).stat()
        place: tuple[int, int] | None = (status.st_dev, status.st_ino)
    except OSError:
        place = None
    if record.info.setdefault("place", place) != place or place is None:
        message = f"{path}: was deleted or replaced"
        raise DisconnectionError(message)


def _begin_sqlite(connection: Connection) -> None:
    writes = connection.get_execution_options().get("tagger_writes")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _frozen(engine: Engine) -> Engine | None:
    """The database of a folder that this user may not write to, as it stands; None when its tables are of another version."""
    path = Path(engine.url.database or "").absolute()

    def connect() -> sqlite3.Connection:
        # While somebody else has it open there is a log beside it, and read it must be; without one SQLite would make one.
        fixed = "" if path.with_name(f"{path.name}-wal").exists() else "&immutable=1"
        return sqlite3.connect(f"file:{quote(str(path))}?mode=ro{fixed}", uri=True, check_same_thread=False)

    read_only = create_engine("sqlite://", creator=connect, poolclass=NullPool, execution_options={_FROZEN: _name(engine)})
    try:
        return read_only if _version(read_only) == HEAD else None
    except OperationalError:
        return None


def _version(engine: Engine) -> str | None:
    try:
        with engine.connect() as connection:
            return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    except (OperationalError, ProgrammingError) as error:
        if "alembic_version" not in str(error.orig):
            raise
        return None  # a new database


def _migrate(engine: Engine) -> None:
    from alembic import command  # noqa: PLC0415 - only when there is something to change
    from alembic.config import Config  # noqa: PLC0415 - only when there is something to change

    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS))
    with _writing(engine) as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
