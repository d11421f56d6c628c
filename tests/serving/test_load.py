"""The endurance checks in small: right answers from a crowd of callers, among broken requests, and past what can be done."""

import asyncio
from collections.abc import Callable
from contextlib import AbstractContextManager

from benchmarks.endurance.crowd import hostile, same
from benchmarks.endurance.pressure import from_here, overload
from serving.settings import Settings

Running = Callable[[Settings], AbstractContextManager[str]]


def _port(base: str) -> int:
    return int(base.rpartition(":")[2])


def test_a_crowd_gets_what_each_would_get_alone(service_settings: Settings, running: Running) -> None:
    """Scores are equal, no tag flips, whoever else is being answered."""
    with running(service_settings) as base:
        found = asyncio.run(same(_port(base), 200, 16))
    assert found["right"], found


def test_broken_requests_harm_nobody(service_settings: Settings, running: Running) -> None:
    """A third malformed, cut off or abandoned; the others are right, and nothing is left in the queue."""
    with running(service_settings.model_copy(update={"body_seconds": 2.0})) as base:
        found = asyncio.run(hostile(_port(base), 300, 16))
    assert found["right"], found
    assert found["outcomes"]["right"] == 200


def test_more_than_can_be_done_is_refused(service_settings: Settings, running: Running) -> None:
    """Answered or told 429, nothing else; what was accepted did not wait long, since the queue is short."""
    with running(service_settings.model_copy(update={"max_interactive_tokens": 1500})) as base:
        found = asyncio.run(overload(_port(base), 5, 2.0, from_here))
    assert found["right"], found
    assert found["statuses"]["429"] > 0
    assert found["statuses"]["200"] > 0
