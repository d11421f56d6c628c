"""Lines of JSON in, one passage each, and lines out: read as they arrive, few of them in memory at a time."""

import asyncio
import json
import logging
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Any

from pydantic import ValidationError
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from serving.admission import refusal
from serving.api import PassageBody
from serving.results import ItemError, PassageIn
from serving.waiting import Item
from serving.wire import first_mistake, oversized, read_json

log = logging.getLogger("tagger")

LOST = "tagger.connection_lost"
"""Where `serving.connections` puts the event of that name into a request's scope."""

MEDIA_TYPES = ("application/x-ndjson", "application/ndjson", "application/jsonl")


class StreamEndedError(Exception):
    """Raised when a stream ends before its caller has ended it; `code` says why."""

    def __init__(self, code: str, detail: str) -> None:
        """Keep the code."""
        super().__init__(detail)
        self.code = code


class Incoming:
    """The body of a request as it arrives, and whether its caller has gone: the one reader of `receive`."""

    def __init__(self, receive: Receive, stopping: asyncio.Event, seconds: float, lost: asyncio.Event | None = None) -> None:
        """`stopping` is set when the service is told to stop; `seconds` may pass between two chunks.

        `lost` is set when the connection is: `receive` would say so only after all that has arrived was scored.
        """
        self._receive, self._stopping, self._seconds = receive, stopping, seconds
        self._chunks: asyncio.Queue[bytes | None] = asyncio.Queue(1)
        self._whole = False
        """Whether all of the body has arrived."""
        self._gone = lost or asyncio.Event()
        self._reading = asyncio.ensure_future(self._read())

    async def gone(self) -> None:
        """Return when the caller has gone."""
        await self._gone.wait()

    def close(self) -> None:
        """Stop reading."""
        self._reading.cancel()

    async def chunks(self) -> AsyncIterator[bytes]:
        """The body. Raises StreamEndedError when nothing comes for too long, or the service stops."""
        stopping = asyncio.ensure_future(self._stopping.wait())
        try:
            while chunk := await self._next(stopping):
                yield chunk
        finally:
            stopping.cancel()

    async def _next(self, stopping: asyncio.Future[Any]) -> bytes | None:
        following = asyncio.ensure_future(self._chunks.get())
        try:
            if not self._stops():  # else a caller who sends faster than is scored would never be told
                await asyncio.wait({following, stopping}, timeout=self._seconds, return_when=asyncio.FIRST_COMPLETED)
                if following.done():
                    return following.result()
        finally:
            following.cancel()
        if self._stops():
            code, detail = "draining", "the service has been told to stop; the stream ends here"
            raise StreamEndedError(code, detail)
        code, detail = "timeout", f"nothing has arrived for {self._seconds:g} s; the stream ends here"
        raise StreamEndedError(code, detail)

    def _stops(self) -> bool:
        return self._stopping.is_set() and not self._whole

    async def _read(self) -> None:
        more = True
        while (message := await self._receive())["type"] != "http.disconnect":
            self._whole = self._whole or not message.get("more_body", False)
            if message.get("body") and more:
                await self._chunks.put(message["body"])
            if more and self._whole:
                more = False
                await self._chunks.put(None)
        self._gone.set()


async def passages_of(chunks: AsyncIterator[bytes], limit: int) -> AsyncIterator[Item]:
    """The passages of a body; a line that holds none, or has more than `limit` bytes, is an item with an error."""
    index, number, line, skipping = 0, 0, bytearray(), False
    async for chunk in chunks:
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


def _item(line: bytes, index: int, number: int) -> Item:
    try:
        data = read_json(line)
        if mistake := oversized(data):
            detail = f"line {number}: {mistake['detail']}"
            return Item(id=str(index), error=ItemError(code="not_a_passage", detail=detail))
        found = PassageBody.model_validate(data)
    except ValidationError as error:
        detail = f"line {number}: {first_mistake(error)}"
        return Item(id=str(index), error=ItemError(code="not_a_passage", detail=detail))
    except ValueError as error:
        return Item(id=str(index), error=ItemError(code="not_json", detail=f"line {number} is not JSON: {error}"))
    name = str(index) if found.id is None else found.id
    passage = PassageIn(text=found.text, context=found.context)
    if refused := refusal(passage):  # not kept while it waits
        return Item(id=name, error=refused)
    return Item(id=name, passage=passage)


def _too_long(index: int, number: int, limit: int) -> Item:
    detail = f"line {number} has more than {limit} bytes"
    return Item(id=str(index), error=ItemError(code="line_too_long", detail=detail))


class LinesResponse(Response):
    """Sends lines as they come, and leaves `receive` alone: the request's body may still be arriving.

    Starlette's StreamingResponse listens for the caller's leaving on `receive`, and would eat the body. A caller who does not
    read for `seconds` is cut off.
    """

    media_type = MEDIA_TYPES[0]

    def __init__(self, lines: AsyncGenerator[dict[str, Any], None], headers: dict[str, str], seconds: float) -> None:
        """`lines` become one line of JSON each."""
        super().__init__(headers=headers)
        del self.headers["content-length"]
        self._lines, self._seconds = lines, seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - as ASGI calls it
        """Send all lines."""
        await asyncio.sleep(0)  # the reader asks for the body first: a caller who waits for "100 Continue" gets it
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        try:
            async with aclosing(self._lines) as lines:
                async for line in lines:
                    content = json.dumps(line, ensure_ascii=False).encode() + b"\n"
                    async with asyncio.timeout(self._seconds):
                        await send({"type": "http.response.body", "body": content, "more_body": True})
        except TimeoutError:
            log.warning("a caller does not read its stream; it is cut off")
            return  # without the last chunk, the server closes the connection
        await send({"type": "http.response.body", "body": b"", "more_body": False})
