"""Streams: a line in, a line out, in order, both ways at once, whatever a line holds and however long it goes on."""

import asyncio
import contextlib
import http.client
import json
import resource
import socket
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractContextManager
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest
from starlette.testclient import TestClient

from serving.app import create_app
from serving.classifier import Classifier
from serving.encoding import Encoded
from serving.ndjson import Incoming, StreamEndedError
from serving.results import Options, PassageIn
from serving.settings import Settings
from serving.waiting import WINDOW, Item, score_in_order

Running = Callable[[Settings], AbstractContextManager[str]]

NDJSON = {"content-type": "application/x-ndjson"}


def lines(client: TestClient, body: str | bytes, **query: Any) -> list[Any]:
    """POST /v1/tag/stream; the lines of the answer."""
    answer = client.post("/v1/tag/stream", content=body, headers=NDJSON, params=query)
    assert answer.status_code == 200, answer.text
    return [json.loads(line) for line in answer.text.splitlines()]


def test_lines_are_answered_in_order_and_as_they_would_be_alone(client: TestClient) -> None:
    """Ids come back, the place stands for a missing one, and scores are those of /v1/tag."""
    passages = [{"text": f"We urge state {number} to act. " * (number % 7 + 1)} for number in range(100)]
    found = lines(client, "\n".join(json.dumps(one) for one in passages))
    assert [one["id"] for one in found] == [str(number) for number in range(100)]
    alone = client.post("/v1/tag", json={"passages": passages}).json()["results"]
    assert [one["scores"] for one in found] == [one["scores"] for one in alone]


def test_a_bad_line_is_an_error_of_its_own(client: TestClient) -> None:
    """It names its line; blank lines are nothing; the rest is scored."""
    body = '{"text": "a", "id": "x"}\n\nnot json\n{"text": 1}\n{"text": ""}\n\xff\n{"text": "b"}'.encode("latin-1")
    found = lines(client, body)
    assert [one["id"] for one in found] == ["x", "1", "2", "3", "4", "5"]
    assert [one.get("error", {}).get("code") for one in found] == [None, "not_json", "not_a_passage", "empty", "not_json", None]
    assert "line 3" in found[1]["error"]["detail"]
    assert "line 4: /text" in found[2]["error"]["detail"]


def test_a_line_that_is_too_long_is_skipped(service_settings: Settings) -> None:
    """It is not kept in memory, and what follows it is scored."""
    settings = service_settings.model_copy(update={"max_body_bytes": 1024})
    with TestClient(create_app(settings)) as client:
        found = lines(client, json.dumps({"text": "a" * 5000}) + '\n{"text": "b"}\n' + json.dumps({"text": "c" * 2000}))
    assert [one.get("error", {}).get("code") for one in found] == ["line_too_long", None, "line_too_long"]
    assert found[0]["error"]["detail"] == "line 1 has more than 1024 bytes"


def test_long_ids_and_texts_are_errors_of_their_lines(client: TestClient) -> None:
    """Neither is kept while it waits."""
    body = json.dumps({"id": "x" * 257, "text": "a"}) + "\n" + json.dumps({"id": "y", "text": "a" * 100_001})
    first, second = lines(client, body)
    assert (first["id"], first["error"]["code"]) == ("0", "not_a_passage")
    assert (second["id"], second["error"]["code"]) == ("y", "too_long")


def test_options_and_refusals(client: TestClient) -> None:
    """Options stand in the query; another type of body, an unknown tag and no number are refused at once."""
    [found] = lines(client, '{"text": "We urge you. It rains."}', threshold="advocacy_call:0", sentences=True, top_k=1)
    assert found["tags"][:1] == list(found["sentences"])[:1] == ["advocacy_call"]
    assert len(found["scores"]) == 1
    assert client.post("/v1/tag/stream", content="{}", headers={"content-type": "application/json"}).status_code == 415
    assert client.post("/v1/tag/stream", content="", headers=NDJSON, params={"threshold": "x:1"}).status_code == 422
    assert client.post("/v1/tag/stream", content="", headers=NDJSON, params={"top_k": "0"}).status_code == 422


