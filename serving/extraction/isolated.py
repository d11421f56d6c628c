"""Documents read in a process of their own: one that crashes, hangs or swells costs that document only."""

import json
import os
import select
import subprocess
import sys
import threading
import time
from contextlib import suppress
from dataclasses import asdict
from queue import SimpleQueue
from typing import IO, Any

from serving.extraction.extracted import Extracted, ExtractionError, Limits, Source
from serving.extraction.kinds import PLAIN, check_kind
from serving.extraction.readers import check_installed, read

_LIMITS = Limits()
_HEAD = 1024
_CHUNK = 2**16
_END_SECONDS = 2.0


class DocumentReader:
    """Reads documents of any kind; text and Markdown here, all else in a process that lives on from one to the next.

    Thread-safe: documents of several threads are read one after the other.
    """

    def __init__(self, limits: Limits = _LIMITS) -> None:
        """Start nothing yet."""
        self.limits = limits
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()

    def read(self, content: bytes, kind: str) -> Extracted:
        """The text of a document. Raises ExtractionError."""
        if len(content) > self.limits.file_bytes:
            raise ExtractionError("too_large", f"has {len(content)} bytes, at most {self.limits.file_bytes} are allowed")
        check_installed(kind)
        check_kind(kind, content[:_HEAD])
        if kind in PLAIN:
            return read(Source(content=content, kind=kind, limits=self.limits))
        with self._lock:
            answer = self._asked(content, kind)
        if "code" in answer:
            raise ExtractionError(answer["code"], answer["detail"])
        pages = tuple((offset, page) for offset, page in answer["pages"])
        return Extracted(text=answer["text"], pages=pages, notes=tuple(answer["notes"]))

    def close(self) -> None:
        """End the process; a document that is being read is given up."""
        if self._lock.acquire(blocking=False):
            try:
                if self._process and self._process.stdin:
                    self._process.stdin.close()  # it ends by itself
                    with suppress(subprocess.TimeoutExpired):
                        self._process.wait(_END_SECONDS)
                self._end()
            finally:
                self._lock.release()
        elif process := self._process:
            process.kill()

    def _asked(self, content: bytes, kind: str) -> dict[str, Any]:
        request = json.dumps({"kind": kind, "length": len(content), "limits": asdict(self.limits)}).encode() + b"\n"
        until = time.monotonic() + self.limits.seconds
        try:
            process = self._running()
            assert process.stdin is not None  # noqa: S101 - it was asked for
            assert process.stdout is not None  # noqa: S101 - it was asked for
            _send(process.stdin, request + content, until)
            line = _line(process.stdout, until)
        except TimeoutError as error:
            self._end()
            raise ExtractionError("timeout", f"was not read within {self.limits.seconds:g} s") from error
        except OSError:
            line = b""
        except BaseException:
            self._end()  # its answer would come to the next document
            raise
        if not line.endswith(b"\n"):
            status = self._end()
            raise ExtractionError("damaged", f"cannot be read as {kind}: the process that read it ended with status {status}")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None or self._process.poll() is not None:
            self._end()
            command = [sys.executable, "-P", "-m", "serving.extraction.worker"]  # -P: never what lies in the current folder
            # Its own session: Ctrl-C is for the command, which closes the pipe and so ends it.
            self._process = subprocess.Popen(  # noqa: S603 - our own module
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                bufsize=0,
                start_new_session=True,
            )
            for pipe in (self._process.stdin, self._process.stdout):
                assert pipe is not None  # noqa: S101 - it was asked for
                os.set_blocking(pipe.fileno(), False)
        return self._process

    def _end(self) -> int | None:
        if self._process is None:
            return None
        process, self._process = self._process, None
        if process.poll() is None:
            with suppress(subprocess.TimeoutExpired):
                process.wait(0.05)  # one that is about to crash tells its status
        process.kill()
        status = process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe:
                pipe.close()
        return status


class ReaderPool:
    """A few readers, so that one slow document does not keep all others waiting. Thread-safe."""

    def __init__(self, number: int, limits: Limits = _LIMITS) -> None:
        """Start nothing yet."""
        self._all = [DocumentReader(limits) for _ in range(number)]
        self._free: SimpleQueue[DocumentReader] = SimpleQueue()
        for reader in self._all:
            self._free.put(reader)

    def read(self, content: bytes, kind: str) -> Extracted:
        """The text of a document, as soon as a reader is free. Raises ExtractionError."""
        reader = self._free.get()
        try:
            return reader.read(content, kind)
        finally:
            self._free.put(reader)

    def close(self) -> None:
        """End all processes, at once."""
        for reader in self._all:
            reader.close()


def _send(pipe: IO[bytes], data: bytes, until: float) -> None:
    view = memoryview(data)
    while view:
        _wait([], [pipe.fileno()], until)
        with suppress(BlockingIOError):
            view = view[os.write(pipe.fileno(), view[:_CHUNK]) :]


def _line(pipe: IO[bytes], until: float) -> bytes:
    """Up to the next line end, or to the end of the stream."""
    found: list[bytes] = []
    while not found or not found[-1].endswith(b"\n"):
        _wait([pipe.fileno()], [], until)
        try:
            chunk = os.read(pipe.fileno(), _CHUNK)
        except BlockingIOError:
            continue
        if not chunk:
            break
        found.append(chunk)
    return b"".join(found)


def _wait(reading: list[int], writing: list[int], until: float) -> None:
    left = until - time.monotonic()
    poll = select.poll()  # `select` knows no descriptor from 1,024 on
    for descriptors, what in ((reading, select.POLLIN), (writing, select.POLLOUT)):
        for descriptor in descriptors:
            poll.register(descriptor, what)
    if left <= 0 or not poll.poll(left * 1000):
        raise TimeoutError
