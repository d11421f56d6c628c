"""Lines of JSON in, one passage each, and lines out: read as they arrive, few of them in memory at a time."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

from pydantic import ValidationError
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from serving.api import PassageBody
from serving.results import ItemError, PassageIn
from serving.waiting import Item
from serving.wire import first_mistake, read_json

MEDIA_TYPES = ("application/x-ndjson", "application/ndjson", "application/jsonl")


class BodyTimeoutError(Exception):
    """Raised when nothing has arrived for too long."""


async def passages_of(chunks: AsyncIterator[bytes], limit: int, seconds: float) -> AsyncIterator[Item]:
    """The passages of a body; a line that holds none, or has more than `limit` bytes, is an item with an error.

    Raises BodyTimeoutError when no byte arrives for `seconds`, and what `chunks` raises.
    """
    index, number, line, skipping = 0, 0, bytearray(), False
    while (chunk := await _chunk(chunks, seconds)) is not None:
        pieces = chunk.split(b"\n")
        for position, piece in enumerate(pieces):
            whole = position < len(pieces) - 1
            if not skipping:
                line += piece
            if len(line) > limit:
                skipping, line = True, bytearray()
            if not whole:
                continue
            number += 1
            if skipping or line.strip():
                yield _too_long(index, number, limit) if skipping else _item(bytes(line), index, number)
                index += 1
            line, skipping = bytearray(), False
    if skipping or line.strip():
        yield _too_long(index, number + 1, limit) if skipping else _item(bytes(line), index, number + 1)


async def _chunk(chunks: AsyncIterator[bytes], seconds: float) -> bytes | None:
    try:
        async with asyncio.timeout(seconds):
            return await anext(chunks, None)
    except TimeoutError as error:
        message = f"nothing has arrived for {seconds:g} s"
        raise BodyTimeoutError(message) from error


def _item(line: bytes, index: int, number: int) -> Item:
    try:
        found = PassageBody.model_validate(read_json(line))
    except ValidationError as error:
        detail = f"line {number}: {first_mistake(error)}"
        return Item(id=str(index), error=ItemError(code="not_a_passage", detail=detail))
    except ValueError as error:
        return Item(id=str(index), error=ItemError(code="not_json", detail=f"line {number} is not JSON: {error}"))
    name = str(index) if found.id is None else found.id
    return Item(id=name, passage=PassageIn(text=found.text, context=found.context))


def _too_long(index: int, number: int, limit: int) -> Item:
    detail = f"line {number} has more than {limit} bytes"
    return Item(id=str(index), error=ItemError(code="line_too_long", detail=detail))


class LinesResponse(Response):
    """Sends lines as they come, and leaves `receive` alone: the request's body may still be arriving.

    Starlette's StreamingResponse listens for the caller's leaving on `receive`, and would eat the body.
    """

    media_type = MEDIA_TYPES[0]

    def __init__(self, lines: AsyncIterator[dict[str, Any]], headers: dict[str, str]) -> None:
        """`lines` become one line of JSON each."""
        super().__init__(headers=headers)
        del self.headers["content-length"]
        self._lines = lines

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - as ASGI calls it
        """Send all lines."""
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        async for line in self._lines:
            content = json.dumps(line, ensure_ascii=False).encode() + b"\n"
            await send({"type": "http.response.body", "body": content, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})
