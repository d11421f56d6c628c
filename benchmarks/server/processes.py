"""A server as a tree of processes: started, waited for, measured from outside, ended."""

import json
import os
import signal
import subprocess
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.server.contenders import Contender

_START_SECONDS = 120
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """A server that answers."""

    contender: Contender
    url: str
    pid: int
    ready_seconds: float
    """From its start to its first right answer."""

    def ask(self, texts: Sequence[str]) -> list[dict[str, float]]:
        """Scores of texts. Raises OSError."""
        return self.contender.scores(_post(self.url, self.contender.body(texts)))

    def cpu_seconds(self) -> float:
        """Time of all its processes so far."""
        return sum(_cpu(pid) for pid in _tree(self.pid))

    def memory_mb(self) -> float:
        """Proportional set size of all its processes."""
        return tree_memory_mb(self.pid)


def tree_memory_mb(pid: int) -> float:
    """Proportional set size of a process and all its descendants."""
    return sum(_pss(one) for one in _tree(pid)) / 1024


@contextmanager
def running(contender: Contender, folder: Path, model: Path, port: int) -> Iterator[Running]:
    """Start a server and end it with all its children. Raises RuntimeError with its last words when it does not come up."""
    variables = {
        **{name: value for name, value in os.environ.items() if not name.startswith("OPENBLAS_")},
        "BENCH_MODEL": str(model),
        "BENCH_MODE": contender.mode,
        "PATH": f"{folder}:{os.environ['PATH']}",
        **contender.environment,
    }
    log = model.parent / f"{contender.name.replace(' ', '-')}-{contender.mode}.log"
    started = time.perf_counter()
    with log.open("w") as out:
        process = subprocess.Popen(
            contender.command(folder, model, port),
            stdout=out,
            stderr=out,
            env=variables,
            start_new_session=True,
            cwd=_home(contender),
        )
    try:
        url = f"http://127.0.0.1:{port}{contender.path}"
        _wait(process, url, contender, log)
        yield Running(contender=contender, url=url, pid=process.pid, ready_seconds=time.perf_counter() - started)
    finally:
        with suppress(ProcessLookupError, subprocess.TimeoutExpired):
            os.killpg(process.pid, signal.SIGTERM)
            process.wait(15)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _home(contender: Contender) -> Path:
    root = Path(__file__).parent.parent.parent
    return root if contender.mode == "ours" else Path(__file__).parent


def _wait(process: subprocess.Popen[bytes], url: str, contender: Contender, log: Path) -> None:
    until = time.monotonic() + _START_SECONDS
    while time.monotonic() < until and process.poll() is None:
        try:
            contender.scores(_post(url, contender.body(["ready?"])))
        except (OSError, ValueError, KeyError):
            time.sleep(0.02)
        else:
            return
    message = (
        f"{contender.name} ({contender.mode}) does not answer:\n{log.read_text(encoding='utf-8', errors='replace')[-2000:]}"
    )
    raise RuntimeError(message)


def _post(url: str, body: dict[str, Any]) -> Any:
    request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})  # noqa: S310 - our own servers
    with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310 - our own servers
        return json.load(answer)


def _tree(pid: int) -> list[int]:
    """A process and all its descendants."""
    found, todo = [], [pid]
    while todo:
        one = todo.pop()
        found.append(one)
        for path in Path(f"/proc/{one}/task").glob("*/children"):
            try:
                todo += [int(child) for child in path.read_text(encoding="ascii").split()]
            except OSError:
                continue
    return found


def _cpu(pid: int) -> float:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / _TICKS


def _pss(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("Pss:")), 0)
