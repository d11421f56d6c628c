"""`tagger retrain` and `tagger worker` as one types them: what they say, what they refuse, and jobs taken back."""

import signal
import time
from argparse import Namespace
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn

import pytest
from sqlalchemy import text

from labels.codebook import load_codebook
from labels.database import open_database
from labels.jobs import FAILED, QUEUED, RUNNING, Jobs
from labels.store import LabelStore, NewLabel
from labels.tables import jobs as job_table
from serving.settings import Settings
from tests.databases import make_read_only
from training import job as job_module
from training import worker as module
from training.job import Worker
from training.worker import retrain_now, work


@pytest.fixture
def jobs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Jobs]:
    """The jobs of a state folder, which the commands work on; the process stays as polite as it was."""
    monkeypatch.setenv("TAGGER_STATE", str(tmp_path))
    monkeypatch.delenv("TAGGER_DATABASE", raising=False)
    monkeypatch.setattr(module, "_be_polite", lambda _: None)
    monkeypatch.setattr(module, "_LOOK_SECONDS", 0.01)
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    engine = open_database(Settings(state=tmp_path).database_url)
    yield Jobs(engine)
    engine.dispose()
    for number, handler in before.items():
        signal.signal(number, handler)


def interrupted(*_: object, **__: object) -> NoReturn:
    """Somebody presses Ctrl-C."""
    raise KeyboardInterrupt


