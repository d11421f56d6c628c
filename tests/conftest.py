"""Shared fixtures: a real (quick) bundle, a classifier, a client. `tiny_*` are small real things, nothing is mocked."""

import asyncio
import importlib.util
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest
import uvicorn
from hypothesis import HealthCheck, settings
from starlette.testclient import TestClient

from serving.app import create_app
from serving.classifier import Classifier
from serving.connections import Connection
from serving.settings import Settings
from tests.databases import database_url, postgresql_address

__all__ = ["database_url", "postgresql_address"]  # fixtures

ROOT = Path(__file__).parent.parent
TAGGER = [sys.executable, "-m", "serving.cli"]

# Shared machines stall now and then: a slow example is no failure, a wrong one is.
settings.register_profile("tagger", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("tagger")


def pytest_configure() -> None:
    """Without the training stack means without it: the light run fails when torch can be imported."""
    if os.environ.get("TAGGER_TEST_LIGHT") and importlib.util.find_spec("torch"):
        message = "TAGGER_TEST_LIGHT is set, and torch is installed"
        raise pytest.UsageError(message)


_skipped: list[str] = []


def pytest_collectreport(report: pytest.CollectReport) -> None:
    """Note a file that was skipped as a whole."""
    if report.skipped:
        _skipped.append(report.nodeid)


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Note a test that was skipped."""
    if report.skipped:
        _skipped.append(report.nodeid)


def pytest_sessionfinish() -> None:
    """What the light run skips, the next run with everything installed is told to do (.ci/check)."""
    if os.environ.get("TAGGER_TEST_LIGHT"):
        (ROOT / ".skipped").write_text("".join(f"{name}\n" for name in _skipped), encoding="utf-8")


@pytest.fixture(scope="session")
def root() -> Path:
    """The checkout."""
    return ROOT


@pytest.fixture(scope="session")
def quick_bundle() -> Path:
    """The bundle of `tagger train --quick`, made now when it is not there yet."""
    link = ROOT / "state" / "models" / "quick"
    if not link.exists():
        subprocess.run([*TAGGER, "train", "--quick"], cwd=ROOT, check=True)
    return link.resolve()


@pytest.fixture(scope="session")
def classifier(quick_bundle: Path) -> Iterator[Classifier]:
    """The quick bundle, loaded."""
    loaded = Classifier.load(quick_bundle, threads=2)
    yield loaded
    loaded.close()


@pytest.fixture
def service_settings(quick_bundle: Path, tmp_path: Path) -> Settings:
    """Settings of a service on the quick bundle with a state folder of its own."""
    return Settings(state=tmp_path, bundle=quick_bundle, threads=2, canary_seconds=0.05, hang_seconds=60, drain_seconds=0)


@pytest.fixture(scope="session")
def running() -> "Running":
    """Starts real servers in threads, on a port of their own or on `listener`: `with` it one gets the address."""
    return _running


Running = Callable[..., AbstractContextManager[str]]


@contextmanager
def _running(settings: Settings, listener: socket.socket | None = None) -> Iterator[str]:
    server = uvicorn.Server(uvicorn.Config(create_app(settings), port=0, log_config=None, http=Connection))
    thread = threading.Thread(target=server.run, args=([listener] if listener else None,))
    thread.start()
    while not server.started:
        assert thread.is_alive()
        time.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(20)


@pytest.fixture
def small_buffers(monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel takes a few kilobytes of an answer that nobody reads, not the megabytes that it else allows itself."""
    genuine = Connection.connection_made

    def connection_made(self: Connection, transport: asyncio.Transport) -> None:
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8192)
        genuine(self, transport)

    monkeypatch.setattr(Connection, "connection_made", connection_made)


@pytest.fixture
def client(service_settings: Settings) -> Iterator[TestClient]:
    """A client of a started service."""
    with TestClient(create_app(service_settings), raise_server_exceptions=False) as found:
        yield found
