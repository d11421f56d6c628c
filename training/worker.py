"""`tagger worker`: does the jobs that are asked for, one at a time, politely; `tagger retrain`: asks for one and does it now.

tagger retrain --profile fast          on the labels of now; prints what it does and why it promotes or not
tagger retrain --quick                 the quick profile (provisional): a minute, most of it its evaluation
tagger worker                          waits for jobs that the server or anybody asks for
tagger worker --every-labels 200       asks for one itself after so many new labels
tagger worker --every-hours 24         or after so much time, when there are new labels
tagger worker --drop 5                 takes a job back that waits
"""

import argparse
import getpass
import os
import signal
import socket
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from types import FrameType
from typing import Any, TypeVar

import torch
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from labels.authored import load_authored
from labels.codebook import load_codebook
from labels.corpus import load_corpus
from labels.database import DatabaseError, open_database
from labels.jobs import DONE, ENDED, FAILED, QUEUED, RETRAIN, RUNNING, Job, Jobs, NotWaitingError
from labels.problems import CorpusError
from labels.store import LabelStore
from serving.arguments import positive
from serving.bundle import BundleError
from serving.registry import Registry
from serving.settings import Settings, load_settings
from training.base_model import BaseModelError
from training.export import ParityError
from training.locking import NoSpaceError
from training.recipe import PROFILES, QUICK, SHIPPING
from training.retrain import Deployment, Retrained, UnfitLabelsError, retrain

_Found = TypeVar("_Found")
_BEAT_SECONDS = 5.0
_LOOK_SECONDS = 2.0
_AFTER_FAILURE_SECONDS = 3600.0
_LONGEST_PAUSE = 60.0
_MOST_THREADS = 256
_EXPECTED = (UnfitLabelsError, CorpusError, BaseModelError, ParityError, NoSpaceError, BundleError, DatabaseError)


class LostJobError(Exception):
    """Raised when another worker has taken the job over: this one was taken to be dead."""


def retrain_now(arguments: list[str]) -> int:
    """Ask for a retraining and do it here; the exit status: 0 promoted, 3 kept for a person, 1 failed."""
    parser = argparse.ArgumentParser(prog="tagger retrain", description="Train on the labels of now; promote what is no worse.")
    _add_recipe(parser, "")
    parser.add_argument("--again", action="store_true", help="even if this very run was made before")
    options = parser.parse_args(arguments)
    _be_polite(options.threads)
    with _deployment(options.state) as worker:
        job = worker.ask(_profile(options), again=options.again, who=_user())
        print(f"job {job.id}", file=sys.stderr)
        with worker.leaving(job, "tagger retrain", options.state):
            while (done := worker.jobs.take(worker.name, only=job.id)) is None:
                now = worker.jobs.get(job.id)
                if now is None or now.state in ENDED:
                    return _ended_elsewhere(job.id, now.result if now else None)
                print("another worker is at a job; waiting for it", file=sys.stderr, flush=True)
                time.sleep(_LOOK_SECONDS)
            return _status(worker.work(done))


def work(arguments: list[str]) -> int:
    """Do jobs until told to stop, or take one back; the exit status."""
    parser = argparse.ArgumentParser(
        prog="tagger worker",
        description="Do the jobs that are asked for, one at a time, each with the profile that it was asked for with.",
    )
    _add_recipe(parser, "of what this worker asks for itself, with --every-labels or --every-hours: ")
    parser.add_argument("--every-labels", type=_positive, help="retrain after so many new labels")
    parser.add_argument("--every-hours", type=_positive, help="retrain after so many hours, when there are new labels")
    parser.add_argument("--once", action="store_true", help="stop when no job is left")
    parser.add_argument("--drop", type=positive, metavar="ID", help="take back a job that waits, and do none")
    options = parser.parse_args(arguments)
    asks = options.every_labels is not None or options.every_hours is not None
    if options.drop is not None:
        if asks or options.once or options.quick or options.profile:
            parser.error("--drop does no work: give it alone, or with --state")
        return _drop(options.state, options.drop)
    if (options.quick or options.profile) and not asks:
        parser.error(
            "--quick and --profile are for what --every-labels or --every-hours asks for; a job has a profile of its own"
        )
    _be_polite(options.threads)
    with _deployment(options.state) as worker:
        while True:
            if _patiently(lambda: _due(worker, options)):
                _patiently(lambda: worker.ask(_profile(options), again=False, who="tagger worker"))
            job = _patiently(lambda: worker.jobs.take(worker.name))
            if job:
                with worker.leaving(job, "tagger worker", options.state):
                    worker.work(job)
            elif options.once:
                return 0
            else:
                time.sleep(_LOOK_SECONDS)


