import io
import signal
import subprocess
import sys

import pytest

from serving import cli


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    """The command `tagger` with these arguments."""
    monkeypatch.setattr(sys, "argv", ["tagger", *arguments])
    return cli.main()


def test_help_lists_the_commands(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Help is asked for (0) or shown because nothing was asked (2)."""
    assert run(monkeypatch, "--help") == 0
    printed = capsys.readouterr().out
    assert all(name in printed for name in ("serve", "score", "train", "evaluate", "labels", "keys"))
    assert run(monkeypatch) == 2


def test_an_unknown_command_is_named(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """A typing error is told, with the commands that there are."""
    assert run(monkeypatch, "trian") == 2
    assert "unknown command 'trian'" in capsys.readouterr().err


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Where the training stack is not installed, the command names its extra."""
    monkeypatch.setitem(sys.modules, "training.train", None)
    assert run(monkeypatch, "train") == 2
    assert 'pip install "passage-tagger[train]"' in capsys.readouterr().err


def test_a_missing_module_of_our_own_is_no_missing_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """For commands of the base install nothing is explained away."""
    monkeypatch.setitem(sys.modules, "serving.keys", None)
    with pytest.raises(ModuleNotFoundError):
        run(monkeypatch, "keys", "list")


@pytest.mark.parametrize(("error", "status"), [(KeyboardInterrupt, 130), (BrokenPipeError, 141)])
def test_interruptions_end_quietly(monkeypatch: pytest.MonkeyPatch, error: type[BaseException], status: int) -> None:
    """Ctrl-C and a closed pipe are no tracebacks."""
    from serving import keys

    def interrupted(arguments: list[str]) -> int:
        raise error

    monkeypatch.setattr(keys, "main", interrupted)
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    handler = signal.getsignal(signal.SIGINT)
    try:
        assert status == run(monkeypatch, "keys", "list")
        assert (
            error is not KeyboardInterrupt or signal.getsignal(signal.SIGINT) == signal.SIG_IGN
        )  # a further one is not traced
    finally:
        signal.signal(signal.SIGINT, handler)


def test_a_wrong_setting_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """A mistake in the environment is one line with its variable."""
    monkeypatch.setenv("TAGGER_THREADS", "many")
    with pytest.raises(SystemExit, match=r"TAGGER_THREADS: Input should be a valid integer.*, not 'many'"):
        run(monkeypatch, "keys", "list")


def test_a_pipe_that_closes_early_is_no_error() -> None:
    """`tagger … | head -1` prints one line and complains about nothing."""
    command = f"{sys.executable} -m serving.cli labels passages seeds/001_ceb99bb30bccfb74.txt | head -1"
    done = subprocess.run(command, shell=True, capture_output=True, text=True, check=True)  # noqa: S602 - a pipe is what is tested
    assert len(done.stdout.splitlines()) == 1
    assert "Traceback" not in done.stderr
