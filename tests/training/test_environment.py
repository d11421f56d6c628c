import fcntl
import io
import shutil
import sys
import threading
import time
from pathlib import Path

import pytest

from training import environment
from training.environment import main


@pytest.fixture
def built(tmp_path: Path) -> Path:
    """A folder that counts as built with no extras."""
    folder = tmp_path / "env"
    folder.mkdir()
    (folder / "built-from").write_text(environment._fingerprint(""), encoding="utf-8")
    return folder


def test_what_is_built_is_not_built_again(built: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A second call is over at once and says nothing."""
    assert main([str(built), ""]) == 0
    assert capsys.readouterr().err == ""


def test_other_extras_are_another_environment() -> None:
    """What it is made of is what it is known by."""
    assert environment._fingerprint("") != environment._fingerprint("train")


def test_an_old_python_is_told(built: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """The message names the version that is needed, the one that is there, and the way out."""

    class Old(tuple[int, ...]):
        __slots__ = ()

    monkeypatch.setattr(sys, "version_info", Old((3, 9, 1)))
    assert main([str(built), ""]) == 1
    assert "Python 3.11.5 or newer is needed, this is 3.9.1; try make PYTHON=python3.11" in capsys.readouterr().err


def test_a_full_disk_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Before anything is built."""
    usage = shutil.disk_usage(Path("/"))
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=5))
    assert main([str(tmp_path / "env"), "train"]) == 1
    assert "0.0 GB free" in capsys.readouterr().err
    assert not (tmp_path / "env").exists()


def test_a_build_that_fails_is_not_taken_for_built(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without the stamp the next call starts clean."""
    monkeypatch.setattr(environment, "_ROOT", tmp_path)
    (tmp_path / "pyproject.toml").write_text("no TOML", encoding="utf-8")
    (tmp_path / "constraints.txt").write_text("", encoding="utf-8")
    assert main([str(tmp_path / "env"), ""]) == 1
    assert "pip failed" in capsys.readouterr().err
    assert not (tmp_path / "env" / "built-from").exists()


def test_a_second_build_waits_for_the_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two `make run` at once: one builds, the other says that it waits and then finds it built."""
    folder = tmp_path / "env"
    done: list[int] = []
    said = io.StringIO()  # pytest's own capture loses characters when it is read while another thread writes
    monkeypatch.setattr(sys, "stderr", said)
    with (tmp_path / "env.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        thread = threading.Thread(target=lambda: done.append(main([str(folder), ""])))
        thread.start()
        until = time.monotonic() + 10
        while "waiting for it" not in said.getvalue() and time.monotonic() < until:
            time.sleep(0.01)
        folder.mkdir()
        (folder / "built-from").write_text(environment._fingerprint(""), encoding="utf-8")
    thread.join()
    assert f"another run is building {folder}" in said.getvalue()
    assert done == [0]
