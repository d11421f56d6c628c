"""The queue before the scoring threads: jobs of passages, interactive ones before bulk ones, bounded in tokens of work.

A job is as many units as it has passages. A thread takes one unit at a time, so that a long job never holds a thread that a
short one waits for: interactive jobs come first, but after `PATIENCE` units in a row of theirs a waiting bulk job gets
one; jobs of one kind take turns. A job whose caller has gone, or whose deadline has passed, is dropped before its
next unit is computed. A thread that does not come back from the model is given up: its job fails, another takes its place.
"""

import logging
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

log = logging.getLogger("tagger")

PATIENCE = 4
_SMOOTHING = 0.1
_START_TOKENS, _START_SECONDS = 50.0, 0.01
"""What a unit is taken to be until the threads have shown their own rate."""
_WATCH_SECONDS = 0.1
_SLOWEST = 20
"""A pass of the model that has taken so many times the usual is given up, but never before `hang_seconds`."""
_LONELY_SECONDS = 0.05
"""After which nobody is taken to be near: of two callers in turns neither should get the other's core."""
_CLOSE_SECONDS = 10.0
"""What `close` waits for a thread that is in a pass of the model; it is a daemon and ends with the process."""


class QueueFullError(Exception):
    """Raised when the waiting work leaves no room; `retry_after` says in how many seconds there will be some."""

    def __init__(self, retry_after: float) -> None:
        """Keep the seconds."""
        super().__init__(f"the queue is full; again in {retry_after:.1f} s")
        self.retry_after = retry_after


class DeadlineExceededError(Exception):
    """Raised when a deadline has passed before all was scored."""


class HangError(Exception):
    """Raised when a scoring thread did not come back from a passage."""


class StoppedError(Exception):
    """What a job fails with that had not ended when the service had to."""


class JobCancelledError(Exception):
    """What the result of a cancelled job is; its caller has gone and does not see it."""


@dataclass(slots=True, eq=False)
class Job:
    """Passages scored together. Made by `Scheduler.submit`; `results` is whole once `wait` returns."""

    run: Callable[[int], Any]
    """Scores the passage of that index."""
    size: int
    tokens: int
    """Estimated work."""
    interactive: bool
    deadline: float | None
    """A time of `time.monotonic()`."""
    on_done: Callable[[], None] | None = None
    """Called once, from a scoring thread, when the job has ended in whatever way."""
    results: list[Any] = field(default_factory=list)
    error: BaseException | None = None
    started: int = 0
    ended: int = 0
    arrived: float = field(default_factory=time.monotonic)
    began: float | None = None
    """When the first unit was taken; None until then."""
    held: int = 0
    """Work of it that still waits or is being done, in tokens."""
    done: threading.Event = field(default_factory=threading.Event)

    def wait(self) -> list[Any]:
        """The results, in order. Raises what a unit raised, or an error of this module."""
        self.done.wait()
        if self.error:
            raise self.error
        return self.results


@dataclass(slots=True, eq=False)
class _Worker:
    """A scoring thread and what it is at."""

    job: Job | None = None
    passing_since: float | None = None
    """When it went into a pass of the model; None outside of one."""
    given_up: bool = False


def _nothing(_index: int) -> None:
    """What is left to do of a job that has ended."""


def _stuck(worker: _Worker) -> bool:
    return worker.passing_since is not None and time.monotonic() - worker.passing_since > _CLOSE_SECONDS


