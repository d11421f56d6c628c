"""Several serving processes on one port: uvicorn's supervisor starts them and starts them again when they die."""

import logging
import os
import socket
import tempfile
import time

import uvicorn
from prometheus_client import multiprocess
from uvicorn.config import STARTUP_FAILURE
from uvicorn.supervisors import Multiprocess
from uvicorn.supervisors.multiprocess import Process

from serving.metrics import SHARED_FOLDER
from serving.settings import Settings

log = logging.getLogger("tagger")

_HEALTH_SECONDS = 30
"""A replica whose interpreter has not answered for so long is killed; busy machines are slow, not dead."""


def serve_replicas(settings: Settings, listener: socket.socket, number: int, config: dict[str, object]) -> None:
    """Serve with `number` processes until told to stop. They share the port: one that dies takes its connections only."""
    threads = settings.threads or max(1, len(os.sched_getaffinity(0)) // number)
    with tempfile.TemporaryDirectory(prefix="tagger-metrics-") as folder:
        # The processes read their settings from the environment, as any other does.
        os.environ |= {
            SHARED_FOLDER: folder,
            "TAGGER_BUNDLE": str(settings.champion),
            "TAGGER_STATE": str(settings.state),
            "TAGGER_THREADS": str(threads),
        }
        made = uvicorn.Config("serving.app:create_app", factory=True, workers=number, **config)  # type: ignore[arg-type]  # named by the caller
        _Replicas(made, sockets=[listener]).run()


class _Replicas(Multiprocess):
    """The supervisor, never waiting for one replica while another is dead, and forgetting the gauges of those that are no more.

    uvicorn's own check waits for each process's answer in turn: one that is killed meanwhile is noticed seconds later.
    """

    def __init__(self, config: uvicorn.Config, sockets: list[socket.socket]) -> None:
        """As uvicorn's."""
        super().__init__(config, sockets)
        self._asked: set[Process] = set()
        self._answered: dict[Process, float] = {}

    def keep_subprocess_alive(self) -> None:
        """Start dead processes again, and kill those whose interpreter has not answered for long."""
        for index, process in enumerate(self.processes):
            if process.process.is_alive() and self._answers(process):
                continue
            process.kill()
            process.join()
            multiprocess.mark_process_dead(process.pid)  # type: ignore[no-untyped-call]  # carries no types
            self._asked.discard(process)
            self._answered.pop(process, None)
            if process.exitcode == STARTUP_FAILURE:
                log.error("a replica cannot start, and another would not either")
                self.should_exit.set()
            if self.should_exit.is_set():
                return
            log.warning("a replica died", extra={"fields": {"pid": process.pid, "exit": process.exitcode}})
            self.processes[index] = Process(self.config, self.sockets)
            self.processes[index].start()

    def _answers(self, process: Process) -> bool:
        now = time.monotonic()
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
