"""One process that does jobs: what it does is told, its heart beats, and however it ends the job knows."""

import os
import socket
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

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
from training.patience import patiently
from training.recipe import PROFILES, QUICK
from training.retrain import Deployment, Retrained, UnfitLabelsError, retrain

_BEAT_SECONDS = 5.0
_EXPECTED = (UnfitLabelsError, CorpusError, BaseModelError, ParityError, NoSpaceError, BundleError, DatabaseError)


class LostJobError(Exception):
    """Raised when another worker has taken the job over: this one was taken to be dead."""


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
            patiently(lambda: self.jobs.tell(job, line))
            if not patiently(lambda: self.jobs.beat(job, line)):
                message = f"job {job.id} was taken over by another worker"
                raise LostJobError(message)

        newest = patiently(self.store.newest)
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
        patiently(lambda: self.jobs.end(job, DONE, result))
        return result

    def _retrain(self, job: Job, tell: Callable[[str], None]) -> Retrained:
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
        return retrain(place, recipe, tell, again=bool(job.asked.get("again")), who=job.who)

    def _failed(self, job: Job, why: str, newest: int) -> Mapping[str, Any]:
        print(f"tagger: job {job.id} failed: {why}", file=sys.stderr)
        result = {"error": why, "labels": newest}  # the same labels make no further job by themselves
        patiently(lambda: self.jobs.tell(job, f"failed: {why}"))
        patiently(lambda: self.jobs.end(job, FAILED, result))
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
