"""`POST /v1/labels` and `/v1/jobs` over HTTP; and that a killed server loses no label that it had acknowledged."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.testclient import TestClient

from labels.codebook import load_codebook
from labels.database import open_database
from labels.jobs import DONE, Jobs
from labels.store import LabelStore
from serving.app import create_app
from serving.keys import create_key
from serving.settings import Settings

CALL = {"document": "report-1", "text": "We urge you to act.", "tags": {"advocacy_call": True}, "annotator": "maria"}


def test_labels_are_added_and_counted(client: TestClient, service_settings: Settings) -> None:
    """The answer says what became of each; the store holds them; metrics count them."""
    first = client.post("/v1/labels", json={"labels": [{**CALL, "key": "k1"}, {**CALL, "annotator": "li"}]})
    assert first.status_code == 200
    assert [one["status"] for one in first.json()["results"]] == ["added", "added"]
    assert first.json()["codebook"] == "1.1"
    again = client.post("/v1/labels", json={"labels": [{**CALL, "key": "k1"}, {**CALL, "tags": {"advocacy_call": False}}]})
    assert [one["status"] for one in again.json()["results"]] == ["repeated", "changed"]
    engine = open_database(service_settings.database_url)
    rows = LabelStore(engine, load_codebook()).current()
    engine.dispose()
    assert {(row.annotator, row.tags["advocacy_call"]) for row in rows} == {("maria", False), ("li", True)}
    assert 'tagger_labels_total{status="added"} 2.0' in client.get("/metrics").text


@pytest.mark.parametrize(
    ("label", "pointer", "detail"),
    [
        ({**CALL, "tags": {"advocacy": True}}, "/labels/1/tags", "unknown tag 'advocacy'"),
        ({**CALL, "tags": {"advocacy_call": "yes"}}, "/labels/1/tags/advocacy_call", "valid boolean"),
        ({**CALL, "document": ""}, "/labels/1/document", "is empty"),
        ({**CALL, "text": "\ud800"}, "/labels/1/text", "surrogate"),
        ({**CALL, "stars": 5}, "/labels/1/stars", "not permitted"),
        ({key: value for key, value in CALL.items() if key != "document"}, "/labels/1/document", "required"),
    ],
)
def test_what_is_wrong_is_pointed_at_and_nothing_is_added(
    client: TestClient, service_settings: Settings, label: dict[str, Any], pointer: str, detail: str
) -> None:
    """422 with the place and the reason; the good label beside it is not added."""
    import json

    body = json.dumps({"labels": [CALL, label]})
    answer = client.post("/v1/labels", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["pointer"] == pointer
    assert detail in answer.json()["errors"][0]["detail"]
    engine = open_database(service_settings.database_url)
    assert LabelStore(engine, load_codebook()).count() == 0
    engine.dispose()


def test_a_key_that_stands_for_something_else_is_a_conflict(client: TestClient) -> None:
    """409, which names the key."""
    client.post("/v1/labels", json={"labels": [{**CALL, "key": "k1"}]})
    answer = client.post("/v1/labels", json={"labels": [{**CALL, "key": "k1", "annotator": "li"}]})
    assert answer.status_code == 409
    assert "'k1' was used for another label already" in answer.json()["detail"]


def test_more_labels_than_allowed_and_none_are_refused(client: TestClient) -> None:
    """1,000 a request at most, one at least."""
    assert client.post("/v1/labels", json={"labels": [CALL] * 1001}).status_code == 422
    assert client.post("/v1/labels", json={"labels": []}).status_code == 422
    assert client.post("/v1/labels", content=b"{", headers={"Content-Type": "application/json"}).status_code == 400
    assert client.post("/v1/labels", content=b"x", headers={"Content-Type": "text/csv"}).status_code == 415


def test_labels_that_take_long_to_read_hold_up_nobody(
    service_settings: Settings, running: Callable[[Settings], AbstractContextManager[str]]
) -> None:
    """Texts full of accents take a second; others are answered meanwhile. One that holds nothing but marks is pointed at."""
    labels = [{**CALL, "text": "a" + "\u0301\u0316" * 995}] * 400 + [{**CALL, "text": "<p></p>"}]
    with running(service_settings) as base, ThreadPoolExecutor(1) as pool, httpx.Client() as other:
        began = time.monotonic()
        adding = pool.submit(httpx.post, f"{base}/v1/labels", json={"labels": labels}, timeout=60)
        waits = []
        while not adding.done():
            asked = time.monotonic()
            assert other.get(f"{base}/health/live", timeout=60).status_code == 200
            waits.append(time.monotonic() - asked)
            time.sleep(0.02)
        assert max(waits) < (time.monotonic() - began) / 2
        answer = adding.result()
        assert (answer.status_code, answer.json()["errors"]) == (
            422,
            [{"pointer": "/labels/400/text", "detail": "holds nothing once its marks are taken off"}],
        )


def test_each_route_asks_for_its_scope(service_settings: Settings) -> None:
    """`label` adds labels and neither tags nor asks for jobs; `admin` does all."""
    key = create_key(service_settings.keys_file, "annotator", ["label"])
    admin = create_key(service_settings.keys_file, "owner", ["admin"])
    with TestClient(create_app(service_settings)) as client:

        def statuses(headers: dict[str, str]) -> list[int]:
            answers = (
                client.post("/v1/labels", json={"labels": [CALL]}, headers=headers),
                client.post("/v1/tag", json={"text": "x"}, headers=headers),
                client.get("/v1/jobs", headers=headers),
            )
            return [answer.status_code for answer in answers]

        assert statuses({}) == [401, 401, 401]
        assert statuses({"Authorization": f"Bearer {key}"}) == [200, 403, 403]
        assert statuses({"Authorization": f"Bearer {admin}"}) == [200, 200, 200]


def test_a_job_says_who_asked_for_it(service_settings: Settings) -> None:
    """By the name of the key, where there are keys."""
    with TestClient(create_app(service_settings)) as client:
        assert client.post("/v1/jobs", json={"profile": "quick"}).json()["who"] == "api"
        owner = {"Authorization": f"Bearer {create_key(service_settings.keys_file, 'owner', ['admin'])}"}
        asked = client.post("/v1/jobs", json={"profile": "fast"}, headers=owner).json()
        assert asked["who"] == "api, key owner"
        assert client.delete(f"/v1/jobs/{asked['id']}", headers=owner).status_code == 204
        dropped = client.get(f"/v1/jobs/{asked['id']}", headers=owner).json()
        assert dropped["result"]["error"] == "dropped by api, key owner"


def test_a_database_that_is_away_is_a_503_and_tagging_goes_on(
    service_settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    """Told in the answer, without the passage in the log; tags need no database."""
    settings = service_settings.model_copy(update={"database": "sqlite:////proc/no/such/folder/tagger.db"})
    with TestClient(create_app(settings), raise_server_exceptions=False) as client:
        answer = client.post("/v1/labels", json={"labels": [CALL]})
        assert answer.status_code == 503
        assert answer.headers["retry-after"] == "2"
        assert client.get("/v1/jobs").status_code == 503
        assert client.delete("/v1/jobs/1").status_code == 503
        assert client.post("/v1/tag", json={"text": "We urge you."}).status_code == 200
    assert str(CALL["text"]) not in caplog.text


def test_a_job_can_be_asked_for_and_watched(client: TestClient, service_settings: Settings) -> None:
    """The server writes it down; its steps and log are there while a worker is at it, its result afterwards."""
    asked = client.post("/v1/jobs", json={"profile": "quick"})
    assert asked.status_code == 202
    number = asked.json()["id"]
    assert client.post("/v1/jobs", json={"profile": "quick"}).json()["id"] == number
    engine = open_database(service_settings.database_url)
    jobs = Jobs(engine)
    taken = jobs.take("w1")
    assert taken is not None
    jobs.tell(taken, "half of it")
    jobs.beat(taken, "half of it")
    running = client.get(f"/v1/jobs/{number}").json()
    assert (running["state"], running["step"], [line["line"] for line in running["log"]]) == (
        "running",
        "half of it",
        ["half of it"],
    )
    assert client.get(f"/v1/jobs/{number}?after={running['log'][0]['id']}").json()["log"] == []
    jobs.end(taken, DONE, {"promoted": False})
    engine.dispose()
    assert client.get("/v1/jobs").json()["jobs"][0]["result"] == {"promoted": False}
    assert client.get("/v1/jobs/99").status_code == 404
    assert client.get("/v1/jobs/x").status_code == 422
    assert client.post("/v1/jobs", json={"profile": "huge"}).status_code == 422


def test_a_job_that_waits_can_be_taken_back(client: TestClient, service_settings: Settings) -> None:
    """204 and it is seen as dropped; 404 for an unknown one, 409 for one that somebody is at or that has ended."""
    number = client.post("/v1/jobs", json={"profile": "quick"}).json()["id"]
    dropped = client.delete(f"/v1/jobs/{number}")
    assert (dropped.status_code, dropped.content) == (204, b"")
    shown = client.get(f"/v1/jobs/{number}").json()
    assert (shown["state"], shown["result"]["error"]) == ("dropped", "dropped by api")
    assert client.delete(f"/v1/jobs/{number}").status_code == 409
    assert client.delete("/v1/jobs/99").status_code == 404
    assert client.delete("/v1/jobs/x").status_code == 422
    assert client.delete("/v1/jobs/0").status_code == 422

    number = client.post("/v1/jobs", json={"profile": "quick"}).json()["id"]
    engine = open_database(service_settings.database_url)
    taken = Jobs(engine).take("w1")
    assert taken is not None
    running = client.delete(f"/v1/jobs/{number}")
    assert running.status_code == 409
    assert running.json()["detail"] == f"job {number} is running; only a job that waits can be dropped"
    assert client.get(f"/v1/jobs/{number}").json()["state"] == "running"
    Jobs(engine).end(taken, DONE, {"promoted": False})
    engine.dispose()
    assert client.delete(f"/v1/jobs/{number}").status_code == 409


def test_taking_a_job_back_is_described(client: TestClient) -> None:
    """Every answer is in the document, the errors with an example; 409 is about a job, not about a label's key."""
    described = client.get("/openapi.json").json()["paths"]["/v1/jobs/{number}"]["delete"]["responses"]
    assert set(described) == {"204", "401", "403", "404", "409", "422", "503"}
    examples = {
        status: answer["content"]["application/problem+json"]["example"]
        for status, answer in described.items()
        if status != "204"
    }
    assert all(example["detail"] and str(example["status"]) == status for status, example in examples.items())
    assert examples["409"]["detail"] == "job 7 is running; only a job that waits can be dropped"


