"""The engine of one machine: items read ahead in a thread, scored on all scoring threads, given back in order."""

import threading
from collections import deque
from collections.abc import Iterator

from serving.batch.items import Item
from serving.classifier import Classifier
from serving.results import Options, Result
from serving.scheduler import Job

CHUNK = 64
"""Items of one job."""
_JOBS = 4
"""Jobs under way: enough that no thread waits for the next one."""
_AHEAD = 1024
"""Items that are read before their turn …"""
_AHEAD_CHARACTERS = 2**24
"""… unless they are this long together."""
_CHUNK_CHARACTERS = 2**21
Scored = list[tuple[Item, Result | None]]


def scored(classifier: Classifier, items: Iterator[Item], options: Options) -> Iterator[Scored]:
    """Chunks of items with their results, in order; None stands for an item without a passage.

    Memory is bounded: so many items are read ahead and so many jobs are under way, whatever the inputs' size.
    """
    ahead = _Ahead(items)
    waiting: deque[tuple[list[Item], Job | None]] = deque()
    try:
        while True:
            while len(waiting) < _JOBS and (chunk := _chunk(ahead)):
                passages = [item.passage for item in chunk if item.passage]
                waiting.append((chunk, classifier.submit(passages, options, bulk=True) if passages else None))
            if not waiting:
                return
            chunk, job = waiting.popleft()
            results = iter(job.wait() if job else [])
            yield [(item, next(results) if item.passage else None) for item in chunk]
    finally:
        for _, job in waiting:
            if job:
                classifier.scheduler.cancel(job)
        ahead.close()


class _Ahead(Iterator[Item]):
    """Items read in a thread of their own, so that a document is opened while those before it are scored."""

    def __init__(self, items: Iterator[Item]) -> None:
        self._items: deque[Item] = deque()
        self._characters = 0
        self._condition = threading.Condition()
        self._stopped = False
        self._last: BaseException | None = None
        """What ended the reading: StopIteration, or an error to raise where the items are used."""
        threading.Thread(target=self._fill, args=(items,), daemon=True, name="reading").start()

    def __next__(self) -> Item:
        with self._condition:
            while not self._items:
                if self._last is not None:
                    raise self._last
                self._condition.wait()
            item = self._items.popleft()
            self._characters -= _weight(item)
            self._condition.notify_all()
            return item

    def close(self) -> None:
        with self._condition:
            self._stopped = True
            self._condition.notify_all()

    def _fill(self, items: Iterator[Item]) -> None:
        last: BaseException = StopIteration()
        try:
            for item in items:
                if not self._put(item):
                    return
        except BaseException as error:  # noqa: BLE001 - it is raised where the items are used
            last = error
        with self._condition:
            self._last = last
            self._condition.notify_all()

    def _put(self, item: Item) -> bool:
        with self._condition:
            while self._items and (len(self._items) >= _AHEAD or self._characters >= _AHEAD_CHARACTERS):
                if self._stopped:
                    return False
                self._condition.wait()
            self._items.append(item)
            self._characters += _weight(item)
            self._condition.notify_all()
            return not self._stopped


def _weight(item: Item) -> int:
    return len(item.passage.text) + len(item.passage.context) if item.passage else 0


def _chunk(ahead: Iterator[Item]) -> list[Item]:
    """The items of one job: so many, or fewer when they are long."""
    chunk: list[Item] = []
    characters = 0
    for item in ahead:
        chunk.append(item)
        characters += _weight(item)
        if len(chunk) == CHUNK or characters >= _CHUNK_CHARACTERS:
            break
    return chunk
