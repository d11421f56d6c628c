"""`tagger worker`: does the jobs that are asked for, one at a time, politely; `tagger retrain`: asks for one and does it now.

tagger retrain --profile fast          on the labels of now; prints what it does and why it promotes or not
tagger retrain --quick                 the quick profile (provisional): a minute, most of it its evaluation
tagger worker                          waits for jobs that the server or anybody asks for
tagger worker --every-labels 200       asks for one itself after so many new labels
tagger worker --every-hours 24         or after so much time, when there are new labels
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
from labels.jobs import DONE, FAILED, QUEUED, RETRAIN, RUNNING, Job, Jobs
from labels.problems import CorpusError
from labels.store import LabelStore
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
_EXPECTED = (UnfitLabelsError, CorpusError, BaseModelError, ParityError, NoSpaceError, BundleError, DatabaseError)


class LostJobError(Exception):
    """Raised when another worker has taken the job over: this one was taken to be dead."""


def retrain_now(arguments: list[str]) -> int:
    """Ask for a retraining and do it here; the exit status: 0 promoted, 3 kept for a person, 1 failed."""
    parser = argparse.ArgumentParser(prog="tagger retrain", description="Train on the labels of now; promote what is no worse.")
    _add_recipe(parser)
    parser.add_argument("--again", action="store_true", help="even if this very run was made before")
    options = parser.parse_args(arguments)
    _be_polite(options.threads)
    with _deployment(options.state) as worker:
        job = worker.ask(_profile(options), again=options.again, who=_user())
        print(f"job {job.id}", file=sys.stderr)
        while (done := worker.jobs.take(worker.name, only=job.id)) is None:
            now = worker.jobs.get(job.id)
            if now is None or now.state in {DONE, FAILED}:
                return _status(now.result if now else None)
            print("another worker is at a job; waiting for it", file=sys.stderr, flush=True)
            time.sleep(_LOOK_SECONDS)
        return _status(worker.work(done))


def work(arguments: list[str]) -> int:
    """Do jobs until told to stop; the exit status."""
    parser = argparse.ArgumentParser(prog="tagger worker", description="Do the jobs that are asked for, one at a time.")
    _add_recipe(parser)
    parser.add_argument("--every-labels", type=_positive, help="retrain after so many new labels")
    parser.add_argument("--every-hours", type=_positive, help="retrain after so many hours, when there are new labels")
    parser.add_argument("--once", action="store_true", help="stop when no job is left")
    options = parser.parse_args(arguments)
    _be_polite(options.threads)
    with _deployment(options.state) as worker:
        while True:
            if _patiently(lambda: _due(worker, options)):
                _patiently(lambda: worker.ask(_profile(options), again=False, who="tagger worker"))
            job = _patiently(lambda: worker.jobs.take(worker.name))
            if job:
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
                self.jobs.end(job, QUEUED, None)
                raise
            except Exception as error:  # noqa: BLE001 - whatever it is, it fails this job and not the worker
                traceback.print_exc()
                return self._failed(job, f"{type(error).__name__}; the log of the worker says more", newest)
        result = {**asdict(found), "labels": newest}
        _patiently(lambda: self.jobs.end(job, DONE, result))
        return result

    def _retrain(self, job: Job, tell: Any) -> Retrained:
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
        return retrain(place, recipe, tell, again=bool(job.asked.get("again")))

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
    finally:
        worker.registry.close()


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


def _add_recipe(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--profile", choices=PROFILES, default=SHIPPING.profile, help="default: %(default)s")
    parser.add_argument("--quick", action="store_true", help="the quick profile: only the head, provisional")
    parser.add_argument("--threads", type=int, choices=range(1, 257), metavar="N", help="at most so many (default: all cores)")
    parser.add_argument("--state", type=Path, default=load_settings().state, help="state folder (default: %(default)s)")


def _profile(options: argparse.Namespace) -> str:
    return QUICK.profile if options.quick else str(options.profile)


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


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())


def _interrupt(_signum: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt
