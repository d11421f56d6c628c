"""`tagger serve` as a process of its own: it starts, shows a request, refuses what it must, and stops when told."""

import http.client
import json
import os
import re
import select
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from serving.keys import create_key, revoke_key
from serving.serve import _is_loopback
from serving.service import MOST_LONE

SERVE = [sys.executable, "-m", "serving.cli", "serve"]


@contextmanager
def serving(bundle: Path, state: Path, *arguments: str) -> Iterator[tuple[str, str]]:
    """A running server on a free port: its address and what it printed until it was ready."""
    environment = {**os.environ, "TAGGER_STATE": str(state)}
    command = [*SERVE, "--port", "0", "--bundle", str(bundle), *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment) as process:
        assert process.stdout
        printed = b""
        until = time.monotonic() + 60
        try:
            while b"\n}\n" not in printed and b"KEY" not in printed and time.monotonic() < until and process.poll() is None:
                if select.select([process.stdout], [], [], 1)[0]:
                    printed += os.read(process.stdout.fileno(), 65536)
            found = re.search(rb"http://[^ /]+", printed)
            assert found, printed
            yield found.group().decode(), printed.decode()
        finally:
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=30)
    assert process.returncode in (0, -signal.SIGTERM)


def refused(*arguments: str, state: Path) -> str:
    """What a server that does not start says; it must fail and leave nothing running."""
    done = subprocess.run(
        [*SERVE, *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env={**os.environ, "TAGGER_STATE": str(state)},
    )
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    return done.stderr


def test_it_prints_a_request_that_works(quick_bundle: Path, tmp_path: Path) -> None:
    """The printed curl, pasted into a shell, gets the printed answer."""
    with serving(quick_bundle, tmp_path) as (_, printed):
        command, answer = re.search(r"^(curl .*?)\n\n(\{.*\})$", printed, re.MULTILINE | re.DOTALL).groups()  # type: ignore[union-attr]  # a miss is the failure this looks for
        arguments = re.search(r"^curl (\S+) .* -d '(.*)'$", command, re.DOTALL)
        assert arguments
        request = urllib.request.Request(arguments[1], arguments[2].encode(), {"Content-Type": "application/json"})  # noqa: S310 - our own server
        with urllib.request.urlopen(request) as got:  # noqa: S310 - our own server
            assert json.loads(answer) == json.load(got)
        assert len(json.loads(answer)["results"]) == 2


def test_its_queue_is_bounded(quick_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """TAGGER_MAX_QUEUE_TOKENS reaches the scoring threads: of several long requests at once, some are answered 429."""
    monkeypatch.setenv("TAGGER_MAX_QUEUE_TOKENS", "1")
    body = json.dumps({"passages": [{"text": "word " * 350}] * 60}).encode()

    def status(address: str) -> tuple[int, bool]:
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(f"{address}/v1/tag", body, headers)  # noqa: S310 - our own server
        try:
            with urllib.request.urlopen(request) as got:  # noqa: S310 - our own server
                return int(got.status), False
        except urllib.error.HTTPError as error:
            return int(error.code), int(error.headers["Retry-After"]) >= 1

    with serving(quick_bundle, tmp_path) as (address, _), ThreadPoolExecutor(4) as pool:
        statuses = list(pool.map(status, [address] * 4))
    assert set(statuses) == {(200, False), (429, True)}


def test_an_ipv6_address_is_printed_as_curl_takes_it(quick_bundle: Path, tmp_path: Path) -> None:
    """Brackets around the address."""
    with serving(quick_bundle, tmp_path, "--host", "::1") as (base, _):
        assert base.startswith("http://[::1]:")


def test_with_keys_it_shows_where_the_key_goes(quick_bundle: Path, tmp_path: Path) -> None:
    """No key is printed, its place is; off loopback it starts since there is a key."""
    create_key(tmp_path / "keys.json", "a", ["tag"])
    with serving(quick_bundle, tmp_path, "--host", "0.0.0.0") as (_, printed):
        assert '-H "Authorization: Bearer KEY"' in printed


def test_off_loopback_without_keys_it_refuses(quick_bundle: Path, tmp_path: Path) -> None:
    """The message says how to make a key."""
    message = refused("--host", "0.0.0.0", "--bundle", str(quick_bundle), state=tmp_path)
    assert "is not loopback and there are no API keys" in message
    assert "tagger keys create" in message


def test_a_port_in_use_is_named(quick_bundle: Path, tmp_path: Path) -> None:
    """The message names address and way out."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        message = refused("--port", str(port), "--bundle", str(quick_bundle), state=tmp_path)
    assert f"127.0.0.1:{port} cannot be bound: Address already in use" in message
    assert "make run PORT=" in message


@pytest.mark.parametrize(
    ("arguments", "expected"), [(("--port", "99999"), "cannot be bound"), ((), "there is no champion yet")]
)
def test_what_cannot_start_says_why(tmp_path: Path, arguments: tuple[str, ...], expected: str) -> None:
    """A port that is none, a bundle that is not there."""
    assert expected in refused("--port", "0", *arguments, state=tmp_path)


def test_damaged_keys_are_named(quick_bundle: Path, tmp_path: Path) -> None:
    """A key file that cannot be read never means that there are no keys."""
    (tmp_path / "keys.json").write_text("{", encoding="utf-8")
    assert "keys.json: cannot be read as keys" in refused("--bundle", str(quick_bundle), state=tmp_path)


@pytest.mark.parametrize(
    ("host", "expected"), [("127.0.0.1", True), ("::1", True), ("localhost", True), ("0.0.0.0", False), ("a.b", False)]
)
def test_loopback(host: str, expected: bool) -> None:  # noqa: FBT001 - a table's column
    """Only addresses that cannot be reached from outside count."""
    assert expected == _is_loopback(host)


def _ask(address: str, path: str = "/v1/tag", **body: object) -> tuple[int, dict[str, object]]:
    """Status and body of a request; 0 when the connection broke."""
    data = json.dumps(body).encode() if body else None
    request = urllib.request.Request(address + path, data, {"Content-Type": "application/json"})  # noqa: S310 - our own server
    try:
        with urllib.request.urlopen(request, timeout=30) as got:  # noqa: S310 - our own server
            return int(got.status), json.load(got)
    except urllib.error.HTTPError as error:
        with error:
            return int(error.code), json.load(error)
    except OSError:
        return 0, {}


def test_told_to_stop_it_drains(quick_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """SIGTERM under load: /health/ready turns 503 "draining", every accepted request is answered, and it ends well."""
    monkeypatch.setenv("TAGGER_DRAIN_SECONDS", "4")
    with _started(quick_bundle, tmp_path) as (process, address), ThreadPoolExecutor(8) as pool:
        before = [pool.submit(_ask, address, passages=[{"text": f"word {number} " * 60}] * 40) for number in range(8)]
        while _ask(address, "/health/ready")[0] != 200:
            time.sleep(0.01)
        stream = http.client.HTTPConnection(address.removeprefix("http://"), timeout=20)
        stream.putrequest("POST", "/v1/tag/stream")
        stream.putheader("Content-Type", "application/x-ndjson")
        stream.putheader("Content-Length", "1000")
        stream.endheaders()
        stream.send(b'{"text": "a"}\n')
        lines = stream.getresponse()
        assert b'"tags"' in lines.readline()
        kept = http.client.HTTPConnection(address.removeprefix("http://"), timeout=20)
        kept.connect()
        process.send_signal(signal.SIGTERM)
        until = time.monotonic() + 10
        while (answer := _ask(address, "/health/ready"))[0] == 200 and time.monotonic() < until:
            time.sleep(0.01)
        assert answer[0] == 503
        assert "draining" in str(answer[1]["detail"])
        assert _ask(address, text="still answered")[0] == 200
        kept.request("GET", "/health/live")
        with kept.getresponse() as last:
            assert (last.status, last.headers["Connection"]) == (200, "close")
        assert [one.result()[0] for one in before] == [200] * 8
        assert json.loads(lines.readline())["error"]["code"] == "draining"
        lines.close()
        stream.close()
        assert process.wait(30) in (0, -signal.SIGTERM)
    assert _ask(address, "/health/live")[0] == 0


def test_what_cannot_be_finished_is_refused(quick_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After SIGTERM, accepted work that does not fit into `finish_seconds` is answered 503 rather than cut off."""
    monkeypatch.setenv("TAGGER_DRAIN_SECONDS", "0.2")
    monkeypatch.setenv("TAGGER_FINISH_SECONDS", "2")
    with _started(quick_bundle, tmp_path) as (process, address), ThreadPoolExecutor(1) as pool:
        asked = pool.submit(_ask, address, passages=[{"text": "word " * 360}] * 900)
        _wait_for(lambda: _metric(address, "tagger_queue_tokens") > 0)
        process.send_signal(signal.SIGTERM)
        status, problem = asked.result()
        assert process.wait(30) in (0, -signal.SIGTERM)
    assert (status, "draining" in str(problem["detail"])) == (503, True)


def test_a_replica_that_is_killed_comes_back(quick_bundle: Path, tmp_path: Path) -> None:
    """Two processes answer on one port, their metrics add up, and kill -9 of one leaves the other answering."""
    with _started(quick_bundle, tmp_path, "--replicas", "2") as (process, address):
        children = _wait_for(lambda: found if len(found := _replicas(process)) == 2 and _ready(address) == 2 else None)
        for _ in range(10):
            assert _ask(address, text="a")[0] == 200
        assert _metric(address, 'tagger_requests_total{route="/v1/tag",status="200"}') >= 10
        os.kill(children[0], signal.SIGKILL)
        statuses = [_ask(address, text="a")[0] for _ in range(20)]
        assert statuses.count(200) >= 18  # what the dead one had accepted breaks, nothing else
        _wait_for(lambda: len(found := _replicas(process)) == 2 and children[0] not in found and _ready(address) == 2)
    assert not _replicas(process)


def test_replicas_end_when_their_supervisor_is_killed(
    quick_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Kill -9 of the one that was started frees the port: nobody is left to stop what it has started."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))  # it cannot clear up behind itself
    with _started(quick_bundle, tmp_path, "--replicas", "2") as (process, address):
        children = _wait_for(lambda: found if len(found := _replicas(process)) == 2 and _ready(address) == 2 else None)
        process.kill()
        try:
            _wait_for(lambda: _refuses(int(address.rpartition(":")[2])), seconds=15)
        finally:
            for child in children:
                with suppress(ProcessLookupError):
                    os.kill(child, signal.SIGKILL)


def test_replicas_share_the_cores(quick_bundle: Path, tmp_path: Path) -> None:
    """Each takes no more of them than its share, for many passages and for one that is alone."""
    share = max(1, len(os.sched_getaffinity(0)) // 2)
    with _started(quick_bundle, tmp_path, "--replicas", "2") as (process, _):
        children = _wait_for(lambda: found if len(found := _replicas(process)) == 2 else None)
        for child in children:
            given = Path(f"/proc/{child}/environ").read_bytes().split(b"\0")
            assert {f"TAGGER_THREADS={share}".encode(), f"TAGGER_LONE_THREADS={min(share, MOST_LONE)}".encode()} <= set(given)


def test_a_replica_that_is_started_again_asks_for_keys_too(quick_bundle: Path, tmp_path: Path) -> None:
    """Revoking the last key never opens a server, whichever of its processes is asked."""
    create_key(tmp_path / "keys.json", "a", ["tag"])
    with _started(quick_bundle, tmp_path, "--replicas", "2") as (process, address):
        revoke_key(tmp_path / "keys.json", "a")
        children = _wait_for(lambda: found if len(found := _replicas(process)) == 2 else None)
        os.kill(children[0], signal.SIGKILL)
        _wait_for(lambda: len(found := _replicas(process)) == 2 and children[0] not in found)
        until = time.monotonic() + 4
        statuses: set[int] = set()
        while time.monotonic() < until:
            statuses.add(_ask(address, "/v1/tags")[0])
        assert statuses <= {0, 401}
        assert 401 in statuses


def test_stopping_replicas_take_no_more_connections(
    quick_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While one still finishes a request, a new caller is refused at once, not left waiting."""
    monkeypatch.setenv("TAGGER_DRAIN_SECONDS", "0.2")
    monkeypatch.setenv("TAGGER_FINISH_SECONDS", "10")
    with _started(quick_bundle, tmp_path, "--replicas", "2") as (process, address):
        port = int(address.rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", port)) as slow:
            slow.sendall(b"POST /v1/tag HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 99\r\n\r\n{")
            time.sleep(0.3)
            process.send_signal(signal.SIGTERM)
            _wait_for(lambda: _refuses(port))
            assert process.poll() is None


def _refuses(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except ConnectionRefusedError:
        return True
    except OSError:  # left waiting, or reset
        return False
    return False


@contextmanager
def _started(bundle: Path, state: Path, *arguments: str) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """A server that answers, and its address; stopped at the end."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    environment = {**os.environ, "TAGGER_STATE": str(state)}
    command = [*SERVE, "--port", str(port), "--bundle", str(bundle), *arguments]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment) as process:
        address = f"http://127.0.0.1:{port}"
        try:
            _wait_for(lambda: _ask(address, "/health/ready")[0] == 200)
            yield process, address
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(30)


def _wait_for(found: Callable[[], Any], seconds: float = 60) -> Any:
    until = time.monotonic() + seconds
    while not (value := found()) and time.monotonic() < until:
        time.sleep(0.05)
    assert value
    return value


def _replicas(process: subprocess.Popen[bytes]) -> list[int]:
    """Process ids of the serving children."""
    try:
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text(encoding="utf-8").split()
    except OSError:
        return []
    return [int(pid) for pid in children if "spawn_main" in Path(f"/proc/{pid}/cmdline").read_text(encoding="utf-8")]


def _metric(address: str, name: str) -> float:
    with urllib.request.urlopen(f"{address}/metrics", timeout=30) as got:  # noqa: S310 - our own server
        lines = got.read().decode().splitlines()
    return next((float(line.rpartition(" ")[2]) for line in lines if line.startswith(name + " ")), 0.0)


def _ready(address: str) -> float:
    return _metric(address, "tagger_ready")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_training_beside_ends_with_the_server(quick_bundle: Path, tmp_path: Path, number: signal.Signals) -> None:
    """--train starts it once the port is taken; it does not outlive the server, however that ends."""
    pytest.importorskip("torch")
    with _started(quick_bundle, tmp_path, "--train") as (process, _):
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text(encoding="utf-8").split()
        (child,) = [one for one in children if b"train" in Path(f"/proc/{one}/cmdline").read_bytes()]
        process.send_signal(number)
        assert process.wait(30) == -number
        _wait_for(lambda: not Path(f"/proc/{child}").exists(), seconds=20)


def test_where_it_cannot_serve_it_does_not_train(quick_bundle: Path, tmp_path: Path) -> None:
    """A port in use ends the command before any training."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        message = refused("--port", str(port), "--bundle", str(quick_bundle), "--train", "nosuch", state=tmp_path)
    assert "nosuch" not in message


@pytest.mark.parametrize("pause", [0.05, 0.5])
def test_told_twice_it_ends_at_once(quick_bundle: Path, tmp_path: Path, pause: float) -> None:
    """Two times Ctrl-C is no error to be traced."""
    environment = {**os.environ, "TAGGER_STATE": str(tmp_path)}
    command = [*SERVE, "--port", "0", "--bundle", str(quick_bundle)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment) as process:
        assert process.stdout
        select.select([process.stdout], [], [], 60)
        for _ in range(2):
            process.send_signal(signal.SIGINT)
            time.sleep(pause)
        _, said = process.communicate(timeout=20)
    assert process.returncode in (130, -signal.SIGINT)
    assert b"Traceback" not in said
