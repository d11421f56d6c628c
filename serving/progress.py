"""Progress of long work, with an estimate of what is left: a bar on a terminal, a line now and then elsewhere."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn

_LINE_SECONDS = 10.0
_SETTLED_STEPS = 3
"""Steps after which the rate is worth an estimate."""

Advance = Callable[[int], None]
"""Called with the number of steps done since the last call."""


@contextmanager
def progress(title: str, steps: int) -> Iterator[Advance]:
    """Show `title` while the block runs; the block calls the given function as steps get done. Writes to stderr."""
    if sys.stderr.isatty():
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=Console(stderr=True)) as bar:
            task = bar.add_task(title, total=steps)
            yield lambda count: bar.advance(task, count)
        return
    started = printed = time.monotonic()
    done = 0

    def advance(count: int) -> None:
        nonlocal done, printed
        done += count
        now = time.monotonic()
        if done >= _SETTLED_STEPS and now - printed >= _LINE_SECONDS:
            printed = now
            left = (now - started) / done * (steps - done)
            print(f"{title}: {done} of {steps} steps, about {left:.0f} s left", file=sys.stderr, flush=True)

    print(f"{title} …", file=sys.stderr, flush=True)
    yield advance
    print(f"{title}: done in {time.monotonic() - started:.0f} s", file=sys.stderr, flush=True)


@contextmanager
def counter(title: str, things: str) -> Iterator[Advance]:
    """Show how many `things` are done and how fast, of a number not known beforehand; silent where no terminal is."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    started = time.monotonic()
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(title, total=None)

        def advance(count: int) -> None:
            done = int(bar.tasks[task].completed) + count
            rate = done / max(1e-9, time.monotonic() - started)
            bar.update(task, completed=done, description=f"{title}: {done} {things}, {rate:.0f} a second")

        yield advance
