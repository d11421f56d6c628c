import io
import sys
import time

import pytest

from serving.progress import progress, rate_shown


def test_lines_with_an_estimate_where_no_terminal_is(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A log gets a line now and then, with what is left."""
    clock = iter(range(0, 1000, 5))
    monkeypatch.setattr(time, "monotonic", lambda: float(next(clock)))
    with progress("training", 10) as advance:
        for _ in range(10):
            advance(1)
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "training …"
    assert lines[1] == "training: 3 of 10 steps, about 35 s left"
    assert lines[-1].startswith("training: done in ")


def test_a_bar_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """A terminal gets a bar with the title."""

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    with progress("training", 2) as advance:
        advance(2)
    assert "training" in terminal.getvalue()


def test_counting_is_silent_where_no_terminal_is(capsys: pytest.CaptureFixture[str]) -> None:
    """A script's log is not filled."""
    with rate_shown("scoring", "passages") as show:
        show(5, 0.5)
    assert capsys.readouterr().err == ""
