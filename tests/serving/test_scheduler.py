"""The queue before the scoring threads: who comes first, what is dropped, what is refused."""

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from serving.admission import estimated_tokens
from serving.results import PassageIn
from serving.scheduler import (
    PATIENCE,
    DeadlineExceededError,
    HangError,
    Job,
    JobCancelledError,
    QueueFullError,
    Scheduler,
    StoppedError,
)


class Bench:
    """One scoring thread that is held until it is let go, and the order in which units were done."""

    def __init__(self, capacity: int = 10**9, interactive_capacity: int | None = None) -> None:
        """Start the thread and occupy it."""
        self.scheduler = Scheduler(1, capacity, interactive_capacity=interactive_capacity)
        self.order: list[str] = []
        self.gate, self.busy = threading.Event(), threading.Event()
        self.holder = self.scheduler.submit(self._hold, 1, 1, interactive=True)
        assert self.busy.wait(5)

    def _hold(self, _index: int) -> None:
        self.busy.set()
        assert self.gate.wait(10)

    def submit(self, name: str, size: int, *, interactive: bool, tokens: int = 10, **more: Any) -> Job:
        """A job that notes each of its units."""
        return self.scheduler.submit(lambda _: self.order.append(name), size, tokens, interactive=interactive, **more)


@pytest.fixture
def bench() -> Iterator[Bench]:
    """Let go and closed at the end, whatever happened."""
    made = Bench()
    yield made
    made.gate.set()
    made.scheduler.close()


def test_results_keep_their_order() -> None:
    """Whatever thread was first."""
    scheduler = Scheduler(4, 10**9)

    def slow_at_first(index: int) -> int:
        time.sleep(0.002 * (20 - index))
        return index

    job = scheduler.submit(slow_at_first, 20, 20, interactive=False)
    assert job.wait() == list(range(20))
    scheduler.close()


def test_interactive_goes_first_and_bulk_is_not_starved(bench: Bench) -> None:
    """A later interactive job overtakes; every few of its units a bulk one gets a turn."""
    bulk = bench.submit("bulk", 3, interactive=False)
    interactive = bench.submit("interactive", 3 * PATIENCE, interactive=True)
    bench.gate.set()
    bulk.wait()
    interactive.wait()
    assert bench.order[0] == "interactive"
    first = bench.order.index("bulk")
    assert first <= PATIENCE
    assert bench.order[first + 1 : first + 1 + PATIENCE] == ["interactive"] * PATIENCE


def test_jobs_of_one_kind_take_turns(bench: Bench) -> None:
    """A long job does not hold back a short one that came later."""
    jobs = [bench.submit("long", 50, interactive=False), bench.submit("short", 2, interactive=False)]
    bench.gate.set()
    for job in jobs:
        job.wait()
    assert bench.order.index("short") == 1
    assert bench.order[:4].count("short") == 2


def test_bulk_work_is_told_to_wait_longer_beside_interactive_work() -> None:
    """It gets one unit of five then; and interactive jobs may have less room than bulk ones."""
    bench = Bench(capacity=1000, interactive_capacity=100)
    bulk = bench.submit("bulk", 1, interactive=False, tokens=2000)
    alone = bench.scheduler.full(interactive=False)
    assert bench.scheduler.full(interactive=True) is None
    lone = bench.submit("lone", 1, interactive=True, tokens=100)
    beside = bench.scheduler.full(interactive=False)
    assert alone
    assert beside == pytest.approx(5 * alone)
    with pytest.raises(QueueFullError):
        bench.submit("another", 1, interactive=True, tokens=1)
    bench.gate.set()
    assert (lone.wait(), bulk.wait()) == ([None], [None])
    bench.scheduler.close()


def test_after_giving_up_nothing_waits_and_nothing_comes(bench: Bench) -> None:
    """What waits fails with an error of its own, and so does what is submitted later."""
    waiting = bench.submit("a", 2, interactive=False)
    bench.scheduler.give_up()
    with pytest.raises(StoppedError):
        waiting.wait()
    with pytest.raises(StoppedError):
        bench.submit("b", 1, interactive=True)


