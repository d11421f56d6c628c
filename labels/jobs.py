"""Work that the server asks for and a worker does: rows of the database, one at a time, with a heartbeat and a log.

A job whose worker gave no sign of life for a while is taken by the next one: what it does must be safe to do again.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Engine, select

from labels.database import alone, changing
from labels.tables import WHO_LENGTH, job_lines, jobs

RETRAIN = "retrain"
KINDS = (RETRAIN,)
_LOOKED_BACK = 200
DEAD_SECONDS = 60.0
"""Without a heartbeat for so long a worker is taken to be dead."""
QUEUED, RUNNING, DONE, FAILED, DROPPED = "queued", "running", "done", "failed", "dropped"
ENDED = (DONE, FAILED, DROPPED)


class NotWaitingError(Exception):
    """Raised when a job cannot be taken back any more; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One job."""

    id: int
    kind: str
    asked: Mapping[str, Any]
    """Its options."""
    who: str
    at: str
    """When it was asked for: ISO 8601, UTC."""
    state: str
    """`queued`, `running`, `done`, `failed` or `dropped`."""
    worker: str | None
    started: str | None
    heartbeat: float | None
    """Seconds since 1970."""
    ended: str | None
    step: str | None
    """What it is at."""
    result: Mapping[str, Any] | None


class Jobs:
    """The jobs of one database. Thread-safe; several processes may ask and work."""

    def __init__(self, engine: Engine) -> None:
        """`engine` from `labels.database.open_database`."""
        self._engine = engine

    def ask(self, kind: str, asked: Mapping[str, Any], who: str) -> Job:
        """Put a job into the queue; the one that waits there already when it is the same."""
        with alone(self._engine) as connection:
            for row in connection.execute(select(jobs).where(jobs.c.state == QUEUED, jobs.c.kind == kind)).mappings():
                if row["asked"] == dict(asked):
                    return Job(**row)
            values = {"kind": kind, "asked": dict(asked), "who": who[:WHO_LENGTH], "at": _now(), "state": QUEUED}
            made = connection.execute(jobs.insert().values(**values).returning(jobs.c.id)).scalar_one()
            return _job(connection, made)

    def get(self, number: int) -> Job | None:
        """The job of that id, if there is one."""
        with self._engine.connect() as connection:
            row = connection.execute(select(jobs).where(jobs.c.id == number)).mappings().first()
        return Job(**row) if row else None

    def newest(self, most: int = 50) -> list[Job]:
        """The newest first."""
        with self._engine.connect() as connection:
            return [Job(**row) for row in connection.execute(select(jobs).order_by(jobs.c.id.desc()).limit(most)).mappings()]

    def take(self, worker: str, *, only: int | None = None) -> Job | None:
        """The next job, now this worker's; None when there is none or another worker is at one.

        A running job without a heartbeat goes first: its worker is dead.
        """
        with alone(self._engine) as connection:
            running = connection.execute(select(jobs).where(jobs.c.state == RUNNING).order_by(jobs.c.id)).mappings().all()
            lost = [row for row in running if _is_lost(row)]
            if len(lost) < len(running):
                return None
            chosen = select(jobs.c.id).where(jobs.c.state == QUEUED).order_by(jobs.c.id)
            waiting = [*(row["id"] for row in lost), *connection.execute(chosen).scalars()]
            wanted = [number for number in waiting if only in {None, number}]
            if not wanted:
                return None
            for row in lost:
                if row["id"] != wanted[0]:
                    connection.execute(jobs.update().where(jobs.c.id == row["id"]).values(state=QUEUED, worker=None))
            mine = {"state": RUNNING, "worker": worker, "started": _now(), "heartbeat": time.time()}
            connection.execute(jobs.update().where(jobs.c.id == wanted[0]).values(**mine))
            return _job(connection, wanted[0])

    def drop(self, number: int, *, who: str, labels: int = 0) -> bool:
        """Take back a job that waits, also one whose worker is dead; False when there is no such job.

        `labels` is the id of the latest label: so far a worker that asks by itself takes them as trained on. Raises
        NotWaitingError for a job that somebody is at or that has ended.
        """
        with alone(self._engine) as connection:
            row = connection.execute(select(jobs).where(jobs.c.id == number)).mappings().first()
            if row is None:
                return False
            if row["state"] != QUEUED and not (row["state"] == RUNNING and _is_lost(row)):
                message = f"job {number} is {row['state']}; only a job that waits can be dropped"
                raise NotWaitingError(message)
            why = f"dropped by {who}"
            ended: dict[str, Any] = {"state": DROPPED, "worker": None, "ended": _now()}
            ended |= {"heartbeat": time.time(), "result": {"error": why, "labels": labels}}  # hours are counted from now on
            connection.execute(jobs.update().where(jobs.c.id == number).values(**ended))
            connection.execute(job_lines.insert().values(job=number, at=_now(), line=why))
            return True

    def beat(self, job: Job, step: str | None = None) -> bool:
        """Give a sign of life, and say what is being done; False when the job is this worker's no longer."""
        values: dict[str, Any] = {"heartbeat": time.time()} | ({"step": step[:200]} if step else {})
        with changing(self._engine) as connection:
            mine = jobs.update().where(jobs.c.id == job.id, jobs.c.worker == job.worker, jobs.c.state == RUNNING)
            return bool(connection.execute(mine.values(**values)).rowcount)

    def tell(self, job: Job, line: str) -> None:
        """Add a line to the log of a job."""
        with changing(self._engine) as connection:
            connection.execute(job_lines.insert().values(job=job.id, at=_now(), line=line))

    def lines(self, number: int, after: int = 0, most: int = 1000) -> list[tuple[int, str, str]]:
        """Id, time and text of the lines of a job's log whose id is above `after`."""
        chosen = select(job_lines).where(job_lines.c.job == number, job_lines.c.id > after).order_by(job_lines.c.id).limit(most)
        with self._engine.connect() as connection:
            return [(row["id"], row["at"], row["line"]) for row in connection.execute(chosen).mappings()]

    def end(self, job: Job, state: str, result: Mapping[str, Any] | None) -> bool:
        """Say how a job ended (`queued` gives it back); False when it is this worker's no longer."""
        values: dict[str, Any] = {"state": state, "result": dict(result) if result else None}
        values |= {"worker": None} if state == QUEUED else {"ended": _now()}
        with changing(self._engine) as connection:
            mine = jobs.update().where(jobs.c.id == job.id, jobs.c.worker == job.worker, jobs.c.state == RUNNING)
            return bool(connection.execute(mine.values(**values)).rowcount)

    def last(self, kind: str, asked: Mapping[str, Any]) -> Job | None:
        """The newest job of a kind, asked for with these options among others, that has ended, well or not."""
        chosen = select(jobs).where(jobs.c.kind == kind, jobs.c.state.in_(ENDED)).order_by(jobs.c.id.desc())
        with self._engine.connect() as connection:
            rows = connection.execute(chosen.limit(_LOOKED_BACK)).mappings()
            return next((Job(**row) for row in rows if dict(asked).items() <= row["asked"].items()), None)


def _is_lost(row: Mapping[Any, Any]) -> bool:
    """Whether the worker of a running job is taken to be dead."""
    return bool((row["heartbeat"] or 0) < time.time() - DEAD_SECONDS)


def _job(connection: Connection, number: int) -> Job:
    return Job(**connection.execute(select(jobs).where(jobs.c.id == number)).mappings().one())


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
