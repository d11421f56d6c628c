"""Progress of long work, with an estimate of what is left: a bar on a terminal, a line now and then elsewhere."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

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


Shown = Callable[[int, float], None]
"""Called with the number of things done since the last call, and the share of the whole that is done."""


@contextmanager
def rate_shown(title: str, things: str) -> Iterator[Shown]:
    """Show how many `things` are done, how fast, and the time left; silent where no terminal is."""
    if not sys.stderr.isatty():
        yield lambda _, __: None
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    started, done = time.monotonic(), 0
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(title, total=1.0)

        def show(count: int, share: float) -> None:
            nonlocal done
            done += count
            rate = done / max(1e-9, time.monotonic() - started)
            bar.update(task, completed=share, description=f"{title}: {done} {things}, {rate:.0f} a second")

        yield show
