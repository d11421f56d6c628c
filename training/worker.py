"""`tagger worker`: does the jobs that are asked for, one at a time, politely; `tagger retrain`: asks for one and does it now.

tagger retrain --profile fast          on the labels of now; prints what it does and why it promotes or not
tagger retrain --quick                 the quick profile (provisional): minutes, most of them its evaluation
tagger worker                          waits for jobs that the server or anybody asks for
tagger worker --every-labels 200       asks for one itself after so many new labels
tagger worker --every-hours 24         or after so much time, when there are new labels
tagger worker --drop 5                 takes a job back that waits
"""

import argparse
import getpass
import os
import signal
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from labels.database import DatabaseError
from labels.jobs import ENDED, FAILED, QUEUED, RETRAIN, RUNNING, NotWaitingError
from serving.arguments import positive
from serving.settings import load_settings
from training.job import Worker
from training.patience import patiently
from training.recipe import PROFILES, QUICK, SHIPPING

_LOOK_SECONDS = 2.0
_AFTER_FAILURE_SECONDS = 3600.0
_MOST_THREADS = 256


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
            if patiently(lambda: _due(worker, options)):
                patiently(lambda: worker.ask(_profile(options), again=False, who="tagger worker"))
            job = patiently(lambda: worker.jobs.take(worker.name))
            if job:
                with worker.leaving(job, "tagger worker", options.state):
                    worker.work(job)
            elif options.once:
                return 0
            else:
                time.sleep(_LOOK_SECONDS)


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
    except (DBAPIError, PoolTimeoutError) as error:  # while it was only being asked, so nothing is lost by ending
        message = f"tagger: the database does not answer: {getattr(error, 'orig', None) or error}"
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
    if last and last.state == FAILED and time.time() - (last.heartbeat or 0) <= _AFTER_FAILURE_SECONDS:
        return False  # what made it fail may pass
    new = worker.store.count(after=int((last.result or {}).get("labels", 0)) if last else 0)
    if not new:
        return False
    if options.every_labels is not None and new >= options.every_labels:
        return True
    hours = (time.time() - (last.heartbeat or 0)) / 3600 if last else float("inf")
    return options.every_hours is not None and hours >= options.every_hours


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
