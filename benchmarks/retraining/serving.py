"""A server that follows its registry, in a process of its own."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def server(state: Path, port: int, database: str = "") -> Iterator[subprocess.Popen[bytes]]:
    """`tagger serve` that follows its registry, once it is ready."""
    environment = {**os.environ, "TAGGER_STATE": str(state), "TAGGER_DATABASE": database}
    command = [sys.executable, "-m", "serving.cli", "serve", "--port", str(port)]
    process = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)
    try:
        while True:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.02)
        yield process
    finally:
        process.kill()
        process.wait()
