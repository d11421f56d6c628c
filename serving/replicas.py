"""Several serving processes on one port: uvicorn's supervisor starts them and starts them again when they die."""

import logging
import os
import signal
import socket
import tempfile
import time
from pathlib import Path

import uvicorn
from prometheus_client import multiprocess
from uvicorn.config import STARTUP_FAILURE
from uvicorn.supervisors import Multiprocess
from uvicorn.supervisors.multiprocess import Process

from serving.listening import take_no_more
from serving.metrics import SHARED_FOLDER
from serving.service import MOST_LONE
from serving.settings import Settings

log = logging.getLogger("tagger")

_TICK_SECONDS = 0.1
_LONGEST_PAUSE = 30.0
_SHORT_LIFE = 5.0

_HEALTH_SECONDS = 30
"""A replica whose interpreter has not answered for so long is killed; busy machines are slow, not dead."""


def serve_replicas(
    settings: Settings, listener: socket.socket, number: int, config: dict[str, object], *, keys_required: bool
) -> int:
    """Serve with `number` processes until told to stop; the exit status.

    They share the port: one that dies takes its connections only.
    """
    share = max(1, len(os.sched_getaffinity(0)) // number)
    with tempfile.TemporaryDirectory(prefix="tagger-metrics-") as folder:
        # The processes read their settings from the environment, as any other does.
        os.environ |= {
            SHARED_FOLDER: folder,
            **({"TAGGER_BUNDLE": str(settings.bundle.resolve())} if settings.bundle else {}),
            "TAGGER_STATE": str(settings.state),
            "TAGGER_THREADS": str(settings.threads or share),
            "TAGGER_LONE_THREADS": str(settings.lone_threads or min(share, MOST_LONE)),
            "TAGGER_KEYS_REQUIRED": str(keys_required).lower(),
            "TAGGER_REPLICA": "true",
        }
        made = uvicorn.Config("serving.app:create_app", factory=True, workers=number, **config)  # type: ignore[arg-type]  # named by the caller
        replicas = _Replicas(made, [listener], settings.drain_seconds)
        replicas.run()
    return 1 if replicas.failed else 0


class _Replicas(Multiprocess):
    """The supervisor, never waiting for one replica while another is dead, and forgetting the gauges of those that are no more.

    uvicorn's own check waits for each process's answer in turn: one that is killed meanwhile is noticed seconds later.
    """

    def __init__(self, config: uvicorn.Config, sockets: list[socket.socket], drain_seconds: float) -> None:
        """`drain_seconds`: how long the replicas go on taking connections once they are told to stop."""
        super().__init__(config, sockets)
        self.failed = False
        """Whether it ended because no replica could start."""
        self._drain_seconds = drain_seconds
        self._asked: set[Process] = set()
        self._answered: dict[Process, float] = {}
        self._again: dict[int, float] = {}
        self._seen: dict[Process, float] = {}
        """When each was first looked at."""
        self._failures = 0

    def keep_subprocess_alive(self) -> None:
        """Start dead processes again, and kill those whose interpreter has not answered for long."""
        for index, process in enumerate(self.processes):
            if process.process.is_alive() and self._answers(process):
                self._again.pop(index, None)
                continue
            if index not in self._again:
                self._bury(process)
                self._again[index] = time.monotonic() + self._pause(process)
            if self.should_exit.is_set():
                return
            if time.monotonic() >= self._again[index]:
                del self._again[index]
                self.processes[index] = Process(self.config, self.sockets)
                self.processes[index].start()
        self._forget_gauges()

    def terminate_all(self) -> None:
        """Tell all to stop; let nobody connect any more just before they close the port, which is then closed here too."""
        until = time.monotonic() + self._drain_seconds - _TICK_SECONDS
        super().terminate_all()
        while time.monotonic() < until and not self.signal_queue:
            time.sleep(_TICK_SECONDS / 2)
        for listener in self.sockets:
            take_no_more(listener)
            listener.close()

    def join_all(self) -> None:
        """Wait for all, and pass on further signals to those who are in a hurry."""
        while alive := [process for process in self.processes if process.process.is_alive()]:
            for _ in self.signal_queue:
                for process in alive:
                    os.kill(process.process.pid or 0, signal.SIGTERM)
            self.signal_queue.clear()
            alive[0].process.join(_TICK_SECONDS)

    def _bury(self, process: Process) -> None:
        process.kill()
        process.join()
        self._asked.discard(process)
        self._answered.pop(process, None)
        log.warning("a replica died", extra={"fields": {"pid": process.pid, "exit": process.exitcode}})

    def _pause(self, process: Process) -> float:
        """Seconds before a dead replica is started again: none, unless they die one soon after the other."""
        lived = time.monotonic() - self._seen.pop(process, 0.0)
        if process.exitcode != STARTUP_FAILURE and lived > _SHORT_LIFE:
            self._failures = 0
            return 0.0
        self._failures += 1
        if process.exitcode != STARTUP_FAILURE:
            return min(_LONGEST_PAUSE, 2.0**self._failures - 2)  # the first time at once
        if not any(other.process.is_alive() for other in self.processes):
            log.error("no replica can start")
            self.failed = True
            self.should_exit.set()
        return min(_LONGEST_PAUSE, 2.0**self._failures)

    def _answers(self, process: Process) -> bool:
        now = time.monotonic()
        self._seen.setdefault(process, now)
        last = self._answered.setdefault(process, now)
        try:
            if process in self._asked and process.parent_conn.poll(0):
                process.parent_conn.recv()
                self._asked.discard(process)
                last = self._answered[process] = now
            if process not in self._asked:
                process.parent_conn.send(b"ping")
                self._asked.add(process)
        except (OSError, EOFError):  # it is dying
            return False
        return now - last < _HEALTH_SECONDS

    def _forget_gauges(self) -> None:
        """Of processes that are no more, however they ended; what they counted stays."""
        living = {str(process.pid) for process in self.processes}
        for path in Path(os.environ[SHARED_FOLDER]).glob("gauge_live*_*.db"):
            pid = path.stem.rpartition("_")[2]
            if pid not in living:
                multiprocess.mark_process_dead(pid)  # type: ignore[no-untyped-call]  # carries no types
