"""The environment: misspelt settings are told, what the repository itself uses is not."""

from pathlib import Path

import pytest

from serving import settings as module
from serving.settings import Settings, load_settings


@pytest.fixture(autouse=True)
def _nothing_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a process that has just begun."""
    monkeypatch.setattr(module, "_told", set())


def test_a_misspelt_setting_is_told_once(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """With the name that was meant, if one is near; the others hold all the same."""
    monkeypatch.setenv("TAGGER_THREAD", "2")
    monkeypatch.setenv("TAGGER_ZZZ", "2")
    monkeypatch.setenv("TAGGER_MAX_PASSAGES", "7")
    assert load_settings().max_passages == 7
    load_settings()
    first, second = capsys.readouterr().err.splitlines()
    assert first == "tagger: TAGGER_THREAD is no setting and is ignored; did you mean TAGGER_THREADS?"
    assert second == "tagger: TAGGER_ZZZ is no setting and is ignored"


def test_replicas_leave_it_to_their_supervisor(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """One line a server, not one a process."""
    monkeypatch.setenv("TAGGER_THREAD", "2")
    monkeypatch.setenv("TAGGER_REPLICA", "true")
    load_settings()
    assert capsys.readouterr().err == ""


def test_known_names_are_not_told(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Every setting, small letters too, and the variable of the test run."""
    for name in Settings.model_fields:
        monkeypatch.delenv(f"TAGGER_{name.upper()}", raising=False)
    monkeypatch.setenv("TAGGER_TEST_LIGHT", "1")
    monkeypatch.setenv("tagger_threads", "3")
    monkeypatch.setenv("TAGGER_STATE", "elsewhere")
    found = load_settings()
    assert (found.threads, found.state) == (3, Path("elsewhere"))
    assert capsys.readouterr().err == ""
