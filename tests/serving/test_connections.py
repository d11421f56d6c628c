"""What connections may do to a real server: slow, large and many heads, bodies without end, and a full queue."""

import json
import socket
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, suppress

import httpx
import numpy as np
import pytest

from serving import connections, listening
from serving.classifier import Classifier
from serving.encoding import Encoded
from serving.settings import Settings

Running = Callable[..., AbstractContextManager[str]]


def connected(base: str) -> socket.socket:
    """A connection to a server."""
    return socket.create_connection(("127.0.0.1", int(base.rpartition(":")[2])), timeout=10)


def rest_of(caller: socket.socket) -> bytes:
    """All that is sent until the connection ends."""
    found = b""
    try:
        while piece := caller.recv(65536):
            found += piece
    except ConnectionResetError:
        pass
    return found


def rejected(base: str, reason: str) -> float:
    """How many requests were not scored for that reason."""
    lines = httpx.get(f"{base}/metrics").text.splitlines()
    wanted = f'tagger_rejected_total{{reason="{reason}"}} '
    return next((float(line.removeprefix(wanted)) for line in lines if line.startswith(wanted)), 0.0)


def test_a_head_that_does_not_end_is_408(service_settings: Settings, running: Running) -> None:
    """However often a byte comes; on a connection that has been used before, too. One that sends nothing is closed."""
    with running(service_settings.model_copy(update={"body_seconds": 0.6})) as base:
        with connected(base) as silent, connected(base) as caller:
            caller.sendall(b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n")
            assert caller.recv(65536).startswith(b"HTTP/1.1 200 ")
            began = time.monotonic()
            try:
                for byte in b"\r\nPOST /v1/tag HTTP/1.1\r\nHost: " + b"x" * 60:
                    caller.sendall(bytes([byte]))
                    time.sleep(0.05)
            except OSError:
                pass
            assert time.monotonic() - began < 3
            answer = rest_of(caller)
            assert answer.startswith(b"HTTP/1.1 408 ")
            assert b"did not arrive within 0.6 s" in answer
            assert rest_of(silent) == b""
        assert rejected(base, "body_timeout") == 1


def test_a_head_without_bounds_is_431(service_settings: Settings, running: Running) -> None:
    """As a problem document; the next caller is served."""
    with running(service_settings) as base:
        with connected(base) as caller:
            caller.sendall(b"GET /health/live HTTP/1.1\r\nHost: x\r\n")
            try:
                for number in range(20_000):
                    caller.sendall(b"X-%d: a\r\n" % number)
            except OSError:
                pass
            answer = rest_of(caller)
        assert not answer or answer.startswith(b"HTTP/1.1 431 ")
        assert rejected(base, "head_too_large") == 1


def test_a_body_that_nobody_reads_ends_the_connection(
    service_settings: Settings, running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a refusal, what still comes is thrown away for a moment only; the answer arrives."""
    monkeypatch.setattr(connections, "_LINGER_SECONDS", 0.5)
    with running(service_settings) as base, connected(base) as caller:
        caller.sendall(b"POST /v1/tag HTTP/1.1\r\nHost: x\r\nContent-Type: text/x\r\nTransfer-Encoding: chunked\r\n\r\n")
        assert caller.recv(65536).startswith(b"HTTP/1.1 415 ")
        began = time.monotonic()
        with pytest.raises(OSError):  # noqa: PT011, PT012 - whichever the closed connection gives, whenever
            while time.monotonic() - began < 8:
                caller.sendall(b"1\r\na\r\n")
                time.sleep(0.02)
        assert time.monotonic() - began < 5


def test_bodies_that_have_not_come_take_no_room(service_settings: Settings, running: Running) -> None:
    """A caller who only announces work keeps nobody from the queue."""
    with running(service_settings.model_copy(update={"max_interactive_tokens": 100})) as base:
        head = b"POST /v1/tag HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 2000\r\n\r\n"
        callers = [connected(base) for _ in range(10)]
        for caller in callers:
            caller.sendall(head)
        time.sleep(0.2)
        assert [httpx.post(f"{base}/v1/tag", json={"text": "a"}).status_code for _ in range(5)] == [200] * 5
        for caller in callers:
            caller.close()


def test_a_connection_whose_body_came_late_is_closed_when_idle(service_settings: Settings, running: Running) -> None:
    """As any other that sends nothing more."""
    with running(service_settings) as base, connected(base) as caller:
        caller.sendall(b"POST /v1/tag HTTP/1.1\r\nHost: x\r\nContent-Type: text/x\r\nContent-Length: 3\r\n\r\n")
        assert caller.recv(65536).startswith(b"HTTP/1.1 415 ")
        caller.sendall(b"abc")
        assert rest_of(caller) == b""  # within the ten seconds of its timeout


def test_a_slow_answer_is_not_cut(service_settings: Settings, running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither by the clock of heads, when stray bytes or half of another head come meanwhile, nor by that of bodies unread."""
    genuine = Classifier._logits

    def slow(self: Classifier, encoded: Encoded) -> np.ndarray:
        time.sleep(1.0)
        return genuine(self, encoded)

    monkeypatch.setattr(connections, "_LINGER_SECONDS", 0.3)
    body = json.dumps({"text": "a"}).encode()
    head = b"POST /v1/tag HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body)
    settings = service_settings.model_copy(update={"body_seconds": 0.8, "canary_seconds": 60.0})
    with running(settings) as base, connected(base) as caller:
        monkeypatch.setattr(Classifier, "_logits", slow)
        caller.sendall(head + body)
        time.sleep(0.05)
        caller.sendall(b"\r\n")
        assert caller.recv(65536).startswith(b"HTTP/1.1 200 ")
        caller.sendall(head + body + head)  # the second one's body comes after the first one's answer
        assert caller.recv(65536).startswith(b"HTTP/1.1 200 ")
        time.sleep(0.4)
        caller.sendall(body)
        assert caller.recv(65536).startswith(b"HTTP/1.1 200 ")


def test_who_reads_nothing_is_cut_off(service_settings: Settings, running: Running) -> None:
    """What waits to be sent is not kept for it; one that reads slowly gets everything."""
    with running(service_settings, listening.listen("127.0.0.1", 0, 1.0)) as base:
        length = len(httpx.get(f"{base}/openapi.json").content)
        count = 12_000_000 // length
        found = {}
        with connected(base) as idle, connected(base) as slow:
            for caller in (idle, slow):
                caller.settimeout(3)  # it is not told that nothing more will come
                caller.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
                caller.sendall(b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n" * count)
            for caller, pause in ((slow, 0.02), (idle, 0.0)):
                found[caller] = 0
                with suppress(ConnectionResetError, TimeoutError):
                    while piece := caller.recv(60_000):
                        found[caller] += len(piece)
                        time.sleep(pause)
            assert found[slow] > count * length > found[idle]


def test_connections_are_bounded(service_settings: Settings, running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """One too many is told so and closed; as others leave, there is room again."""
    monkeypatch.setattr(connections, "most_connections", lambda: 2)
    with running(service_settings) as base:
        with connected(base) as one, connected(base) as other, connected(base) as third:
            assert rest_of(third).startswith(b"HTTP/1.1 503 ")
            for caller in (one, other):
                caller.sendall(b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n")
                assert caller.recv(65536).startswith(b"HTTP/1.1 200 ")
        time.sleep(0.2)
        assert httpx.get(f"{base}/health/live").status_code == 200
        assert rejected(base, "connections") == 1


def test_a_full_queue_refuses_small_requests_unread(
    service_settings: Settings, running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """429 with a Retry-After before the body has come; counted; the connection stays; what was accepted is answered."""
    gate, genuine = threading.Event(), Classifier._logits
    settings = service_settings.model_copy(update={"max_interactive_tokens": 20, "canary_seconds": 60.0})
    with running(settings) as base, httpx.Client(base_url=base) as http, connected(base) as caller:

        def held(self: Classifier, encoded: Encoded) -> np.ndarray:
            assert gate.wait(20)
            return genuine(self, encoded)

        monkeypatch.setattr(Classifier, "_logits", held)
        found: list[int] = []
        accepted = threading.Thread(target=lambda: found.append(http.post("/v1/tag", json={"text": "word " * 50}).status_code))
        accepted.start()
        body = json.dumps({"text": "a"}).encode()
        head = b"POST /v1/tag HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body)
        until = time.monotonic() + 10
        while "tagger_queue_tokens 0.0" in httpx.get(f"{base}/metrics").text and time.monotonic() < until:
            time.sleep(0.02)
        for _ in range(2):
            caller.sendall(head)
            answer = caller.recv(65536)
            assert answer.startswith(b"HTTP/1.1 429 ")
            assert b"\r\nretry-after: " in answer.lower()
            caller.sendall(body)
        gate.set()
        accepted.join(10)
        assert found == [200]
        assert rejected(base, "queue_full") == 2
        caller.sendall(head + body)
        assert caller.recv(65536).startswith(b"HTTP/1.1 200 ")


def test_the_last_answers_of_a_server_say_so(
    service_settings: Settings, running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was on its way on an idle connection when the port closed is answered, as the last of that connection."""
    monkeypatch.setattr(connections, "_GRACE_SECONDS", 5.0)
    stack = ExitStack()
    base = stack.enter_context(running(service_settings))
    with connected(base) as used, connected(base) as fresh, ThreadPoolExecutor(1) as pool:
        used.sendall(b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b"connection: close" not in used.recv(65536)
        ended = pool.submit(stack.close)
        while True:
            try:
                connected(base).close()
            except ConnectionError:  # refused, or reset in the backlog
                break
        for caller in (used, fresh):
            caller.sendall(b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n")
            answer = rest_of(caller)
            assert answer.startswith(b"HTTP/1.1 200 ")
            assert b"connection: close" in answer
        ended.result(timeout=20)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the port has filters on Linux only")
@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_a_port_that_takes_no_more_keeps_what_it_has(host: str) -> None:
    """A connection that was set up is still accepted and heard; one that is tried now is not set up."""
    with listening.listen(host, 0, 5) as listener:
        address = listener.getsockname()[:2]
        with socket.create_connection(address, timeout=5) as early:
            listening.take_no_more(listener)
            early.sendall(b"a")
            with pytest.raises(TimeoutError):
                socket.create_connection(address, timeout=0.3)
            taken, _ = listener.accept()
            with taken:
                taken.settimeout(5)
                assert taken.recv(1) == b"a"
                taken.sendall(b"b")
                assert early.recv(1) == b"b"
