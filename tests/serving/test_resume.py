"""A run that is killed, stopped or runs out of room goes on where it stood, and ends as an undisturbed one does."""

import io
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from serving.batch.command import main

TAGGER = [sys.executable, "-m", "serving.cli", "score"]
ROWS = 600


@pytest.fixture
def inputs(tmp_path: Path, root: Path) -> Path:
    """The seeds, and a table of many passages with a bad row now and then."""
    folder = tmp_path / "inputs"
    folder.mkdir()
    for seed in sorted((root / "seeds").glob("*.txt")):
        shutil.copy(seed, folder)
    rows = [
        json.dumps({"text": f"We urge council number {n} to act against those responsible.", "id": n}) if n % 97 else "broken"
        for n in range(ROWS)
    ]
    (folder / "z.jsonl").write_text("\n".join(rows), encoding="utf-8")
    return folder


def command(bundle: Path, inputs: Path, out: Path, *more: str) -> list[str]:
    """The run that is disturbed."""
    return [*TAGGER, str(inputs), "-o", str(out), "--bundle", str(bundle), *more]


def test_killed_at_any_moment_nothing_is_lost_or_doubled(quick_bundle: Path, inputs: Path, tmp_path: Path, root: Path) -> None:
    """Kill -9 at 20 random moments of runs that go on: the same bytes as without, and no traces."""
    whole = tmp_path / "whole.jsonl"
    started = time.monotonic()
    assert subprocess.run(command(quick_bundle, inputs, whole), cwd=root, check=False, capture_output=True).returncode == 1
    seconds = time.monotonic() - started
    out, chance = tmp_path / "out.jsonl", random.Random(4)  # noqa: S311 - no secret
    killed = went_on = 0
    for _ in range(200):
        process = subprocess.Popen(command(quick_bundle, inputs, out), cwd=root, stderr=subprocess.PIPE)
        try:
            process.wait(chance.uniform(0.3, 0.9) * seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            killed += 1
        went_on += b"goes on after" in process.communicate()[1]
        if out.exists():
            assert out.read_bytes() == whole.read_bytes()
            assert out.with_name("out.documents.jsonl").read_bytes() == whole.with_name("whole.documents.jsonl").read_bytes()
            out.unlink()
            out.with_name("out.documents.jsonl").unlink()
        if killed >= 20 and process.returncode == 1:
            break
    assert killed >= 20
    assert went_on >= 5
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stop_keeps_what_is_done(
    quick_bundle: Path, inputs: Path, tmp_path: Path, root: Path, number: signal.Signals
) -> None:
    """Ctrl-C and SIGTERM end the run after the chunk, say what goes on, and lose nothing."""
    out = tmp_path / "out.csv"
    process = subprocess.Popen(command(quick_bundle, inputs, out), cwd=root, stderr=subprocess.PIPE, text=True)
    progress = tmp_path / ".out.csv.run" / "progress.json"
    signal.signal(signal.SIGINT, signal.default_int_handler)
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and not (progress.exists() and json.loads(progress.read_text())["passages"]):
        time.sleep(0.02)
    process.send_signal(number)
    said = process.communicate(timeout=30)[1]
    assert process.returncode == 130, said
    assert "the same command goes on" in said
    assert not out.exists()
    done = json.loads(progress.read_text(encoding="utf-8"))["passages"]
    again = subprocess.run(command(quick_bundle, inputs, out), cwd=root, capture_output=True, text=True, check=False)
    assert f"goes on after {done} passages" in again.stderr
    assert out.exists()


def begun(bundle: Path, inputs: Path, out: Path, monkeypatch: pytest.MonkeyPatch, *more: str) -> None:
    """A run that was begun and fell over in the middle."""

    def fall(*_: object) -> None:
        message = "stop"
        raise RuntimeError(message)

    with monkeypatch.context() as patch:
        patch.setattr("serving.batch.running.finish", fall)
        with pytest.raises(RuntimeError):
            main([str(inputs), "-o", str(out), "--bundle", str(bundle), *more])


def test_another_model_option_or_input_is_refused(
    quick_bundle: Path, inputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What would mix two runs is refused with what differs and the way out; --restart begins anew."""
    out = tmp_path / "out.jsonl"
    begun(quick_bundle, inputs, out, monkeypatch)
    run = [str(inputs), "-o", str(out), "--bundle", str(quick_bundle)]
    assert main([*run, "--threshold", "advocacy_call:0.9"]) == 2
    assert "options" in (said := capsys.readouterr().err)
    assert "--restart" in said
    (inputs / "new.txt").write_text("New.", encoding="utf-8")
    assert main(run) == 2
    assert f"the input {inputs / 'new.txt'} is new" in capsys.readouterr().err
    (inputs / "new.txt").unlink()
    table = inputs / "z.jsonl"
    before = table.stat().st_mtime_ns
    os.utime(table, ns=(before, before + 1))
    assert main(run) == 2
    assert f"the input {table} has changed" in capsys.readouterr().err
    os.utime(table, ns=(before, before))
    assert main(run) == 1
    assert len(out.read_text(encoding="utf-8").splitlines()) == 584 + ROWS
    begun(quick_bundle, inputs, out, monkeypatch, "--restart")
    assert main([*run, "--no-text", "--restart"]) == 1
    assert "text" not in json.loads(out.read_text(encoding="utf-8").splitlines()[0])


def test_two_runs_of_one_output_do_not_mix(quick_bundle: Path, inputs: Path, tmp_path: Path, root: Path) -> None:
    """The second one is told to wait."""
    out = tmp_path / "out.jsonl"
    first = subprocess.Popen(command(quick_bundle, inputs, out), cwd=root, stderr=subprocess.PIPE)
    while not (tmp_path / ".out.jsonl.run" / "progress.json").exists():
        assert first.poll() is None
        time.sleep(0.02)
    second = subprocess.run(command(quick_bundle, inputs, out), cwd=root, capture_output=True, text=True, check=False)
    first.communicate()
    assert second.returncode == 2
    assert "another run is writing this output" in second.stderr
    assert out.exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root mounts a small disk")
def test_a_full_disk_loses_nothing(quick_bundle: Path, inputs: Path, tmp_path: Path, root: Path) -> None:
    """On a disk without room the run ends with one line; with room again the same command ends it."""
    whole, disk = tmp_path / "whole.jsonl", tmp_path / "disk"
    assert main([str(inputs), "-o", str(whole), "--bundle", str(quick_bundle)]) == 1
    disk.mkdir()
    subprocess.run(
        [
            shutil.which("mount") or "mount",
            "-t",
            "tmpfs",
            "-o",
            f"size={whole.stat().st_size * 7 // 10240}k",
            "tmpfs",
            str(disk),
        ],
        check=True,
    )
    try:
        run = command(quick_bundle, inputs, disk / "out.jsonl")
        first = subprocess.run(run, cwd=root, capture_output=True, text=True, check=False)
        assert first.returncode == 2
        assert "No space left on device" in first.stderr
        assert "the same command goes on from there" in first.stderr
        subprocess.run([shutil.which("mount") or "mount", "-o", "remount,size=20m", str(disk)], check=True)
        second = subprocess.run(run, cwd=root, capture_output=True, text=True, check=False)
        assert second.returncode == 1
        assert (disk / "out.jsonl").read_bytes() == whole.read_bytes()
    finally:
        subprocess.run([shutil.which("umount") or "umount", str(disk)], check=True)


def test_an_output_folder_that_vanishes_is_told(
    quick_bundle: Path, inputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line, status 2, no traceback."""
    from serving.batch import outputs

    folder = tmp_path / "gone"
    folder.mkdir()
    real = outputs.finish

    def vanish(*arguments: Any) -> None:
        shutil.rmtree(folder)
        real(*arguments)

    monkeypatch.setattr("serving.batch.running.finish", vanish)
    assert main([str(inputs), "-o", str(folder / "out.csv"), "--bundle", str(quick_bundle)]) == 2
    assert "No such file or directory" in capsys.readouterr().err


def test_an_input_that_reads_otherwise_than_before_is_refused(
    quick_bundle: Path, inputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Not readable any more when the run goes on, it is no silent loss of the rest; readable again, the run goes on."""
    out = tmp_path / "out.jsonl"
    run = [str(inputs), "-o", str(out), "--bundle", str(quick_bundle)]
    begun(quick_bundle, inputs, out, monkeypatch)
    progress = tmp_path / ".out.jsonl.run" / "progress.json"
    state = json.loads(progress.read_text(encoding="utf-8"))
    rows = (tmp_path / ".out.jsonl.run" / "rows.jsonl").read_bytes().splitlines(keepends=True)
    kept = b"".join(rows[:50])
    progress.write_text(
        json.dumps(
            {
                **state,
                "bytes": len(kept),
                "document": 0,
                "index": 50,
                "passages": 50,
                "rows": 50,
                "failed": 0,
                "complete": False,
            }
        ),
        encoding="utf-8",
    )
    real = Path.open

    def refuse(path: Path, *arguments: Any, **more: Any) -> Any:
        if path.name.startswith("000_"):
            raise PermissionError(13, "Permission denied")
        return real(path, *arguments, **more)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", refuse)
        assert main(run) == 2
    assert "does not read any more as it did" in (said := capsys.readouterr().err)
    assert "--restart" in said
    assert main(run) == 1
    assert out.read_bytes() == b"".join(rows)


def test_a_finished_run_whose_output_is_gone_is_done_again(quick_bundle: Path, inputs: Path, tmp_path: Path) -> None:
    """Killed between the last rename and the cleaning up; then the output is deleted, and wanted again."""
    out = tmp_path / "out.jsonl"
    run = [str(inputs), "-o", str(out), "--bundle", str(quick_bundle)]
    work = tmp_path / ".out.jsonl.run"
    from serving.batch import journal

    remove = journal.Journal.remove
    try:
        journal.Journal.remove = lambda self: None  # type: ignore[method-assign]
        assert main(run) == 1
    finally:
        journal.Journal.remove = remove  # type: ignore[method-assign]
    whole = out.read_bytes()
    assert work.exists()
    assert main(run) == 1
    assert out.read_bytes() == whole
    assert not work.exists()
    try:
        journal.Journal.remove = lambda self: None  # type: ignore[method-assign]
        main([*run, "--restart"])
    finally:
        journal.Journal.remove = remove  # type: ignore[method-assign]
    out.unlink()
    assert main(run) == 1
    assert out.read_bytes() == whole


class Killed(BaseException):
    """In place of SIGKILL."""


@pytest.mark.parametrize("name", ["out.jsonl", "out.csv"])
def test_killed_before_any_rename_or_deletion_the_same_command_ends_well(
    quick_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """While the journal stands the output is never taken for that of somebody else; without it, it is whole."""
    table, folder = tmp_path / "t.jsonl", tmp_path / "outputs"
    table.write_text('{"text": "We urge you."}\nbroken\n', encoding="utf-8")
    out, work = folder / name, folder / f".{name}.run"
    run = [str(table), "-o", str(out), "--bundle", str(quick_bundle)]
    folder.mkdir()
    assert main(run) == 1
    whole = out.read_bytes()
    calls = 0

    def until(most: int, real: Any) -> Any:
        def call(*arguments: Any, **more: Any) -> Any:
            nonlocal calls
            calls += 1
            if calls > most:  # a dead process does nothing more, in no `finally` either
                raise Killed
            return real(*arguments, **more)

        return call

    refused = 0
    for most in range(100):
        shutil.rmtree(folder)
        folder.mkdir()
        calls = 0
        with monkeypatch.context() as patch:
            for one in ("replace", "rename", "unlink", "rmdir"):
                patch.setattr(os, one, until(most, getattr(os, one)))
            try:
                main(run)
                break
            except Killed:
                pass
        ended = out.exists() and not work.exists()
        refused += ended
        assert main(run) == (2 if ended else 1), most
        assert out.read_bytes() == whole
        assert main([*run, "--restart"]) == 1
        assert [path.name for path in folder.iterdir() if path.name.startswith(".")] == []
    assert most > 10
    assert refused < most // 2


def test_a_restart_that_was_stopped_goes_on(
    quick_bundle: Path, inputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without `--restart`: that the old output may go was said when it was begun."""
    out = tmp_path / "out.jsonl"
    out.write_text("old", encoding="utf-8")
    begun(quick_bundle, inputs, out, monkeypatch, "--restart")
    assert out.read_text(encoding="utf-8") == "old"
    assert main([str(inputs), "-o", str(out), "--bundle", str(quick_bundle)]) == 1
    assert f"goes on after {584 + ROWS} passages" in capsys.readouterr().err
    assert len(out.read_text(encoding="utf-8").splitlines()) == 584 + ROWS


def test_an_input_of_a_begun_run_that_is_gone_is_told_as_such(
    quick_bundle: Path, inputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What the run had listed is compared with what it was, not taken for a mistake in the command."""
    out, table = tmp_path / "out.jsonl", inputs / "z.jsonl"
    run = [str(table), "-o", str(out), "--bundle", str(quick_bundle)]
    begun(quick_bundle, table, out, monkeypatch)
    table.rename(tmp_path / "elsewhere")
    assert main(run) == 2
    assert f"the input {table} has changed" in (said := capsys.readouterr().err)
    assert "finish that one, or begin anew with --restart" in said
    assert main([*run, "--restart"]) == 2
    assert f"{table}: no such file or folder" in capsys.readouterr().err
    (tmp_path / "elsewhere").rename(table)
    assert main(run) == 1


def test_standard_input_begins_anew_when_told(quick_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed when all was read, a run only has to be written; `--restart` reads what stands there now."""
    out = tmp_path / "out.jsonl"
    run = ["-", "-o", str(out), "--bundle", str(quick_bundle)]

    def told(text: str, *more: str) -> list[str]:
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BufferedReader(io.BytesIO(text.encode()))))
        assert main([*run, *more]) == 0
        return [json.loads(line)["text"] for line in out.read_text(encoding="utf-8").splitlines()]

    with monkeypatch.context() as patch:
        patch.setattr("serving.batch.journal.Journal.remove", lambda _: None)
        assert told("First.") == ["First."]
        assert told("Second.") == ["First."]
    assert told("Third.", "--restart") == ["Third."]
