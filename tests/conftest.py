"""Shared fixtures: a real (quick) bundle, a classifier, a client. `tiny_*` are small real things, nothing is mocked."""

import importlib.util
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from starlette.testclient import TestClient

from serving.app import create_app
from serving.classifier import Classifier
from serving.settings import Settings

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
    return Settings(state=tmp_path, bundle=quick_bundle, threads=2, canary_seconds=0.05)


@pytest.fixture
def client(service_settings: Settings) -> Iterator[TestClient]:
    """A client of a started service."""
    with TestClient(create_app(service_settings), raise_server_exceptions=False) as found:
        yield found