@pytest.mark.parametrize("name", ["thresholds", "timeout_ms", "topk"])
def test_an_unknown_option_is_named(client: TestClient, name: str) -> None:
    """It would do nothing; a stream has no deadline. The answer says what is known, as the documentation does."""
    answer = client.post("/v1/tag/stream", content='{"text": "a"}', headers=NDJSON, params={name: "5", "top_k": "1"})
    [error] = answer.json()["errors"]
    assert (answer.status_code, error["pointer"]) == (422, f"/{name}")
    shown = client.get("/openapi.json").json()["paths"]["/v1/tag/stream"]["post"]["parameters"]
    assert error["detail"] == f"is unknown; known: {', '.join(one['name'] for one in shown)}"


def test_results_come_while_lines_are_still_sent(service_settings: Settings, running: Running) -> None:
    """A caller who waits for each answer before the next line gets it; silence for too long ends the stream with a line."""
    with running(service_settings.model_copy(update={"body_seconds": 1.0})) as base:
        connection = http.client.HTTPConnection(urlsplit(base).netloc, timeout=20)
        connection.putrequest("POST", "/v1/tag/stream")
        connection.putheader("Content-Type", "application/x-ndjson")
        connection.putheader("Transfer-Encoding", "chunked")
        connection.endheaders()
        answer: http.client.HTTPResponse | None = None
        for number in range(3):
            line = json.dumps({"id": f"p{number}", "text": "We urge the council."}).encode() + b"\n"
            connection.send(f"{len(line):x}\r\n".encode() + line + b"\r\n")
            answer = answer or connection.getresponse()
            assert json.loads(answer.readline())["id"] == f"p{number}"
        assert answer
        assert json.loads(answer.readline())["error"]["code"] == "timeout"
        assert answer.readline() == b""
        answer.close()
        connection.close()


def test_a_long_stream_takes_no_memory(service_settings: Settings, running: Running) -> None:
    """A caller who sends much and reads late is held back, not stored: 60 MB in, hardly any memory more."""
    with running(service_settings.model_copy(update={"max_body_bytes": 4096})) as base:
        connection = http.client.HTTPConnection(urlsplit(base).netloc, timeout=60)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        piece = b'{"text": "' + b"x" * 60_000 + b'"}\n'
        connection.request("POST", "/v1/tag/stream", (piece for _ in range(1000)), NDJSON)
        answer = connection.getresponse()
        assert sum(b"line_too_long" in line for line in answer) == 1000
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 40_000
        connection.close()


def test_the_work_of_a_caller_who_leaves_is_dropped(service_settings: Settings, running: Running) -> None:
    """Soon after the connection is closed nothing is computed or waits, and the others are answered."""
    with running(service_settings) as base:
        connection = http.client.HTTPConnection(urlsplit(base).netloc, timeout=20)
        line = json.dumps({"text": "word " * 300}).encode() + b"\n"
        connection.putrequest("POST", "/v1/tag/stream")
        connection.putheader("Content-Type", "application/x-ndjson")
        connection.putheader("Content-Length", str(10**9))
        connection.endheaders()
        connection.send(line * 200)
        with connection.getresponse() as answer:
            answer.readline()
        connection.close()
        other = http.client.HTTPConnection(urlsplit(base).netloc, timeout=20)
        until = time.monotonic() + 20
        found: list[str] = []
        expected = {"tagger_queue_tokens 0.0", 'tagger_rejected_total{reason="caller_gone"} 1.0'}
        while not expected <= set(found) and time.monotonic() < until:
            other.request("GET", "/metrics")
            found = other.getresponse().read().decode().splitlines()
        assert expected <= set(found)
        other.close()


def _metric(base: str, name: str) -> str | None:
    connection = http.client.HTTPConnection(urlsplit(base).netloc, timeout=20)
    connection.request("GET", "/metrics")
    found = connection.getresponse().read().decode().splitlines()
    connection.close()
    return next((line.rpartition(" ")[2] for line in found if line.startswith(name)), None)