def test_work_is_estimated_by_what_there_is_to_read() -> None:
    """Sentences are read with their context, and a short text has few of them."""
    passage = PassageIn(text="We urge the Council to act. " * 7, context="The delegates therefore declare: " * 6)
    plain, with_sentences = (estimated_tokens(passage, sentences=asked) for asked in (False, True))
    assert plain < 110
    assert with_sentences < 8 * plain
    long = PassageIn(text=passage.text * 20, context=passage.context)
    assert estimated_tokens(long, sentences=True) - 2 * estimated_tokens(long, sentences=False) == 32 * (len(long.context) // 4)


def test_a_full_queue_says_when_to_come_again() -> None:
    """Work is counted in tokens; where there is room, a job of any size is taken; it comes back as jobs end or are dropped."""
    bench = Bench(capacity=100)
    first = bench.submit("a", 1, interactive=True, tokens=900)
    with pytest.raises(QueueFullError) as caught:
        bench.submit("b", 1, interactive=True, tokens=1)
    assert caught.value.retry_after > 0
    bulk = bench.submit("bulk", 1, interactive=False, tokens=100)  # has room of its own, and takes none from others
    bench.scheduler.cancel(bulk)
    bench.scheduler.cancel(first)
    second = bench.submit("c", 1, interactive=True, tokens=99)
    bench.gate.set()
    second.wait()
    bench.holder.wait()
    assert bench.scheduler.tokens == 0
    bench.submit("d", 1, interactive=True, tokens=10_000).wait()
    assert bench.order == ["c", "d"]
    bench.scheduler.close()


def test_a_cancelled_job_is_not_computed(bench: Bench) -> None:
    """Its caller is told at once; nothing of it runs; cancelling again, or a whole job, changes nothing."""
    job = bench.submit("gone", 5, interactive=False)
    bench.scheduler.cancel(job)
    with pytest.raises(JobCancelledError):
        job.wait()
    bench.gate.set()
    assert bench.holder.wait() == [None]
    bench.scheduler.cancel(bench.holder)
    assert bench.holder.wait() == [None]
    assert bench.order == []


def test_a_deadline_is_looked_at_before_each_unit(bench: Bench) -> None:
    """What waited past its deadline is not computed."""
    job = bench.submit("late", 3, interactive=True, deadline=time.monotonic() + 0.05)
    time.sleep(0.1)
    bench.gate.set()
    with pytest.raises(DeadlineExceededError):
        job.wait()
    assert bench.order == []


def _raise(index: int) -> int:
    if index == 1:
        message = "broken"
        raise ValueError(message)
    return index


@pytest.mark.parametrize("interactive", [True, False])
def test_an_exception_fails_its_job_and_no_other(bench: Bench, *, interactive: bool) -> None:
    """The thread lives on; the rest of the job is dropped; `on_done` is told once."""
    told: list[str] = []

    def tell(name: str) -> Callable[[], None]:
        return lambda: told.append(name)

    broken = bench.scheduler.submit(_raise, 9, 9, interactive=interactive, on_done=tell("broken"))
    whole = bench.submit("whole", 2, interactive=interactive, on_done=tell("whole"))
    bench.gate.set()
    with pytest.raises(ValueError, match="broken"):
        broken.wait()
    whole.wait()
    bench.scheduler.close()
    assert sorted(told) == ["broken", "whole"]
    assert bench.scheduler.tokens == 0


def test_closing_ends_what_was_queued_and_refuses_more(bench: Bench) -> None:
    """Nothing that was accepted is lost."""
    job = bench.submit("last", 4, interactive=False)
    bench.gate.set()
    bench.scheduler.close()
    assert job.done.is_set()
    assert bench.order == ["last"] * 4
    with pytest.raises(RuntimeError, match="closed"):
        bench.submit("late", 1, interactive=True)


def test_an_empty_job_is_whole_at_once(bench: Bench) -> None:
    """No passages, no waiting."""
    assert bench.submit("none", 0, interactive=True).wait() == []


def test_room_comes_back_unit_by_unit(bench: Bench) -> None:
    """A long job holds what is left of it, not what it was; a failed unit's time counts too."""
    seen: list[int] = []
    job = bench.scheduler.submit(lambda _: seen.append(bench.scheduler.tokens), 4, 41, interactive=False)
    bench.gate.set()
    job.wait()
    assert seen == [41, 31, 21, 11]
    broken = bench.scheduler.submit(lambda _: time.sleep(0.05) or _raise(1), 1, 1, interactive=True)  # type: ignore[func-returns-value, redundant-expr]
    with pytest.raises(ValueError, match="broken"):
        broken.wait()
    assert bench.scheduler.tokens == 0
    assert bench.scheduler.seconds >= 0.05


def test_a_thread_that_hangs_is_replaced() -> None:
    """Its job alone fails, within a second; the next is scored by another thread; what comes back late is thrown away."""
    scheduler = Scheduler(1, 10**9, hang_seconds=0.3)
    gate = threading.Event()
    began = time.monotonic()

    def hang(_index: int) -> None:
        with scheduler.passing():
            gate.wait(20)

    hung = scheduler.submit(hang, 1, 1, interactive=True)
    after = scheduler.submit(lambda index: index, 1, 1, interactive=True)
    with pytest.raises(HangError, match="did not come back within"):
        hung.wait()
    assert time.monotonic() - began < 5
    assert after.wait() == [0]
    assert (scheduler.hanging, scheduler.tokens) == (1, 0)
    gate.set()
    until = time.monotonic() + 5
    while scheduler.hanging and time.monotonic() < until:
        time.sleep(0.01)
    assert scheduler.hanging == 0
    assert hung.results == [None]
    assert scheduler.submit(lambda index: index, 1, 1, interactive=True).wait() == [0]
    scheduler.close()


def test_a_long_unit_of_short_passes_is_left_alone() -> None:
    """A passage of many parts is no hang, nor is the time between the model's passes."""
    scheduler = Scheduler(1, 10**9, hang_seconds=1.5)

    def slow(_index: int) -> str:
        for _ in range(10):
            with scheduler.passing():
                time.sleep(0.1)
        time.sleep(2.0)
        return "done"

    assert scheduler.submit(slow, 1, 1, interactive=True).wait() == ["done"]
    assert scheduler.hanging == 0
    scheduler.close()


def test_slow_passes_raise_the_limit_and_long_units_do_not() -> None:
    """The limit follows the time of one pass, whatever a unit takes as a whole."""
    scheduler = Scheduler(1, 10**9, hang_seconds=1.0)

    def long_unit(_index: int) -> None:
        for _ in range(40):
            with scheduler.passing():
                time.sleep(0.005)
        time.sleep(1.0)

    scheduler.submit(long_unit, 3, 3, interactive=True).wait()
    gate = threading.Event()

    def hang(_index: int) -> None:
        with scheduler.passing():
            gate.wait(20)

    began = time.monotonic()
    with pytest.raises(HangError):
        scheduler.submit(hang, 1, 1, interactive=True).wait()
    assert time.monotonic() - began < 10
    gate.set()
    scheduler.close()


def test_closing_does_not_wait_for_a_thread_that_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether it was given up before or hangs from then on."""
    monkeypatch.setattr("serving.scheduler._CLOSE_SECONDS", 0.5)
    for hang_seconds in (None, 0.2):
        scheduler = Scheduler(1, 10**9, hang_seconds=hang_seconds)
        gate, inside = threading.Event(), threading.Event()

        def hang(_index: int, inside: threading.Event = inside, gate: threading.Event = gate) -> None:
            with scheduler.passing():  # noqa: B023 - the one of this round
                inside.set()
                gate.wait(20)

        scheduler.submit(hang, 1, 1, interactive=True)
        assert inside.wait(5)
        began = time.monotonic()
        scheduler.close()
        assert time.monotonic() - began < 10
        gate.set()


def test_without_a_limit_nothing_is_given_up() -> None:
    """Batch scoring has nobody who waits: it never gives up."""
    scheduler = Scheduler(1, 10**9)
    job = scheduler.submit(lambda _: time.sleep(1.2), 1, 1, interactive=True)
    assert job.wait() == [None]
    scheduler.close()


def test_a_machine_on_which_every_pass_is_slow_is_learned() -> None:
    """The first may be given up; when it comes back its time counts, and the next ones are waited for."""
    scheduler = Scheduler(1, 10**9, hang_seconds=0.3)

    def slow(_index: int) -> str:
        with scheduler.passing():
            time.sleep(0.8)
        return "done"

    outcomes = []
    for _ in range(8):
        try:
            outcomes += scheduler.submit(slow, 1, 1, interactive=True).wait()
        except HangError:
            time.sleep(0.8)
    assert outcomes[-1:] == ["done"]
    assert scheduler.hanging == 0
    scheduler.close()
