"""A request waits for its passages as a coroutine: no thread is held, and a caller who has gone takes the work along."""

import asyncio
import contextlib
import time
from collections.abc import Sequence

from fastapi import Request

from serving.classifier import Classifier, LongPolicy, PassageIn, Result
from serving.problems import RequestProblem
from serving.scheduler import DeadlineExceededError, JobCancelledError


async def score(
    request: Request, classifier: Classifier, passages: Sequence[PassageIn], long: LongPolicy, deadline: float | None
) -> list[Result]:
    """Score without holding a thread while the passages wait; what is left of a job whose caller has gone is dropped.

    Raises DeadlineExceededError, QueueFullError, and what a scoring thread raised.
    """
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()

    def tell() -> None:
        with contextlib.suppress(RuntimeError):  # the loop has gone with the server: nobody waits
            loop.call_soon_threadsafe(ended.set)

    job = classifier.submit(passages, long=long, deadline=deadline, on_done=tell)
    done, gone = asyncio.ensure_future(ended.wait()), asyncio.ensure_future(_gone(request))
    left = None if deadline is None else max(0.0, deadline - time.monotonic())
    try:
        await asyncio.wait({done, gone}, timeout=left, return_when=asyncio.FIRST_COMPLETED)
        if not ended.is_set() and not gone.done():
            raise DeadlineExceededError
        classifier.scheduler.cancel(job)  # of a whole job nothing is left to drop
        results: list[Result] = job.wait()
    except JobCancelledError as error:
        request.app.state.metrics.rejected.labels("caller_gone").inc()
        raise RequestProblem(400, "the caller has gone") from error  # nobody is left to read it
    finally:
        classifier.scheduler.cancel(job)
        request.app.state.metrics.waited(job)
        done.cancel()
        gone.cancel()
    if deadline is not None and time.monotonic() > deadline:
        raise DeadlineExceededError
    request.app.state.metrics.scored(results)
    return results


async def _gone(request: Request) -> None:
    """Return when the caller has gone; the body has been read, so nothing else can come."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