def _wait_for(base: str, name: str, value: str) -> None:
    until = time.monotonic() + 20
    while _metric(base, name) != value and time.monotonic() < until:
        time.sleep(0.05)
    assert _metric(base, name) == value


def _connected(base: str, length: int) -> socket.socket:
    """A connection on which a stream of so many bytes has been announced."""
    host, _, port = urlsplit(base).netloc.partition(":")
    caller = socket.create_connection((host, int(port)), timeout=10)
    head = f"POST /v1/tag/stream HTTP/1.1\r\nHost: x\r\nContent-Type: {NDJSON['content-type']}\r\n"
    caller.sendall(f"{head}Content-Length: {length}\r\n\r\n".encode())
    return caller


def test_a_caller_who_leaves_after_the_last_line_is_noticed(service_settings: Settings, running: Running) -> None:
    """At once, though all that it has sent is there: what it still waited for is not computed."""
    body = (json.dumps({"text": "word " * 40}) + "\n").encode() * 3000
    with running(service_settings) as base:
        with _connected(base, len(body)) as caller:
            caller.sendall(body)
            caller.recv(100)
        _wait_for(base, 'tagger_rejected_total{reason="caller_gone"}', "1.0")
        assert float(_metric(base, "tagger_passages_total") or 0) < 1000
        _wait_for(base, "tagger_queue_tokens", "0.0")


@pytest.mark.usefixtures("small_buffers")
def test_a_caller_who_does_not_read_is_cut_off(service_settings: Settings, running: Running) -> None:
    """It holds neither threads nor memory for longer than a body may take."""
    body = (json.dumps({"id": "x" * 250, "text": ""}) + "\n").encode() * 20_000
    with running(service_settings.model_copy(update={"body_seconds": 1.0})) as base, _connected(base, len(body)) as caller:
        caller.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        # It sends on for as long as anything moves: one that stops early is answered and left in peace.
        with contextlib.suppress(OSError):
            caller.sendall(body)
        _wait_for(base, 'tagger_rejected_total{reason="caller_gone"}', "1.0")


def test_a_busy_stream_is_told_of_the_stop_too() -> None:
    """A caller who always has more to send gets its last line like any other."""

    async def run() -> tuple[int, str]:
        stopping = asyncio.Event()
        sent = 0

        async def receive() -> dict[str, object]:
            nonlocal sent
            sent += 1
            if sent > 10:
                await asyncio.Event().wait()
            return {"type": "http.request", "body": b"x\n", "more_body": True}

        incoming = Incoming(receive, stopping, 5.0)
        got, ended = 0, "whole"
        try:
            async for _ in incoming.chunks():
                got += 1
                if got == 3:
                    stopping.set()
        except StreamEndedError as error:
            ended = error.code
        incoming.close()
        return got, ended

    assert asyncio.run(run()) == (3, "draining")


def test_nothing_waits_for_a_stream_that_was_dropped(classifier: Classifier, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever was queued for it is cancelled, the one that found no room among the others too."""
    gate = threading.Event()
    genuine = Classifier._logits

    def held(self: Classifier, encoded: Encoded) -> np.ndarray:
        assert gate.wait(20)
        return genuine(self, encoded)

    monkeypatch.setattr(Classifier, "_logits", held)

    async def items() -> AsyncIterator[Item]:
        for number in range(10 * WINDOW):
            yield Item(id=str(number), passage=PassageIn(text="word " * 40))

    async def run() -> int:
        scoring = score_in_order(classifier, items(), Options())
        following = asyncio.ensure_future(anext(scoring))
        full = 0
        while not full or full != classifier.scheduler.tokens:
            full = classifier.scheduler.tokens
            await asyncio.sleep(0.2)
        following.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await following
        return classifier.scheduler.tokens

    try:
        assert asyncio.run(run()) == 0
    finally:
        gate.set()
