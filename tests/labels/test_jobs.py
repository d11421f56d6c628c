"""Jobs, on SQLite and on PostgreSQL: one at a time, taken over from the dead, and never by two."""

import threading
from collections.abc import Iterator

import pytest
from sqlalchemy import Engine

from labels import jobs as module
from labels.database import open_database
from labels.jobs import DONE, DROPPED, QUEUED, RUNNING, Jobs, NotWaitingError


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    """A database of each kind."""
    found = open_database(database_url)
    yield found
    found.dispose()


def test_a_job_runs_from_asked_to_done(engine: Engine) -> None:
    """Asked, taken, told of, ended; what was asked, who, the steps, the log and the result can be read all the while."""
    jobs = Jobs(engine)
    asked = jobs.ask("retrain", {"profile": "quick"}, "maria")
    assert (asked.state, asked.who, asked.asked) == (QUEUED, "maria", {"profile": "quick"})
    taken = jobs.take("w1")
    assert taken is not None
    assert (taken.id, taken.state, taken.worker) == (asked.id, RUNNING, "w1")
    jobs.tell(taken, "first")
    jobs.tell(taken, "second")
    assert jobs.beat(taken, "at the second step")
    running = jobs.get(asked.id)
    assert running is not None
    assert running.step == "at the second step"
    first, second = jobs.lines(asked.id)
    assert [first[2], second[2]] == ["first", "second"]
    assert jobs.lines(asked.id, after=first[0]) == [second]
    assert jobs.end(taken, DONE, {"promoted": True})
    ended = jobs.last("retrain", {"profile": "quick"})
    assert ended is not None
    assert (ended.state, ended.result, ended.ended is not None) == (DONE, {"promoted": True}, True)
    assert jobs.take("w1") is None
    assert [job.id for job in jobs.newest()] == [asked.id]
    assert jobs.get(999) is None


def test_what_waits_already_is_not_asked_twice(engine: Engine) -> None:
    """The same job is one job until somebody is at it."""
    jobs = Jobs(engine)
    first = jobs.ask("retrain", {"profile": "quick"}, "a")
    assert jobs.ask("retrain", {"profile": "quick"}, "b").id == first.id
    assert jobs.ask("retrain", {"profile": "fast"}, "b").id != first.id
    jobs.take("w1")
    assert jobs.ask("retrain", {"profile": "quick"}, "b").id != first.id


def test_one_at_a_time(engine: Engine) -> None:
    """Eight workers ask at once: one gets the job, and the next job only when that has ended."""
    jobs = Jobs(engine)
    for profile in ("quick", "fast"):
        jobs.ask("retrain", {"profile": profile}, "a")
    got: list[object] = []
    workers = [threading.Thread(target=lambda name=f"w{n}": got.append(jobs.take(name))) for n in range(8)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    taken = [job for job in got if job is not None]
    assert len(taken) == 1
    jobs.end(taken[0], DONE, None)  # type: ignore[arg-type]  # it is a job
    again = jobs.take("w9")
    assert again is not None
    assert again.asked == {"profile": "fast"}


def test_a_dead_workers_job_is_taken_over(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a heartbeat it goes to the next worker, before jobs that wait; the first one, back again, finds it gone."""
    jobs = Jobs(engine)
    first = jobs.ask("retrain", {"profile": "quick"}, "a")
    lost = jobs.take("w1")
    assert lost is not None
    jobs.ask("retrain", {"profile": "fast"}, "a")
    assert jobs.take("w2") is None
    monkeypatch.setattr(module, "DEAD_SECONDS", -1.0)
    taken = jobs.take("w2")
    assert taken is not None
    assert (taken.id, taken.worker) == (first.id, "w2")
    assert not jobs.beat(lost)
    assert not jobs.end(lost, DONE, {"promoted": True})
    now = jobs.get(first.id)
    assert now is not None
    assert (now.state, now.worker) == (RUNNING, "w2")


def test_an_interrupted_job_goes_back(engine: Engine) -> None:
    """Given back, it waits for any worker; a certain one can be asked for."""
    jobs = Jobs(engine)
    first = jobs.ask("retrain", {"profile": "quick"}, "a")
    second = jobs.ask("retrain", {"profile": "fast"}, "a")
    taken = jobs.take("w1", only=second.id)
    assert taken is not None
    assert taken.id == second.id
    jobs.end(taken, QUEUED, None)
    again = jobs.take("w2")
    assert again is not None
    assert again.id == first.id


def test_a_job_that_waits_can_be_taken_back(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is done by nobody, says who dropped it, and counts as the last one of its kind: the same labels ask for no other."""
    jobs = Jobs(engine)
    asked = jobs.ask("retrain", {"profile": "quick"}, "a")
    assert not jobs.drop(asked.id + 1, who="maria")
    assert jobs.drop(asked.id, who="maria", labels=7)
    found = jobs.get(asked.id)
    assert found is not None
    assert (found.state, found.result) == (DROPPED, {"error": "dropped by maria", "labels": 7})
    assert found.ended is not None
    assert [line for _, _, line in jobs.lines(asked.id)] == ["dropped by maria"]
    assert jobs.last("retrain", {"profile": "quick"}) == found
    assert jobs.take("w1") is None
    with pytest.raises(NotWaitingError, match=f"job {asked.id} is dropped; only a job that waits can be dropped"):
        jobs.drop(asked.id, who="maria")

    again = jobs.ask("retrain", {"profile": "quick"}, "a")
    assert again.id != asked.id
    taken = jobs.take("w1")
    assert taken is not None
    with pytest.raises(NotWaitingError, match=f"job {again.id} is running"):
        jobs.drop(again.id, who="maria")
    jobs.end(taken, DONE, {"promoted": True})
    with pytest.raises(NotWaitingError, match=f"job {again.id} is done"):
        jobs.drop(again.id, who="maria")

    lost = jobs.ask("retrain", {"profile": "quick"}, "a")
    taken = jobs.take("w1")
    assert taken is not None
    monkeypatch.setattr(module, "DEAD_SECONDS", -1.0)  # its worker is dead: it waits for the next one
    assert jobs.drop(lost.id, who="maria")
    assert not jobs.beat(taken)
    assert jobs.take("w2") is None


def test_a_job_is_either_taken_or_dropped(engine: Engine) -> None:
    """Four workers and four people at once: one of them gets each job."""
    jobs = Jobs(engine)
    for _ in range(5):
        asked = jobs.ask("retrain", {"profile": "quick"}, "a")
        won: list[str] = []

        def drop(number: int = asked.id, won: list[str] = won) -> None:
            try:
                jobs.drop(number, who="maria")
                won.append("dropped")
            except NotWaitingError:
                pass

        def take(won: list[str] = won) -> None:
            if taken := jobs.take("w1"):
                won.append("taken")
                jobs.end(taken, DONE, None)

        threads = [threading.Thread(target=act) for act in (drop, take) * 4]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(won) == 1