def test_an_interrupted_retraining_says_that_its_job_waits(
    jobs: Jobs, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """And how to go on with it or drop it; a worker that is interrupted says the same."""
    monkeypatch.setattr(job_module, "retrain", interrupted)
    for name, command, argument in (("retrain", retrain_now, "--quick"), ("worker", work, "--once")):
        with pytest.raises(KeyboardInterrupt):
            command([argument])
        assert capsys.readouterr().err.splitlines()[-1] == (
            f"tagger {name}: job 1 waits; `tagger worker --once` goes on with it, `tagger worker --drop 1` drops it"
        )
        [job] = jobs.newest()
        assert (job.id, job.state) == (1, QUEUED)


def test_a_job_interrupted_while_it_was_taken_waits_too(
    jobs: Jobs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nobody waits a minute for a worker that has gone; and where the state folder was named, the hint names it."""
    monkeypatch.setattr(LabelStore, "newest", interrupted)
    elsewhere = tmp_path / "elsewhere"
    with pytest.raises(KeyboardInterrupt):
        retrain_now(["--quick", "--state", str(elsewhere)])
    assert f"`tagger worker --drop 1 --state {elsewhere}` drops it" in capsys.readouterr().err
    engine = open_database(Settings(state=elsewhere).database_url)
    [job] = Jobs(engine).newest()
    assert job.state == QUEUED
    engine.dispose()


def test_a_job_is_dropped_by_the_command(jobs: Jobs, capsys: pytest.CaptureFixture[str]) -> None:
    """Without working; what does not wait, or is not there, is told."""
    jobs.ask("retrain", {"profile": "quick", "again": False}, "a")
    assert work(["--drop", "1"]) == 0
    assert capsys.readouterr().err == "tagger worker: job 1 is dropped\n"
    assert jobs.take("w1") is None
    assert work(["--drop", "1"]) == 1
    assert capsys.readouterr().err == "tagger worker: job 1 is dropped; only a job that waits can be dropped\n"
    assert work(["--drop", "9"]) == 1
    assert capsys.readouterr().err == "tagger worker: there is no job 9\n"
    jobs.ask("retrain", {"profile": "quick", "again": False}, "a")
    taken = jobs.take("w1")
    assert taken is not None
    assert work(["--drop", "2"]) == 1
    assert "job 2 is running" in capsys.readouterr().err
    assert jobs.beat(taken)


def test_a_dropped_job_is_not_asked_for_again_by_itself(jobs: Jobs, tmp_path: Path) -> None:
    """A worker that asks by itself waits for other labels, as after a job that was done."""
    engine = open_database(Settings(state=tmp_path).database_url)
    LabelStore(engine, load_codebook()).add(
        [NewLabel(document="d", text="We urge you to act.", tags={"advocacy_call": True}, annotator="maria")]
    )
    engine.dispose()
    jobs.ask("retrain", {"profile": "quick", "again": False}, "tagger worker")
    assert work(["--drop", "1"]) == 0
    assert work(["--once", "--quick", "--every-labels", "1"]) == 0
    assert work(["--once", "--quick", "--every-hours", "0.000001"]) == 0
    assert [job.id for job in jobs.newest()] == [1]


def test_a_retraining_whose_job_is_dropped_ends(
    jobs: Jobs, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It waited for another worker, and somebody dropped what it waited for."""
    jobs.ask("retrain", {"profile": "fast", "again": False}, "a")
    assert jobs.take("w1") is not None
    monkeypatch.setattr("time.sleep", lambda _: jobs.drop(2, who="maria"))
    assert retrain_now(["--quick"]) == 1
    assert "tagger: job 2: dropped by maria" in capsys.readouterr().err
    first = jobs.get(1)
    assert first is not None
    assert first.state == RUNNING


@pytest.mark.parametrize(
    ("command", "arguments", "said"),
    [
        (retrain_now, ["--threads", "0"], "argument --threads: '0' is no whole number from 1 to 256"),
        (work, ["--threads", "x"], "argument --threads: 'x' is no whole number from 1 to 256"),
        (work, ["--once", "--quick"], "--quick and --profile are for what --every-labels or --every-hours asks for"),
        (work, ["--profile", "fast"], "--quick and --profile are for what --every-labels or --every-hours asks for"),
        (work, ["--drop", "1", "--once"], "--drop does no work"),
        (work, ["--drop", "0"], "argument --drop: '0' is no number from 1"),
    ],
)
def test_senseless_arguments_are_refused(
    jobs: Jobs, command: Callable[[list[str]], int], arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """In a line that says what is right."""
    with pytest.raises(SystemExit) as caught:
        command(arguments)
    assert caught.value.code == 2
    assert said in capsys.readouterr().err.splitlines()[-1]


@pytest.mark.usefixtures("jobs")
def test_a_database_that_may_only_be_read_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By both commands, in a line: a worker does not wait for ever."""
    monkeypatch.setenv("TAGGER_STATE", str(tmp_path / "other"))
    url = Settings().database_url
    engine = open_database(url)
    Jobs(engine).ask("retrain", {"profile": "fast", "again": False}, "a")
    engine.dispose()
    make_read_only(monkeypatch)
    for command, arguments in ((retrain_now, ["--quick"]), (work, ["--once"]), (work, ["--drop", "1"])):
        with pytest.raises(SystemExit, match=r"^tagger: sqlite:////.*tagger\.db: cannot be written: .*; nothing was kept$"):
            command(arguments)
    engine = open_database(url)
    assert [job.state for job in Jobs(engine).newest()] == [QUEUED]
    engine.dispose()


def test_a_failed_job_is_not_asked_for_again_without_a_new_label(jobs: Jobs, tmp_path: Path) -> None:
    """Not even an hour later, when what made it fail may have passed; with a new label it is."""
    jobs.ask("retrain", {"profile": "quick", "again": False}, "a")
    taken = jobs.take("w1")
    assert taken is not None
    jobs.end(taken, FAILED, {"error": "x", "labels": 0})
    engine = open_database(Settings(state=tmp_path).database_url)
    with engine.begin() as connection:
        connection.execute(job_table.update().values(heartbeat=time.time() - 4000))
    assert work(["--once", "--quick", "--every-labels", "1"]) == 0
    assert [job.id for job in jobs.newest()] == [1]
    LabelStore(engine, load_codebook()).add(
        [NewLabel(document="d", text="We urge you to act.", tags={"advocacy_call": True}, annotator="maria")]
    )
    deployment = Worker(Settings(state=tmp_path))
    assert module._due(deployment, Namespace(every_labels=1, every_hours=None, quick=True, profile=None))
    deployment.registry.close()
    engine.dispose()


@pytest.mark.parametrize("damage", ["DROP TABLE job_lines", "ALTER TABLE jobs RENAME TO gone"])
def test_a_database_without_its_tables_ends_the_worker(
    jobs: Jobs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: str
) -> None:
    """In one line: no patience brings them back."""

    def damaged(*arguments: object, **options: object) -> NoReturn:
        engine = open_database(Settings(state=tmp_path).database_url)
        with engine.begin() as connection:
            connection.execute(text(damage))
        engine.dispose()
        tell = arguments[2]
        assert callable(tell)
        tell("training")
        pytest.fail("it went on")

    monkeypatch.setattr(job_module, "retrain", damaged)
    jobs.ask("retrain", {"profile": "quick", "again": False}, "a")
    with pytest.raises(SystemExit, match="the database has lost its tables"):
        work(["--once"])


def test_a_job_asked_for_under_a_long_name_is_kept(jobs: Jobs) -> None:
    """Names of keys are of any length; the logs hold 120 characters of them."""
    assert jobs.ask("retrain", {"profile": "quick", "again": False}, "k" * 500).who == "k" * 120
