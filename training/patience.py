"""Waiting for a database that is away: a training run of an hour is worth it."""

import sys
import time
from collections.abc import Callable
from typing import TypeVar

from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from labels.database import DatabaseError

_Found = TypeVar("_Found")
_LONGEST_PAUSE = 60.0


def patiently(ask: Callable[[], _Found]) -> _Found:
    """What the database answers, however long it is away: a training run of an hour is worth the wait."""
    pause = 1.0
    while True:
        try:
            return ask()
        except (DBAPIError, PoolTimeoutError) as error:
            if "no such table" in str(error) or "does not exist" in str(error):  # no patience brings it back
                message = f"the database has lost its tables: {error.orig if isinstance(error, DBAPIError) else error}"
                raise DatabaseError(message) from error
            print(f"tagger: the database does not answer, again in {pause:.0f} s: {error}", file=sys.stderr, flush=True)
            time.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)