def test_only_an_admin_takes_a_job_back(service_settings: Settings) -> None:
    """401 and 403 for the others."""
    key = create_key(service_settings.keys_file, "annotator", ["label", "tag"])
    with TestClient(create_app(service_settings)) as client:
        assert client.delete("/v1/jobs/1").status_code == 401
        assert client.delete("/v1/jobs/1", headers={"Authorization": f"Bearer {key}"}).status_code == 403


@contextmanager
def serving(bundle: Path, state: Path, url: str, port: int) -> Iterator[subprocess.Popen[bytes]]:
    """A real server in a process of its own that answers."""
    environment = {**os.environ, "TAGGER_STATE": str(state), "TAGGER_DATABASE": url}
    command = [sys.executable, "-m", "serving.cli", "serve", "--bundle", str(bundle), "--port", str(port)]
    process = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)
    try:
        until = time.monotonic() + 60
        while True:
            try:
                if httpx.get(f"http://127.0.0.1:{port}/health/ready").status_code == 200:
                    break
            except httpx.HTTPError:
                assert process.poll() is None
                assert time.monotonic() < until
            time.sleep(0.05)
        yield process
    finally:
        process.kill()
        process.wait()


def test_a_killed_server_loses_no_acknowledged_label(  # noqa: C901 - clients and killer are one story
    quick_bundle: Path, tmp_path: Path, database_url: str
) -> None:
    """Ten clients add labels while the server is killed (-9) twice; each label that was acknowledged is there, once."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    acknowledged: set[str] = set()
    stopped = threading.Event()

    def add(client: int) -> None:
        for number in range(40):
            key = f"{client}-{number}"
            label = {**CALL, "key": key, "annotator": f"a{client}", "text": f"We urge you to act on point {number}."}
            while not stopped.is_set():
                try:
                    answer = httpx.post(f"http://127.0.0.1:{port}/v1/labels", json={"labels": [label]}, timeout=20)
                except httpx.HTTPError:
                    time.sleep(0.05)
                    continue
                assert answer.status_code == 200, answer.text
                acknowledged.add(key)
                break

    clients = [threading.Thread(target=add, args=(number,)) for number in range(10)]
    for kills in range(3):
        with serving(quick_bundle, tmp_path, database_url, port) as process:
            if kills == 0:
                for client in clients:
                    client.start()
            if kills < 2:
                before = len(acknowledged)
                while len(acknowledged) < before + 60:
                    time.sleep(0.01)
                process.send_signal(signal.SIGKILL)
                process.wait()
            else:
                for client in clients:
                    client.join(60)
                stopped.set()
    engine = open_database(database_url)
    keys = [row.key for row in LabelStore(engine, load_codebook()).rows()]
    engine.dispose()
    assert len(acknowledged) == 400
    assert sorted(keys) == sorted(acknowledged)