class Worker:
    """One process that works, on one deployment."""

    def __init__(self, settings: Settings) -> None:
        """Raises DatabaseError."""
        engine = open_database(settings.database_url)
        self.state = settings.state
        self.registry = Registry(engine, settings.models)
        self.store = LabelStore(engine, load_codebook())
        self.jobs = Jobs(engine)
        self.name = f"{socket.gethostname()}:{os.getpid()}"

    def ask(self, profile: str, *, again: bool, who: str) -> Job:
        """Ask for a retraining."""
        return self.jobs.ask(RETRAIN, {"profile": profile, "again": again}, who)

    @contextmanager
    def leaving(self, job: Job, command: str, state: Path) -> Iterator[None]:
        """Say, when the work on a job is interrupted, that it waits and what can be done about it."""
        try:
            yield
        except KeyboardInterrupt:
            with suppress(DBAPIError, PoolTimeoutError):  # then only that it was interrupted is told
                now = self.jobs.get(job.id)
                if now and now.state == RUNNING and now.worker == self.name:  # it was being taken, or ended
                    self.jobs.end(now, QUEUED, None)
                    now = self.jobs.get(job.id)
                if now and now.state == QUEUED:
                    where = "" if state == load_settings().state else f" --state {state}"
                    print(
                        f"{command}: job {job.id} waits; `tagger worker --once{where}` goes on with it, "
                        f"`tagger worker --drop {job.id}{where}` drops it",
                        file=sys.stderr,
                    )
            raise

    def work(self, job: Job) -> Mapping[str, Any] | None:
        """Do a job that was taken; its result. What is interrupted goes back into the queue."""

        def tell(line: str) -> None:
            print(line, file=sys.stderr, flush=True)
            _patiently(lambda: self.jobs.tell(job, line))
            if not _patiently(lambda: self.jobs.beat(job, line)):
                message = f"job {job.id} was taken over by another worker"
                raise LostJobError(message)

        newest = _patiently(self.store.newest)
        with self._beating(job):
            try:
                found = self._retrain(job, tell)
            except _EXPECTED as error:
                return self._failed(job, str(error), newest)
            except OSError as error:
                return self._failed(job, f"{error.filename or self.state}: {error.strerror}", newest)
            except LostJobError as error:
                print(error, file=sys.stderr)
                return None
            except KeyboardInterrupt:
                with suppress(DBAPIError, PoolTimeoutError):  # then it goes back when its heartbeat is old
                    self.jobs.end(job, QUEUED, None)
                raise
            except Exception as error:  # noqa: BLE001 - whatever it is, it fails this job and not the worker
                traceback.print_exc()
                return self._failed(job, f"{type(error).__name__}; the log of the worker says more", newest)
        result = {**asdict(found), "labels": newest}
        _patiently(lambda: self.jobs.end(job, DONE, result))
        return result

    def _retrain(self, job: Job, tell: Callable[[str], None]) -> Retrained:
        told = ""

        def listening(line: str) -> None:
            nonlocal told
            told = line
            tell(line)

        profile = str(job.asked["profile"])
        recipe = {**PROFILES, QUICK.profile: QUICK}[profile]  # the API and the commands let no other through
        corpus = load_corpus()
        place = Deployment(
            state=self.state,
            registry=self.registry,
            store=self.store,
            corpus=corpus,
            authored=load_authored(corpus.codebook, corpus.documents),
        )
        found = retrain(place, recipe, listening, again=bool(job.asked.get("again")))
        if not told.startswith(found.challenger):  # of a run that was made before only this is told, not what it came to
            for gate in found.gates:
                if gate.verdict != "pass":
                    tell(f"gate {gate.name}: {gate.verdict}: {gate.said}")
            outcome = f"{found.challenger} {'serves' if found.promoted else 'waits'}: {found.why}"
            tell(f"{outcome}; {self.state / found.report}; `tagger retrain --again` does it anew")
        return found

    def _failed(self, job: Job, why: str, newest: int) -> Mapping[str, Any]:
        print(f"tagger: job {job.id} failed: {why}", file=sys.stderr)
        result = {"error": why, "labels": newest}  # the same labels make no further job by themselves
        _patiently(lambda: self.jobs.tell(job, f"failed: {why}"))
        _patiently(lambda: self.jobs.end(job, FAILED, result))
        return result

    @contextmanager
    def _beating(self, job: Job) -> Iterator[None]:
        stopped = threading.Event()

        def beat() -> None:
            while not stopped.wait(_BEAT_SECONDS):
                with suppress(Exception):  # a database that is away for a moment costs no training run
                    self.jobs.beat(job)

        thread = threading.Thread(target=beat, daemon=True)
        thread.start()
        try:
            yield
        finally:
            stopped.set()
            thread.join()


