"""A typed client of the service, for programs: sync and async, with retries that keep to Retry-After (extra `client`).

    with TaggerClient("http://127.0.0.1:8000") as tagger:
        answer = tagger.tag(["We urge the Council to act."])
        answer.results[0].tags

A request is tried again when the service was full, starting, stopping or unreachable, or the connection broke: tagging changes
nothing, so that twice does no harm. One that takes too long is not: it would take as long again.
"""

import asyncio
import json
import random
import time
import uuid
from collections import deque
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from itertools import islice
from types import MappingProxyType, TracebackType
from typing import Any, Self, TypeVar

try:
    import httpx
except ModuleNotFoundError as error:
    message = 'the client needs the extra `client`: pip install "passage-tagger[client]"'
    raise ModuleNotFoundError(message, name=error.name) from error
from pydantic import BaseModel

from serving.answers import DocumentAnswer, LabelsAnswer, ModelAnswer, ProblemOut, ResultOut, TagAnswer, TagsAnswer

_AGAIN = (429, 502, 503)
_BROKEN = (httpx.ConnectError, httpx.ConnectTimeout, httpx.ReadError, httpx.WriteError, httpx.RemoteProtocolError)
_FIRST_PAUSE = 0.2
_LONGEST_PAUSE = 30.0
_JSON = {"Content-Type": "application/json"}
Answer = TypeVar("Answer", bound=BaseModel)
Passage = str | Mapping[str, str]
"""A text, or `{"text", "context", "id"}`, the last two optional."""


class TaggerError(Exception):
    """Raised when the service refuses a request; `problem` is its RFC 9457 document."""

    def __init__(self, problem: ProblemOut) -> None:
        """Keep the problem."""
        where = "".join(f"; {entry['pointer']}: {entry['detail']}" for entry in problem.errors or [])
        super().__init__(f"{problem.status} {problem.title}: {problem.detail}{where}")
        self.problem = problem


class _Calls:
    """What both clients say to the service; how they say it is theirs."""

    def __init__(self, base_url: str, attempts: int, key: str | None, max_wait: float) -> None:
        if attempts < 1:
            message = f"attempts={attempts}, at least 1 is needed"
            raise ValueError(message)
        self._base, self._attempts, self._max_wait = base_url.rstrip("/"), attempts, max_wait
        self._headers = {"Authorization": f"Bearer {key}"} if key else {}

    def _pause(self, attempt: int, answer: httpx.Response | None) -> float | None:
        """Seconds before the next attempt; None when there is none: the last, no better than this one, or too far off."""
        if attempt + 1 >= self._attempts or (answer is not None and answer.status_code not in _AGAIN):
            return None
        told = _told(answer.headers.get("retry-after", "")) if answer is not None else None
        if told is None:
            return min(_FIRST_PAUSE * 2.0**attempt, _LONGEST_PAUSE) * random.uniform(0.5, 1)  # noqa: S311 - spreads callers, keeps no secret
        return told * random.uniform(1, 1.25) if told <= self._max_wait else None  # noqa: S311 - as above

    @staticmethod
    def _read(answer: httpx.Response, model: type[Answer]) -> Answer:
        if answer.is_success:
            return model.model_validate_json(answer.content)
        raise TaggerError(_problem(answer))


def _told(header: str) -> float | None:
    """Seconds of a Retry-After, which is a number or a date (RFC 9110); None when it is neither."""
    if header.isascii() and header.isdecimal():
        return float(header)
    try:
        return max(0.0, (parsedate_to_datetime(header) - datetime.now(UTC)).total_seconds())
    except (TypeError, ValueError, OverflowError):  # the last: a year beyond any
        return None


def _problem(answer: httpx.Response) -> ProblemOut:
    try:
        return ProblemOut.model_validate_json(answer.content)
    except ValueError:  # a proxy's own page
        return ProblemOut(title=answer.reason_phrase, status=answer.status_code, detail=answer.text[:200])


