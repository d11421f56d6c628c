"""What a labelling tool is asked to do, and how its servers are started and talked to: on loopback, nothing sent home."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import httpx

_NOWHERE = "http://127.0.0.1:9"
"""A proxy that does not answer: what a tool would send anywhere but to this machine goes there."""
NOTHING_HOME = {
    "HTTP_PROXY": _NOWHERE,
    "HTTPS_PROXY": _NOWHERE,
    "http_proxy": _NOWHERE,
    "https_proxy": _NOWHERE,
    "NO_PROXY": "127.0.0.1",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Project:
    """A project of a running tool."""

    version: str
    load: Callable[[Path], None]
    """Import a file."""
    exports: Callable[[Path], dict[str, Path]]
    """Everything that was labelled, by format of the tool, written into a folder."""
    correct: Callable[[str, Sequence[str]], None]
    """Give the example with this text other tags."""
    label: Callable[[str, Sequence[str]], None]
    """Make an example of a document and label it, as a user of the tool."""


@contextmanager
def running(command: list[str], settings: dict[str, str], home: Path) -> Iterator[None]:
    """A server, ended at the end; when it was not started right, its log is told."""
    with (home / "log").open("ab") as log:
        process = subprocess.Popen(command, env=os.environ | settings, stdout=log, stderr=log, cwd=home)
        try:
            yield
        except BaseException:
            print((home / "log").read_text(encoding="utf-8", errors="replace")[-3000:], file=sys.stderr)
            raise
        finally:
            process.terminate()
            process.wait(30)


def wait(is_ready: Callable[[], bool], seconds: float = 300) -> None:
    """Ask twice a second until it is ready. Raises TimeoutError."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            if is_ready():
                return
        except httpx.TransportError:
            pass
        time.sleep(0.5)
    message = f"the tool was not ready after {seconds} s"
    raise TimeoutError(message)


def done(answer: httpx.Response) -> Any:
    """The body of an answer; what went wrong when it is none."""
    if not answer.is_success:
        message = f"{answer.request.method} {answer.request.url}: {answer.status_code}: {answer.text[:1000]}"
        raise RuntimeError(message)
    return answer.json()


def free_port() -> int:
    """A port of loopback that nobody uses."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def version_of(binaries: Path, package: str) -> str:
    """Version of a package in the environment of these binaries."""
    paths = [str(path) for path in binaries.parent.glob("lib/python*/site-packages")]
    return next(iter(metadata.distributions(name=package, path=paths))).version
