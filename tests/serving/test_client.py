"""The client against a real server: typed answers, retries that keep to Retry-After, problems as errors."""

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

import httpx
import pytest

from serving.answers import TagAnswer
from serving.client import AsyncTaggerClient, TaggerClient, TaggerError
from serving.keys import create_key
from serving.settings import Settings

Running = Callable[[Settings], AbstractContextManager[str]]

DEMAND = "We urge the Council to impose an arms embargo. It was raining."


@pytest.fixture
def base(service_settings: Settings, running: Running) -> Iterator[str]:
    """A running service."""
    with running(service_settings) as address:
        yield address


def test_sync_and_async_say_the_same(base: str) -> None:
    """Every call, with options, and many passages in batches with their places as ids."""
    texts = [f"We urge state {number} to act." for number in range(30)]

    async def ask() -> tuple[object, ...]:
        async with AsyncTaggerClient(base) as tagger:
            many = [result async for result in tagger.tag_many(iter(texts), batch=7)]
            return await tagger.tag([DEMAND], sentences=True), await tagger.document("a\n\nb"), await tagger.tags(), many

    with TaggerClient(base + "/") as tagger:
        answer = tagger.tag([{"text": DEMAND, "id": "p"}, "Page 3"], top_k=1)
        assert isinstance(answer, TagAnswer)
        assert [result.id for result in answer.results] == ["p", "1"]
        assert tagger.model().version == answer.model.version
        many = list(tagger.tag_many(iter(texts), batch=7))
        assert [result.id for result in many] == [str(number) for number in range(30)]
        expected = tagger.tag([DEMAND], sentences=True), tagger.document("a\n\nb"), tagger.tags(), many
    assert asyncio.run(ask()) == expected


def test_a_refusal_is_an_error_with_its_problem(service_settings: Settings, running: Running) -> None:
    """The message names status, pointer and detail; a key is sent as a bearer."""
    key = create_key(service_settings.keys_file, "bot", ["tag"])
    with running(service_settings) as base:
        with TaggerClient(base) as tagger, pytest.raises(TaggerError, match="401 Unauthorized: send a key"):
            tagger.tags()
        with TaggerClient(base, key=key) as tagger, pytest.raises(TaggerError, match="/thresholds/x: no tag of this model"):
            tagger.tag(["a"], thresholds={"x": 1})


def test_a_full_service_is_tried_again_when_it_says(monkeypatch: pytest.MonkeyPatch) -> None:
    """429 and 503 with Retry-After, then lost connections, then the answer; one attempt alone gives up."""
    seen: list[float] = []
    pauses: list[float] = []
    monkeypatch.setattr("serving.client.time.sleep", pauses.append)

    def serve(request: httpx.Request) -> httpx.Response:
        seen.append(time.monotonic())
        if len(seen) == 1:
            return httpx.Response(429, headers={"Retry-After": "7"}, text="full")
        if len(seen) == 2:
            return httpx.Response(503, text="<html>proxy</html>")
        if len(seen) == 3:
            message = "gone"
            raise httpx.ConnectError(message)
        return httpx.Response(200, json={"codebook": "1.1", "tags": []})

    with TaggerClient("http://x", http=httpx.Client(transport=httpx.MockTransport(serve))) as tagger:
        assert tagger.tags().tags == []
    assert len(seen) == 4
    assert 7 <= pauses[0] <= 9
    assert all(0 < pause < 2 for pause in pauses[1:])
    seen.clear()
    with (
        TaggerClient("http://x", attempts=1, http=httpx.Client(transport=httpx.MockTransport(serve))) as tagger,
        pytest.raises(TaggerError, match="429 Too Many Requests: full"),
    ):
        tagger.tags()


def test_a_service_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """After all attempts the library's own error comes; no attempts are a mistake."""
    with TaggerClient("http://127.0.0.1:9", attempts=2) as tagger, pytest.raises(httpx.ConnectError):
        tagger.tag(["a"])
    with pytest.raises(ValueError, match="attempts=0"):
        TaggerClient("http://127.0.0.1:9", attempts=0)

    async def ask() -> None:
        async with AsyncTaggerClient("http://127.0.0.1:9", attempts=2) as tagger:
            await tagger.tag(["a"])

    with pytest.raises(httpx.ConnectError):
        asyncio.run(ask())


def _answering(*answers: httpx.Response | Exception) -> tuple[TaggerClient, list[httpx.Request]]:
    """A client of a service that answers so, and what it was asked."""
    left, asked = list(answers), []

    def serve(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        answer = left.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    return TaggerClient("http://x", http=httpx.Client(transport=httpx.MockTransport(serve))), asked


def test_what_takes_too_long_is_not_asked_again() -> None:
    """It would take as long again, and be computed twice."""
    tagger, asked = _answering(httpx.ReadTimeout("slow"))
    with tagger, pytest.raises(httpx.ReadTimeout):
        tagger.tags()
    assert len(asked) == 1


@pytest.mark.parametrize("told", ["3600", "9" * 400, "Fri, 31 Dec 9999 23:59:59 GMT"])
def test_a_wait_that_is_too_long_is_an_error_at_once(told: str) -> None:
    """The caller decides what to do with an hour."""
    tagger, asked = _answering(httpx.Response(429, headers={"Retry-After": told}, text="full"))
    with tagger, pytest.raises(TaggerError, match="429"):
        tagger.tags()
    assert len(asked) == 1


def test_a_retry_after_may_be_a_date(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that has passed means now."""
    pauses: list[float] = []
    monkeypatch.setattr("serving.client.time.sleep", pauses.append)
    old = httpx.Response(503, headers={"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"})
    tagger, _ = _answering(old, httpx.Response(200, json={"codebook": "1.1", "tags": []}))
    with tagger:
        tagger.tags()
    assert pauses == [0.0]


def test_a_retry_after_that_cannot_be_read_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """A year beyond any and words alike: the client pauses as without it."""
    pauses: list[float] = []
    monkeypatch.setattr("serving.client.time.sleep", pauses.append)
    odd = [f"Fri, 31 Dec {year} 23:59:59 GMT" for year in ("9" * 11, "9" * 30)] + ["soon"]
    full = [httpx.Response(429, headers={"Retry-After": told}) for told in odd]
    tagger, _ = _answering(*full, httpx.Response(200, json={"codebook": "1.1", "tags": []}))
    with tagger:
        tagger.tags()
    assert all(0 < pause < 1 for pause in pauses)
    assert len(pauses) == 3


def test_one_bad_text_is_one_error(base: str) -> None:
    """A lone surrogate is named by the service; the others are answered."""
    with TaggerClient(base) as tagger:
        bad, good = tagger.tag(["\ud800", "fine"]).results
        assert bad.error
        assert (bad.error.code, good.error) == ("lone_surrogate", None)
        with pytest.raises(TypeError, match="letter by letter"):
            tagger.tag("We urge")
        with pytest.raises(ValueError, match="batch=0"):
            next(tagger.tag_many(["a"], batch=0))


def test_who_stops_early_waits_for_nothing(base: str) -> None:
    """The first result is enough; the batches under way are left alone."""
    with TaggerClient(base) as tagger:
        found = tagger.tag_many(("word " * 300 for _ in range(10_000)), batch=40, parallel=2)
        began = time.monotonic()
        assert next(found).id == "0"
        first = time.monotonic() - began
        began = time.monotonic()
        found.close()  # type: ignore[attr-defined]  # it is a generator
        assert time.monotonic() - began < first / 3