class Scheduler:
    """Scoring threads and their queue. Thread-safe."""

    def __init__(
        self, threads: int, capacity: int, hang_seconds: float | None = None, interactive_capacity: int | None = None
    ) -> None:
        """Start the threads; `capacity` is the work in tokens after which no more may wait, of either kind of job.

        Bulk work never takes the room of interactive jobs, which may have less (`interactive_capacity`): who asks for a passage
        or two waits for the answer, and is better refused at once. `hang_seconds`: after which a thread may be given up;
        None: never.
        """
        self._capacity = {True: interactive_capacity or capacity, False: capacity}
        self.on_end: Callable[[Job], None] | None = None
        """Called with each job that has ended, in whatever way."""
        self._condition = threading.Condition()
        self._waiting: dict[bool, deque[Job]] = {True: deque(), False: deque()}
        self._held = {True: 0, False: 0}
        self._seconds = 0.0
        self._streak = 0
        self._crowded = -math.inf
        self._closed = False
        self._given_up_all = False
        self._unit_tokens, self._unit_seconds = _START_TOKENS, _START_SECONDS
        self._hang_seconds = hang_seconds
        self._pass_seconds = _START_SECONDS
        self._current = threading.local()
        self._workers: dict[_Worker, threading.Thread] = {}
        self._given_up: list[threading.Thread] = []
        for _ in range(threads):
            self._start_worker()
        if hang_seconds is not None:
            threading.Thread(target=self._watch, name="score_watch", daemon=True).start()

    @property
    def tokens(self) -> int:
        """Work that waits or is being done, in tokens."""
        return sum(self._held.values())

    def full(self, *, interactive: bool, promised: int = 0) -> float | None:
        """Seconds after which there will be room for another job of this kind, or None when there is now.

        `promised`: tokens of work that was let in and may not have been submitted yet, where that is known to be more.
        Computed from the rate of the last units; beside waiting interactive jobs, bulk ones get one unit of `PATIENCE` + 1.
        """
        over = max(self._held[interactive], promised) - self._capacity[interactive]
        if over < 0:
            return None
        rate = max(1, len(self._workers)) * self._unit_tokens / self._unit_seconds  # none while one is being replaced
        share = 1 if interactive or not self._waiting[True] else PATIENCE + 1
        return (over + self._unit_tokens) * share / rate

    @property
    def alone(self) -> bool:
        """Whether one unit at a time was all there was to do, for a moment already. A moment later it may be otherwise."""
        return not (self._waiting[True] or self._waiting[False]) and time.monotonic() - self._crowded > _LONELY_SECONDS

    @property
    def hanging(self) -> int:
        """Threads that were given up and have not come back."""
        return sum(thread.is_alive() for thread in self._given_up)

    @property
    def ended(self) -> bool:
        """Whether it takes no more jobs and none of its threads is left."""
        return self._closed and not any(thread.is_alive() for thread in [*self._workers.values(), *self._given_up])

    @property
    def pass_seconds(self) -> float:
        """What one pass of the model usually takes."""
        return self._pass_seconds

    def learn(self, pass_seconds: float) -> None:
        """Take passes to be at least so slow, as somebody has seen: one is given up only after many times that."""
        self._pass_seconds = max(self._pass_seconds, pass_seconds)

    @property
    def seconds(self) -> float:
        """Time that scoring threads have spent in units, whatever became of them."""
        return self._seconds

    def submit(
        self,
        run: Callable[[int], Any],
        size: int,
        tokens: int,
        *,
        interactive: bool,
        deadline: float | None = None,
        on_done: Callable[[], None] | None = None,
    ) -> Job:
        """Queue a job. Raises QueueFullError when there is no room, StoppedError after `give_up`.

        Where there is some room, a job of any size is taken: refused for what is larger than the room left, a large one would
        be refused for ever beside a steady stream of others.
        """
        job = Job(run=run, size=size, tokens=tokens, interactive=interactive, deadline=deadline, on_done=on_done)
        job.results = [None] * size
        with self._condition:
            if self._closed:
                message = "the scheduler is closed"
                raise RuntimeError(message)
            if self._given_up_all:
                raise StoppedError
            if (seconds := self.full(interactive=interactive)) is not None:
                raise QueueFullError(seconds)
            self._held[interactive] += tokens
            job.held = tokens
            if size:
                self._waiting[interactive].append(job)
                self._condition.notify(size)
        if not size:
            self._end(job, None)
        return job

    def cancel(self, job: Job) -> None:
        """Drop what of a job is not being computed yet."""
        self._fail(job, JobCancelledError())

    def give_up(self) -> None:
        """Fail all that waits, and all that comes, with StoppedError: there is no time left for it."""
        with self._condition:
            self._given_up_all = True
            unended = [*self._waiting[True], *self._waiting[False], *(one.job for one in self._workers if one.job)]
        for job in unended:
            self._fail(job, StoppedError())

    def shut(self) -> None:
        """Take no more jobs; the threads end by themselves once the queue is empty."""
        with self._condition:
            self._closed = True
            self._condition.notify_all()

    def close(self) -> None:
        """End the threads once the queue is empty; a thread that does not come back is not waited for."""
        self.shut()
        while coming := [thread for worker, thread in list(self._workers.items()) if thread.is_alive() and not _stuck(worker)]:
            coming[0].join(_WATCH_SECONDS)

    @contextmanager
    def passing(self) -> Iterator[None]:
        """Around one pass of the model: only there a thread is watched, since only there it cannot be asked."""
        worker: _Worker | None = getattr(self._current, "worker", None)
        if worker is None:  # not a scoring thread
            yield
            return
        began = worker.passing_since = time.monotonic()
        try:
            yield
        finally:
            worker.passing_since = None
            # One that was given up and came back counts too: else a machine on which every pass is slow would never learn it.
            self._pass_seconds += _SMOOTHING * (time.monotonic() - began - self._pass_seconds)

    def _start_worker(self) -> None:
        worker = _Worker()
        thread = threading.Thread(target=self._work, args=(worker,), name=f"score_{len(self._given_up)}", daemon=True)
        self._workers[worker] = thread
        thread.start()

    def _work(self, worker: _Worker) -> None:
        self._current.worker = worker
        while self._do_next(worker):
            pass

    def _do_next(self, worker: _Worker) -> bool:
        """Take a unit and do it; whether there may be another. A thread that waits holds no job of before."""
        unit = self._next(worker)
        if unit is None:
            return False
        job, index = unit
        if job.deadline is not None and time.monotonic() >= job.deadline:
            self._fail(job, DeadlineExceededError())
            return True
        began = time.monotonic()
        try:
            found = job.run(index)
        except BaseException as error:  # noqa: BLE001 - whatever it is, it fails this job and no other
            with self._condition:
                self._seconds += time.monotonic() - began
            self._fail(job, error)
            return True
        if not worker.given_up:  # else the job has failed, and another thread is in this one's place
            job.results[index] = found
            self._finish_unit(job, time.monotonic() - began)
        return True

    def _watch(self) -> None:
        """Give up threads that do not come back. Time in which this thread itself did not run counts for nobody."""
        before = time.monotonic()
        while not self._closed or any(thread.is_alive() for thread in list(self._workers.values())):
            time.sleep(_WATCH_SECONDS)
            now = time.monotonic()
            self._give_up(now, stalled=max(0.0, now - before - 2 * _WATCH_SECONDS))
            before = now

    def _give_up(self, now: float, stalled: float) -> None:
        """Replace threads that have been in one pass for too long, and fail their jobs."""
        lost: list[tuple[_Worker, Job]] = []
        with self._condition:
            limit = max(self._hang_seconds or 0.0, _SLOWEST * self._pass_seconds)
            for worker in list(self._workers):
                if worker.passing_since is None:
                    continue
                worker.passing_since += stalled
                if worker.job and now - worker.passing_since > limit:
                    worker.given_up = True
                    lost.append((worker, worker.job))
        for worker, job in lost:
            log.error("a scoring thread was given up", extra={"fields": {"seconds": round(limit, 2)}})
            self._fail(job, HangError(f"a scoring thread did not come back within {limit:.1f} s"))
            with self._condition:
                self._given_up = [thread for thread in self._given_up if thread.is_alive()]
                self._given_up.append(self._workers.pop(worker))
                self._start_worker()

    def _next(self, worker: _Worker) -> tuple[Job, int] | None:
        """The next unit, or None when the scheduler is closed and empty, or the thread was given up."""
        with self._condition:
            worker.job = None
            if worker.given_up:
                return None
            while not (self._waiting[True] or self._waiting[False]):
                if self._closed:
                    return None
                self._condition.wait()
            interactive = bool(self._waiting[True]) and not (self._waiting[False] and self._streak >= PATIENCE)
            self._streak = self._streak + 1 if interactive else 0
            queue = self._waiting[interactive]
            job = queue.popleft()
            index = job.started
            job.started += 1
            job.began = job.began or time.monotonic()
            if job.started < job.size:
                queue.append(job)  # to the end: jobs of one kind take turns
            worker.job = job
            if len(self._workers) > 1 and any(one.job for one in self._workers if one is not worker):
                self._crowded = time.monotonic()
            return job, index

    def _finish_unit(self, job: Job, seconds: float) -> None:
        with self._condition:
            job.ended += 1
            whole = job.ended == job.size
            share = job.tokens // job.size
            self._seconds += seconds
            self._unit_tokens += _SMOOTHING * (share - self._unit_tokens)
            self._unit_seconds += _SMOOTHING * (max(seconds, 1e-6) - self._unit_seconds)
            if not job.done.is_set():  # a job that was dropped has given its room back
                job.held -= share
                self._held[job.interactive] -= share
        if whole:
            self._end(job, None)

    def _fail(self, job: Job, error: BaseException) -> None:
        with self._condition:
            if job in self._waiting[job.interactive]:
                self._waiting[job.interactive].remove(job)
        self._end(job, error)

    def _end(self, job: Job, error: BaseException | None) -> None:
        with self._condition:
            if job.done.is_set():
                return
            job.error = error
            self._held[job.interactive] -= job.held
            job.run = _nothing  # what it holds, a classifier, may be waiting for the last to let go of it
            job.done.set()
        if self.on_end:
            self.on_end(job)
        if job.on_done:
            job.on_done()
