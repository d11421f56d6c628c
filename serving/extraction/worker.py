"""The process that reads documents: a request a line on standard input, an answer a line on standard output.

A request is a JSON object with the kind and the length in bytes, then the bytes. What a hostile or damaged file does
to the libraries that read it (a crash, a loop, gigabytes) ends here.
"""

import json
import math
import os
import resource
import signal
import sys
from contextlib import suppress
from typing import BinaryIO

from serving.extraction.extracted import ExtractionError, Limits, Source
from serving.extraction.readers import read

_GRACE_SECONDS = 5
_MOST_NOTES = 50
_DEEP = 10_000
"""Frames: the parsers of nested markup recurse."""


def main() -> None:
    """Answer requests until standard input ends."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints is no answer
    sys.setrecursionlimit(_DEEP)
    while line := sys.stdin.buffer.readline():
        request = json.loads(line)
        limits = Limits(**request["limits"])
        with suppress(ValueError, OSError):  # a lower limit of the system stays
            resource.setrlimit(resource.RLIMIT_AS, (limits.memory_bytes, resource.getrlimit(resource.RLIMIT_AS)[1]))
        signal.alarm(math.ceil(limits.seconds) + _GRACE_SECONDS)  # when nobody is left to end it, it ends itself
        content = _exactly(sys.stdin.buffer, request["length"])
        answers.write(json.dumps(_answer(Source(content=content, kind=request["kind"], limits=limits))).encode() + b"\n")
        answers.flush()
        signal.alarm(0)


def _answer(source: Source) -> dict[str, object]:
    try:
        found = read(source)
    except ExtractionError as error:
        return {"code": error.code, "detail": error.detail}
    except MemoryError:
        return {"code": "too_large", "detail": f"needs more than {source.limits.memory_bytes} bytes of memory to be read"}
    except RecursionError:
        return {"code": "too_deep", "detail": "is nested too deep to be read"}
    except Exception as error:  # noqa: BLE001 - the libraries raise what they like on damaged files
        return {"code": "damaged", "detail": f"cannot be read as {source.kind}: {type(error).__name__}: {error}"[:500]}
    text = found.text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")  # half a pair is no character
    notes = found.notes
    if len(notes) > _MOST_NOTES:
        notes = (*notes[:_MOST_NOTES], f"and {len(notes) - _MOST_NOTES} more of the kind")
    return {"text": text, "pages": found.pages, "notes": notes}


def _exactly(stream: BinaryIO, length: int) -> bytes:
    content = stream.read(length)
    if len(content) != length:
        sys.exit(0)  # the other side has gone
    return content


if __name__ == "__main__":
    main()