def _content(body: Mapping[str, Any]) -> dict[str, Any]:
    """A body in ASCII: a lone surrogate is a mistake of one passage, which the service names, not of the whole request."""
    return {"content": json.dumps(body).encode(), "headers": _JSON}


def _passages(passages: Sequence[Passage], options: Mapping[str, Any]) -> dict[str, Any]:
    if isinstance(passages, str):
        message = "give a list of passages; a string would be tagged letter by letter"
        raise TypeError(message)
    return _content({"passages": [{"text": one} if isinstance(one, str) else dict(one) for one in passages], **options})


def _labels(labels: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """A body of labels, each with a key: sent a second time after an answer was lost, it is not added again."""
    return _content({"labels": [{"key": uuid.uuid4().hex, **one} for one in labels]})


def _batches(passages: Iterable[Passage], size: int, parallel: int) -> Iterator[Sequence[Passage]]:
    """Batches of passages, each with an id: its own, or its place among all. Raises ValueError for sizes below 1."""
    if isinstance(passages, str) or min(size, parallel) < 1:
        message = f"give a list of passages, and batch={size} and parallel={parallel} of at least 1"
        raise ValueError(message)
    numbered = ({"id": str(index), **({"text": one} if isinstance(one, str) else one)} for index, one in enumerate(passages))
    while batch := list(islice(numbered, size)):
        yield batch


class TaggerClient(_Calls):
    """A client that waits for its answers. Safe to share between threads; close it, or use it in a `with`."""

    def __init__(
        self,
        base_url: str,
        *,
        key: str | None = None,
        timeout: float = 60.0,
        attempts: int = 5,
        max_wait: float = 60.0,
        http: httpx.Client | None = None,
    ) -> None:
        """`timeout` in seconds a try; a Retry-After of more than `max_wait` seconds is not waited for.

        All tries of one call take at most `attempts` times `timeout` (which counts anew whenever the service sends something),
        and the pauses between them 1.25 times `max_wait` each: ten minutes as it stands.

        `http` brings a client of your own (proxies, certificates).
        """
        super().__init__(base_url, attempts, key, max_wait)
        self._http = http or httpx.Client(timeout=timeout)

    def __enter__(self) -> Self:
        """The client itself."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Close the connections."""
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def tag(self, passages: Sequence[Passage], **options: Any) -> TagAnswer:
        """Tag passages. `options` as in the API: long, thresholds, top_k, logits, sentences, timeout_ms.

        Raises TaggerError when the service refuses, httpx.TransportError when it cannot be reached after all attempts.
        """
        return self._read(self._send("POST", "/v1/tag", **_passages(passages, options)), TagAnswer)

    def document(self, text: str, **options: Any) -> DocumentAnswer:
        """Tag the passages of a text or Markdown document; raises as `tag`."""
        return self._read(self._send("POST", "/v1/documents", **_content({"text": text, **options})), DocumentAnswer)

    def tag_many(
        self, passages: Iterable[Passage], *, batch: int = 64, parallel: int = 2, **options: Any
    ) -> Iterator[ResultOut]:
        """Results in order, of any number of passages, read only as far ahead as is being scored; raises as `tag`.

        Requests of `batch` passages, `parallel` at a time, each tried again alone.
        """
        batches = _batches(passages, batch, parallel)
        running: deque[Future[TagAnswer]] = deque()
        pool = ThreadPoolExecutor(parallel)
        try:
            for one in islice(batches, parallel):
                running.append(pool.submit(self.tag, one, **options))
            while running:
                answer = running.popleft().result()
                for one in islice(batches, 1):
                    running.append(pool.submit(self.tag, one, **options))
                yield from answer.results
        finally:  # a caller who stops early waits for nothing
            pool.shutdown(wait=False, cancel_futures=True)

    def add_labels(self, labels: Sequence[Mapping[str, Any]]) -> LabelsAnswer:
        """Add labels, each `{"document", "text", "tags", "annotator", …}` as in the API, all or none; raises as `tag`."""
        return self._read(self._send("POST", "/v1/labels", **_labels(labels)), LabelsAnswer)

    def tags(self) -> TagsAnswer:
        """The tags and what they mean; raises as `tag`."""
        return self._read(self._send("GET", "/v1/tags"), TagsAnswer)

    def model(self) -> ModelAnswer:
        """What serves, and how good it is; raises as `tag`."""
        return self._read(self._send("GET", "/v1/model"), ModelAnswer)

    def _send(
        self, method: str, path: str, headers: Mapping[str, str] = MappingProxyType({}), **content: Any
    ) -> httpx.Response:
        for attempt in range(self._attempts):
            answer = None
            try:
                answer = self._http.request(method, f"{self._base}{path}", headers={**self._headers, **headers}, **content)
            except _BROKEN:
                if (pause := self._pause(attempt, None)) is None:
                    raise
            else:
                if (pause := self._pause(attempt, answer)) is None or answer.is_success:
                    return answer
            time.sleep(pause)
        message = "the last attempt returns or raises"
        raise AssertionError(message)


class AsyncTaggerClient(_Calls):
    """The same for asyncio; close it, or use it in an `async with`."""

    def __init__(
        self,
        base_url: str,
        *,
        key: str | None = None,
        timeout: float = 60.0,
        attempts: int = 5,
        max_wait: float = 60.0,
        http: httpx.AsyncClient | None = None,
    ) -> None:
        """As TaggerClient."""
        super().__init__(base_url, attempts, key, max_wait)
        self._http = http or httpx.AsyncClient(timeout=timeout)

    async def __aenter__(self) -> Self:
        """The client itself."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the connections."""
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def tag(self, passages: Sequence[Passage], **options: Any) -> TagAnswer:
        """As TaggerClient.tag."""
        return self._read(await self._send("POST", "/v1/tag", **_passages(passages, options)), TagAnswer)

    async def document(self, text: str, **options: Any) -> DocumentAnswer:
        """As TaggerClient.document."""
        return self._read(await self._send("POST", "/v1/documents", **_content({"text": text, **options})), DocumentAnswer)

    async def tag_many(
        self, passages: Iterable[Passage], *, batch: int = 64, parallel: int = 2, **options: Any
    ) -> AsyncIterator[ResultOut]:
        """As TaggerClient.tag_many."""
        batches = _batches(passages, batch, parallel)
        running: deque[asyncio.Future[TagAnswer]] = deque()
        try:
            for one in islice(batches, parallel):
                running.append(asyncio.ensure_future(self.tag(one, **options)))
            while running:
                answer = await running.popleft()
                running.extend(asyncio.ensure_future(self.tag(one, **options)) for one in islice(batches, 1))
                for result in answer.results:
                    yield result
        finally:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)

    async def add_labels(self, labels: Sequence[Mapping[str, Any]]) -> LabelsAnswer:
        """As `TaggerClient.add_labels`."""
        return self._read(await self._send("POST", "/v1/labels", **_labels(labels)), LabelsAnswer)

    async def tags(self) -> TagsAnswer:
        """As TaggerClient.tags."""
        return self._read(await self._send("GET", "/v1/tags"), TagsAnswer)

    async def model(self) -> ModelAnswer:
        """As TaggerClient.model."""
        return self._read(await self._send("GET", "/v1/model"), ModelAnswer)

    async def _send(
        self, method: str, path: str, headers: Mapping[str, str] = MappingProxyType({}), **content: Any
    ) -> httpx.Response:
        for attempt in range(self._attempts):
            answer = None
            try:
                answer = await self._http.request(
                    method, f"{self._base}{path}", headers={**self._headers, **headers}, **content
                )
            except _BROKEN:
                if (pause := self._pause(attempt, None)) is None:
                    raise
            else:
                if (pause := self._pause(attempt, answer)) is None or answer.is_success:
                    return answer
            await asyncio.sleep(pause)
        message = "the last attempt returns or raises"
        raise AssertionError(message)
