"""Work that the server asks for and a worker does: rows of the database, one at a time, with a heartbeat and a log.

A job whose worker gave no sign of life for a while is taken by the next one: what it does must be safe to do again.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Engine, select

from labels.database import alone
from labels.tables import job_lines, jobs

RETRAIN = "retrain"
KINDS = (RETRAIN,)
_LOOKED_BACK = 200
DEAD_SECONDS = 60.0
"""Without a heartbeat for so long a worker is taken to be dead."""
QUEUED, RUNNING, DONE, FAILED = "queued", "running", "done", "failed"


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
    """`queued`, `running`, `done` or `failed`."""
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
            values = {"kind": kind, "asked": dict(asked), "who": who, "at": _now(), "state": QUEUED}
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
            lost = [row for row in running if (row["heartbeat"] or 0) < time.time() - DEAD_SECONDS]
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

    def beat(self, job: Job, step: str | None = None) -> bool:
        """Give a sign of life, and say what is being done; False when the job is this worker's no longer."""
        values: dict[str, Any] = {"heartbeat": time.time()} | ({"step": step[:200]} if step else {})
        with self._engine.begin() as connection:
            mine = jobs.update().where(jobs.c.id == job.id, jobs.c.worker == job.worker, jobs.c.state == RUNNING)
            return bool(connection.execute(mine.values(**values)).rowcount)

    def tell(self, job: Job, line: str) -> None:
        """Add a line to the log of a job."""
        with self._engine.begin() as connection:
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
        with self._engine.begin() as connection:
            mine = jobs.update().where(jobs.c.id == job.id, jobs.c.worker == job.worker, jobs.c.state == RUNNING)
            return bool(connection.execute(mine.values(**values)).rowcount)

    def last(self, kind: str, asked: Mapping[str, Any]) -> Job | None:
        """The newest job of a kind, asked for with these options among others, that has ended, well or not."""
        chosen = select(jobs).where(jobs.c.kind == kind, jobs.c.state.in_((DONE, FAILED))).order_by(jobs.c.id.desc())
        with self._engine.connect() as connection:
            rows = connection.execute(chosen.limit(_LOOKED_BACK)).mappings()
            return next((Job(**row) for row in rows if dict(asked).items() <= row["asked"].items()), None)


def _job(connection: Connection, number: int) -> Job:
    return Job(**connection.execute(select(jobs).where(jobs.c.id == number)).mappings().one())


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
