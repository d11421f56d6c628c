"""One training run at a time in one state folder: a lock that the system frees when its holder dies."""

import fcntl
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from training.package import MAKING

MIN_FREE_BYTES = 1_000_000_000


class NoSpaceError(Exception):
    """Raised when the state folder's disk is too full to train on."""


@contextmanager
def exclusive(state: Path) -> Iterator[None]:
    """Hold the state folder for training; waits, and says so, while another run holds it. Raises NoSpaceError."""
    state.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(state / "train.lock", os.O_RDWR | os.O_CREAT, 0o644)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"another run is training in {state}; waiting for it", file=sys.stderr, flush=True)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        _check_space(state)
        _remove_left_over(state)
        yield
    finally:
        os.close(descriptor)


def _check_space(state: Path) -> None:
    free = shutil.disk_usage(state).free
    if free < MIN_FREE_BYTES:
        message = f"{state.resolve()}: {free / 1e6:.0f} MB free, training needs {MIN_FREE_BYTES / 1e6:.0f} MB"
        raise NoSpaceError(message)


def _remove_left_over(state: Path) -> None:
    """What a killed run left: nothing that is complete carries the prefix."""
    for left_over in [*state.glob(f"models/{MAKING}*"), *state.glob(f"fits/*/{MAKING}*")]:
        shutil.rmtree(left_over, ignore_errors=True)
