"""A request waits for its passages as a coroutine: no thread is held, and a caller who has gone takes the work along."""

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeVar

from serving.classifier import Classifier
from serving.results import ItemError, Options, PassageIn, Result
from serving.scheduler import DeadlineExceededError, Job, JobCancelledError, QueueFullError

Gone = Callable[[], Awaitable[None]]
"""Returns when the caller has gone."""
WINDOW = 32
"""Passages of one stream that are scored or wait at a time: enough for every thread, few enough to hold in memory."""
_LONGEST_PAUSE = 0.1
_Admitted: TypeAlias = tuple["Item", Job | None, asyncio.Future[None]]
_Value = TypeVar("_Value")


class CallerGoneError(Exception):
    """Raised when nobody is left to read the answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scored:
    """Results of one job, and how long it waited before its first passage and then took."""

    results: list[Result]
    queued: float
    """Seconds."""
    computed: float
    """Seconds, from the first passage's beginning to the last one's end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One passage of a stream, or why there is none."""

    id: str
    passage: PassageIn | None = None
    error: ItemError | None = None


async def score(
    classifier: Classifier, passages: Sequence[PassageIn], options: Options, deadline: float | None, gone: Gone
) -> Scored:
    """Score without holding a thread while the passages wait; what is left of a job whose caller has gone is dropped.

    Raises DeadlineExceededError, QueueFullError, CallerGoneError, and what a scoring thread raised.
    """
    job, ended = _start(classifier, passages, options, deadline)
    left_alone = asyncio.ensure_future(gone())
    seconds = None if deadline is None else max(0.0, deadline - time.monotonic())
    try:
        await asyncio.wait({ended, left_alone}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        if not ended.done() and not left_alone.done():
            raise DeadlineExceededError
        classifier.scheduler.cancel(job)  # of a whole job nothing is left to drop
        results: list[Result] = job.wait()
    except JobCancelledError as error:
        raise CallerGoneError from error
    finally:
        classifier.scheduler.cancel(job)
        left_alone.cancel()
    if deadline is not None and time.monotonic() > deadline:
        raise DeadlineExceededError
    began = job.began or job.arrived
    return Scored(results=results, queued=began - job.arrived, computed=time.monotonic() - began)


async def score_in_order(
    classifier: Classifier,
    items: AsyncIterator[Item],
    options: Options,
    *,
    deadline: float | None = None,
    gone: Gone | None = None,
) -> AsyncGenerator[tuple[Item, Result], None]:
    """Score a stream as bulk work, about `WINDOW` passages at a time; results come in order, each as soon as it can.

    A full queue is waited for, never refused: nothing more is read meanwhile. `gone`: how to know that the caller has gone
    when reading the items does not tell. Raises DeadlineExceededError, CallerGoneError, and what `items` and the scoring
    threads raise.
    """
    admitted: asyncio.Queue[_Admitted | None] = asyncio.Queue(WINDOW)
    reading = asyncio.ensure_future(_admit_all(classifier, items, options, deadline, admitted))
    left_alone = asyncio.ensure_future(gone()) if gone else None
    job: Job | None = None
    try:
        while entry := await unless_gone(asyncio.ensure_future(admitted.get()), left_alone, deadline):
            item, job, ended = entry
            await unless_gone(ended, left_alone, deadline)
            yield item, job.wait()[0] if job else Result(error=item.error)
        await reading  # it has ended, and raises what reading has raised
    finally:
        for task in (reading, left_alone):
            if task:
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError, Exception):
                    await task
        while not admitted.empty():
            if entry := admitted.get_nowait():
                _, waiting, _ = entry
                if waiting:
                    classifier.scheduler.cancel(waiting)
        if job:
            classifier.scheduler.cancel(job)


async def unless_gone(
    awaited: asyncio.Future[_Value], left_alone: asyncio.Future[None] | None, deadline: float | None
) -> _Value:
    """The future's result. Raises CallerGoneError or DeadlineExceededError when that comes first."""
    seconds = None if deadline is None else max(0.0, deadline - time.monotonic())
    futures: set[asyncio.Future[Any]] = {awaited, left_alone} if left_alone else {awaited}
    try:
        await asyncio.wait(futures, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        if awaited.done():
            return awaited.result()
    finally:
        awaited.cancel()
    if left_alone and left_alone.done():
        raise CallerGoneError
    raise DeadlineExceededError


async def _admit_all(
    classifier: Classifier,
    items: AsyncIterator[Item],
    options: Options,
    deadline: float | None,
    admitted: "asyncio.Queue[_Admitted | None]",
) -> None:
    """Queue items one after the other, each once there is room for it; None says that no more will come."""
    try:
        async for item in items:
            entry = await _admit(classifier, item, options, deadline)
            try:
                await admitted.put(entry)
            except BaseException:
                if entry[1]:  # nobody else knows of this job
                    classifier.scheduler.cancel(entry[1])
                raise
    except asyncio.CancelledError:
        raise
    except BaseException:
        await admitted.put(None)
        raise
    await admitted.put(None)


async def _admit(classifier: Classifier, item: Item, options: Options, deadline: float | None) -> _Admitted:
    """Queue one item, waiting until there is room for it."""
    if item.passage is None:
        nothing: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        nothing.set_result(None)
        return item, None, nothing
    while True:
        try:
            job, ended = _start(classifier, [item.passage], options, deadline, bulk=True)
        except QueueFullError as error:
            if deadline is not None and time.monotonic() > deadline:
                raise DeadlineExceededError from error
            await asyncio.sleep(min(error.retry_after, _LONGEST_PAUSE))
        else:
            return item, job, ended


def _start(
    classifier: Classifier, passages: Sequence[PassageIn], options: Options, deadline: float | None, *, bulk: bool = False
) -> tuple[Job, asyncio.Future[None]]:
    """Queue passages; the future is done when the job has ended. Raises QueueFullError."""
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[None] = loop.create_future()

    def tell() -> None:
        with contextlib.suppress(RuntimeError):  # the loop has gone with the server: nobody waits
            loop.call_soon_threadsafe(_finish, ended)

    return classifier.submit(passages, options, bulk=bulk, deadline=deadline, on_done=tell), ended


def _finish(ended: asyncio.Future[None]) -> None:
    if not ended.done():
        ended.set_result(None)
