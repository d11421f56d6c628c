"""Databases for tests: a new SQLite file, or a new database of a real PostgreSQL, each by its URL."""

import shutil
import socket
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

_BINARIES = sorted(Path("/usr/lib/postgresql").glob("*/bin"))


def postgresql_is_there() -> bool:
    """Whether Debian's server and the driver are installed (CI installs them)."""
    try:
        import psycopg  # noqa: F401
    except ModuleNotFoundError:
        return False
    return bool(_BINARIES) and shutil.which("runuser") is not None


@contextmanager
def postgresql() -> Iterator[str]:
    """A running PostgreSQL server of its own; its address, to which a database's name is added."""
    binaries = _BINARIES[-1]
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with TemporaryDirectory(prefix="tagger-pg-", dir="/tmp") as name:
        shutil.chown(name, "postgres")
        run = ["runuser", "-u", "postgres", "--"]
        data = f"{name}/data"

        def quietly(*command: str) -> None:
            subprocess.run([*run, *command], check=True, stdout=subprocess.DEVNULL, cwd="/")

        quietly(str(binaries / "initdb"), "-D", data, "-A", "trust", "-N")
        options = f"-p {port} -c listen_addresses=127.0.0.1 -c fsync=off -c unix_socket_directories={name}"
        control = [str(binaries / "pg_ctl"), "-D", data, "-l", f"{name}/log", "-w"]
        quietly(*control, "-o", options, "start")
        try:
            yield f"postgresql+psycopg://postgres@127.0.0.1:{port}/"
        finally:
            quietly(*control, "-m", "immediate", "stop")


@pytest.fixture(scope="session")
def postgresql_address() -> Iterator[str]:
    """One server for all tests."""
    if not postgresql_is_there():
        pytest.skip("PostgreSQL or psycopg is missing")  # `make test` asks users for Python alone; .ci/run installs the server
    with postgresql() as address:
        yield address


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A new, empty database of each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'tagger.db'}"
    address = request.getfixturevalue("postgresql_address")
    import psycopg

    name = f"t{abs(hash(request.node.nodeid)) % 10**12}"
    with psycopg.connect(address.replace("+psycopg", "") + "postgres", autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    return f"{address}{name}"


def make_read_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every SQLite database that is opened from now on be one of a folder that this user (root may) may not write to."""

    def refuse(*_: object) -> None:
        message = "attempt to write a readonly database"
        raise sqlite3.OperationalError(message)

    monkeypatch.setattr("labels.database._prepare_sqlite", refuse)
