"""The engine of one machine: items read ahead in a thread, scored on all scoring threads, given back in order."""

import queue
import threading
from collections import deque
from collections.abc import Iterator
from itertools import islice

from serving.batch.items import Item
from serving.classifier import Classifier
from serving.results import Options, Result
from serving.scheduler import Job

CHUNK = 64
"""Items of one job."""
_JOBS = 4
"""Jobs under way: enough that no thread waits for the next one."""
_AHEAD = 1024
"""Items that are read before their turn."""
_END = object()
Scored = list[tuple[Item, Result | None]]


def scored(classifier: Classifier, items: Iterator[Item], options: Options) -> Iterator[Scored]:
    """Chunks of items with their results, in order; None stands for an item without a passage.

    Memory is bounded: so many items are read ahead and so many jobs are under way, whatever the inputs' size.
    """
    ahead = _Ahead(items)
    waiting: deque[tuple[list[Item], Job | None]] = deque()
    try:
        while True:
            while len(waiting) < _JOBS and (chunk := list(islice(ahead, CHUNK))):
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
        self._queue: queue.Queue[object] = queue.Queue(_AHEAD)
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._fill, args=(items,), daemon=True, name="reading")
        self._thread.start()

    def __next__(self) -> Item:
        found = self._queue.get()
        if isinstance(found, Item):
            return found
        self._queue.put(found)  # whoever asks again is told again
        if isinstance(found, BaseException):
            raise found
        raise StopIteration

    def close(self) -> None:
        self._stopped.set()

    def _fill(self, items: Iterator[Item]) -> None:
        last: object = _END
        try:
            for item in items:
                if not self._put(item):
                    return
        except BaseException as error:  # noqa: BLE001 - it is raised where the items are used
            last = error
        self._put(last)

    def _put(self, thing: object) -> bool:
        while not self._stopped.is_set():
            try:
                self._queue.put(thing, timeout=0.2)
            except queue.Full:
                continue
            return True
        return False