@contextmanager
def _deployment(state: Path) -> Iterator[Worker]:
    for number in (signal.SIGTERM, signal.SIGINT):
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, _interrupt)
    try:
        worker = Worker(load_settings().model_copy(update={"state": state}))
    except DatabaseError as error:
        message = f"tagger: {error}"
        raise SystemExit(message) from error
    try:
        yield worker
    except DatabaseError as error:  # it can be read and not written: no patience helps
        message = f"tagger: {error}"
        raise SystemExit(message) from error
    finally:
        worker.registry.close()


def _drop(state: Path, number: int) -> int:
    with _deployment(state) as worker:
        try:
            found = worker.jobs.drop(number, who=_user(), labels=worker.store.newest())
        except NotWaitingError as error:
            print(f"tagger worker: {error}", file=sys.stderr)
            return 1
    print(f"tagger worker: {f'job {number} is dropped' if found else f'there is no job {number}'}", file=sys.stderr)
    return 0 if found else 1


def _ended_elsewhere(number: int, result: Mapping[str, Any] | None) -> int:
    """The exit status of a job that another worker has done, or that was dropped."""
    if result and "error" in result:
        print(f"tagger: job {number}: {result['error']}", file=sys.stderr)
    return _status(result)


def _due(worker: Worker, options: argparse.Namespace) -> bool:
    """Whether the time or the labels for another run have come; nothing is due without a new label."""
    if options.every_labels is None and options.every_hours is None:
        return False
    profile = _profile(options)
    if any(job.state in {QUEUED, RUNNING} for job in worker.jobs.newest()):
        return False
    last = worker.jobs.last(RETRAIN, {"profile": profile})
    if last and last.state == FAILED:  # not at once: what made it fail may pass
        return time.time() - (last.heartbeat or 0) > _AFTER_FAILURE_SECONDS
    new = worker.store.count(after=int((last.result or {}).get("labels", 0)) if last else 0)
    if not new:
        return False
    if options.every_labels is not None and new >= options.every_labels:
        return True
    hours = (time.time() - (last.heartbeat or 0)) / 3600 if last else float("inf")
    return options.every_hours is not None and hours >= options.every_hours


def _patiently(ask: Callable[[], _Found]) -> _Found:
    """What the database answers, however long it is away: a training run of an hour is worth the wait."""
    pause = 1.0
    while True:
        try:
            return ask()
        except (DBAPIError, PoolTimeoutError) as error:
            print(f"tagger: the database does not answer, again in {pause:.0f} s: {error}", file=sys.stderr, flush=True)
            time.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)


def _be_polite(threads: int | None) -> None:
    """Take only what nobody else wants of the processor, so that a server beside it keeps its times."""
    if threads:
        torch.set_num_threads(threads)
    os.nice(19)
    if hasattr(os, "SCHED_IDLE"):
        with suppress(PermissionError):
            os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))


def _add_recipe(parser: argparse.ArgumentParser, of_what: str) -> None:
    parser.add_argument("--profile", choices=PROFILES, help=f"{of_what}the profile (default: {SHIPPING.profile})")
    parser.add_argument("--quick", action="store_true", help=f"{of_what}the quick profile, only the head, provisional")
    parser.add_argument("--threads", type=_threads, metavar="N", help="at most so many (default: all cores)")
    parser.add_argument("--state", type=Path, default=load_settings().state, help="state folder (default: %(default)s)")


def _profile(options: argparse.Namespace) -> str:
    return QUICK.profile if options.quick else str(options.profile or SHIPPING.profile)


def _status(result: Mapping[str, Any] | None) -> int:
    if not result or "error" in result:
        return 1
    return 0 if result["promoted"] else 3


def _positive(text: str) -> float:
    value = float(text)
    if not value > 0:
        message = f"{text} is not above 0"
        raise argparse.ArgumentTypeError(message)
    return value


def _threads(text: str) -> int:
    if not (text.isdecimal() and 1 <= int(text) <= _MOST_THREADS):
        message = f"{text!r} is no whole number from 1 to {_MOST_THREADS}"
        raise argparse.ArgumentTypeError(message)
    return int(text)


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())


def _interrupt(_signum: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt
