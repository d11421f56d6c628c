"""The HTTP contract, asked of the real application with a real bundle."""

import gc
import json
import socket
import threading
import time
import weakref
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import uvicorn
from starlette.testclient import TestClient

from serving import service as service_module
from serving.app import create_app
from serving.bundle import BundleError
from serving.classifier import Classifier
from serving.encoding import Encoded
from serving.keys import create_key, revoke_key
from serving.results import PassageIn
from serving.settings import Settings

DEMAND = "We urge the Council to impose an arms embargo on the junta."
PROBLEM = "application/problem+json"


def post(client: TestClient, body: Any, **headers: str) -> Any:
    """POST /v1/tag; the answer."""
    content = body if isinstance(body, (str, bytes)) else json.dumps(body)
    return client.post("/v1/tag", content=content, headers={"content-type": "application/json", **headers})


def test_one_text(client: TestClient, classifier: Classifier) -> None:
    """The short form answers with one result, the model, and the thresholds that were used."""
    answer = post(client, {"text": DEMAND}).json()
    manifest = classifier.manifest
    assert {"version": manifest.name, "sha256": manifest.sha256} == answer["model"]
    assert dict(zip(manifest.tags, manifest.decisions.thresholds, strict=True)) == answer["thresholds"]
    [result] = answer["results"]
    assert {"id", "tags", "scores", "review", "tokens", "truncated"} == set(result)
    assert result["id"] == "0"
    assert classifier.score_one(PassageIn(text=DEMAND)).scores == result["scores"]


def test_many_passages_keep_order_and_ids(client: TestClient) -> None:
    """Ids come back as they went; without one, the index stands."""
    passages = [{"text": f"passage {number}", **({"id": f"p{number}"} if number % 2 else {})} for number in range(40)]
    results = post(client, {"passages": passages}).json()["results"]
    assert [f"p{number}" if number % 2 else str(number) for number in range(40)] == [result["id"] for result in results]


def test_context_of_a_text_is_read(client: TestClient, classifier: Classifier) -> None:
    """`context` beside `text` reaches the model."""
    scores = post(client, {"text": "ensure shelters", "context": "States should:"}).json()["results"][0]["scores"]
    assert classifier.score_one(PassageIn(text="ensure shelters", context="States should:")).scores == scores


def test_a_bad_passage_fails_alone(client: TestClient) -> None:
    """One of three cannot be scored: 200, and only its item has an error."""
    answer = post(client, '{"passages": [{"text": "fine"}, {"text": "\\ud800"}, {"text": ""}, {"text": "a\\u0000"}]}')
    assert answer.status_code == 200
    results = answer.json()["results"]
    assert [result.get("error", {}).get("code") for result in results] == [None, "lone_surrogate", "empty", "nul_character"]
    assert {"id", "error"} == set(results[1])


def test_a_bad_text_alone_is_a_problem(client: TestClient) -> None:
    """For the short form the item's error is the request's."""
    answer = post(client, {"text": " "})
    assert (answer.status_code, answer.headers["content-type"]) == (422, PROBLEM)
    assert answer.json()["errors"][0]["pointer"] == "/text"
    assert answer.json()["detail"].startswith("empty: ")


def test_long_passages_by_policy(client: TestClient) -> None:
    """error, truncate and split, as asked for."""
    text = "We urge the council to act. " * 100
    refused = post(client, {"text": text})
    assert (refused.status_code, "at most 382" in refused.json()["detail"]) == (422, True)
    assert post(client, {"text": text, "long": "truncate"}).json()["results"][0]["truncated"]
    [split] = post(client, {"text": text, "long": "split"}).json()["results"]
    assert not split["truncated"]
    assert {"start", "end", "tags", "scores", "tokens"} == set(split["parts"][0])


def test_a_million_characters_are_refused_and_the_next_is_answered(client: TestClient) -> None:
    """A passage far too long is an item's error, at once."""
    answer = post(client, {"passages": [{"text": "a " * 500_000}, {"text": "fine"}], "long": "split"}).json()["results"]
    assert answer[0]["error"]["code"] == "too_long"
    assert "scores" in answer[1]


BAD: list[tuple[str | bytes, int, str]] = [
    ("", 400, "not JSON"),
    ("{", 400, "at line 1, column 2"),
    (b"\xff", 400, "byte 0 is not UTF-8"),
    ('{"text": NaN}', 400, "NaN is no JSON"),
    ("[" * 100_000, 400, "nested too deeply"),
    ('{"timeout_ms": ' + "9" * 5000 + "}", 400, "not JSON"),
    ("[]", 422, "the request is not as /docs says"),
    ("{}", 422, "the request is not as /docs says"),
    ('{"text": "a", "passages": []}', 422, "the request is not as /docs says"),
    ('{"passages": [], "context": "a"}', 422, "the request is not as /docs says"),
    ('{"text": 5}', 422, "the request is not as /docs says"),
    ('{"text": "a", "long": "maybe"}', 422, "the request is not as /docs says"),
    ('{"text": "a", "timeout_ms": 0}', 422, "the request is not as /docs says"),
    ('{"passages": [{"id": 5, "text": "a"}]}', 422, "the request is not as /docs says"),
    ('{"passages": [{"id": "\\ud800", "text": "a"}]}', 422, "the request is not as /docs says"),
    ('{"text": "a", "colour": "red"}', 422, "the request is not as /docs says"),
    (json.dumps({"passages": [{"text": "a"}] * 1001}), 422, "1001 passages, at most 1000 are allowed"),
    (json.dumps(dict.fromkeys(map(str, range(65)), 0)), 422, "65 members, at most 64 are allowed"),
    (json.dumps({"passages": [dict.fromkeys(map(str, range(65)), 0)]}), 422, "65 members, at most 64 are allowed"),
]


@pytest.mark.parametrize(("body", "status", "detail"), BAD, ids=[f"{status} {str(body)[:30]}" for body, status, _ in BAD])
def test_a_bad_body_is_a_problem_document(client: TestClient, body: str | bytes, status: int, detail: str) -> None:
    """Each bad body is named, and the service answers the next request."""
    answer = post(client, body)
    assert (status, PROBLEM) == (answer.status_code, answer.headers["content-type"])
    problem = answer.json()
    assert status == problem["status"]
    assert detail in problem["detail"]
    assert post(client, {"text": "fine"}).status_code == 200


def test_a_wrong_field_is_pointed_at(client: TestClient) -> None:
    """`errors` holds a JSON pointer and the reason."""
    errors = post(client, {"passages": [{"text": "a"}, {"txt": "b"}]}).json()["errors"]
    assert {"/passages/1/text", "/passages/1/txt"} == {error["pointer"] for error in errors}
    [error] = post(client, {"text": "a", "a/b~c": 1}).json()["errors"]
    assert error["pointer"] == "/a~1b~0c"


def test_a_body_of_mistakes_only_is_answered_shortly(client: TestClient) -> None:
    """Neither the answer nor the time that it takes grows with them: the first are shown, or the list is refused whole."""
    errors = post(client, {"passages": [0] * 1000}).json()["errors"]
    assert (errors[0]["pointer"], errors[-1]["detail"], len(errors)) == ("/passages/0", "980 more mistakes", 21)
    answer = post(client, '{"passages": [' + "0," * 2_000_000 + "0]}")
    assert (answer.status_code, answer.json()["errors"][0]["pointer"], len(answer.content) < 1000) == (422, "/passages", True)
    assert answer.elapsed.total_seconds() < 5


def test_options_in_the_query_are_refused(client: TestClient) -> None:
    """They would do nothing there."""
    answer = client.post("/v1/tag?top_k=1", json={"text": "a"})
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "/top_k")
    assert "stand in the body" in answer.json()["detail"]


def test_another_content_type_is_refused(client: TestClient) -> None:
    """Only JSON is read; a charset beside it does not matter."""
    assert post(client, "a=b", **{"content-type": "application/x-www-form-urlencoded"}).status_code == 415
    assert post(client, {"text": "a"}, **{"content-type": "application/json; charset=utf-8"}).status_code == 200


def test_a_body_too_large_is_refused_by_its_bytes(client: TestClient) -> None:
    """With a length, without one, and with one that lies: 413 as a problem document."""
    big = b'{"text": "' + b"a" * (4 * 1024 * 1024) + b'"}'

    def chunks() -> Any:
        for start in range(0, len(big), 65536):
            yield big[start : start + 65536]

    for answer in (post(client, big), client.post("/v1/tag", content=chunks(), headers={"content-type": "application/json"})):
        assert (answer.status_code, answer.headers["content-type"]) == (413, PROBLEM)
    lying = {"content-type": "application/json", "content-length": "5"}
    assert client.post("/v1/tag", content=big, headers=lying).status_code == 413


def test_a_past_deadline_is_504(client: TestClient) -> None:
    """A thousand passages take longer than a millisecond."""
    answer = post(client, {"passages": [{"text": "word " * 300}] * 200, "timeout_ms": 1})
    assert (answer.status_code, answer.headers["content-type"]) == (504, PROBLEM)


def test_an_internal_error_tells_nothing(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """A broken engine is a fixed 500; what broke goes to the log alone, and the process lives."""
    monkeypatch.setattr(Classifier, "_logits", lambda self, encoded: 1 / 0)
    answer = post(client, {"text": "secret words"})
    assert (answer.status_code, answer.headers["content-type"]) == (500, PROBLEM)
    assert "division" not in answer.text
    assert "secret" not in answer.text
    monkeypatch.undo()
    assert post(client, {"text": "fine"}).status_code == 200


def test_tags_and_model(client: TestClient, classifier: Classifier) -> None:
    """What the tags mean, and what serves; a quick bundle says that it is provisional."""
    tags = client.get("/v1/tags").json()
    assert classifier.manifest.tags == [tag["name"] for tag in tags["tags"]]
    assert all(tag["definition"] for tag in tags["tags"])
    model = client.get("/v1/model").json()
    assert (model["provisional"], model["profile"], model["metrics"]) == (True, "quick", {})
    assert classifier.manifest.sha256 == model["sha256"]


def test_health(client: TestClient) -> None:
    """Live and ready."""
    assert client.get("/health/live").json() == {"status": "ok"}
    assert client.get("/health/ready").json() == {"status": "ok"}


def test_ready_turns_when_the_canaries_are_scored_wrong(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """The background check finds a broken engine; when it is right again, so is the probe."""

    def broken(self: Classifier) -> float:
        message = "a canary's score differs"
        raise BundleError(message)

    def status_becomes(wanted: int) -> bool:
        until = time.monotonic() + 10
        while time.monotonic() < until:
            if wanted == client.get("/health/ready").status_code:
                return True
            time.sleep(0.02)
        return False

    monkeypatch.setattr(Classifier, "check_canaries", broken)
    assert status_becomes(503)
    assert client.get("/health/live").status_code == 200
    monkeypatch.undo()
    assert status_becomes(200)


def test_unknown_paths_and_methods_are_problem_documents(client: TestClient) -> None:
    """404 and 405 have the same form as all else."""
    for answer, status in ((client.get("/v2"), 404), (client.get("/v1/tag"), 405)):
        assert (status, PROBLEM) == (answer.status_code, answer.headers["content-type"])


def test_a_service_without_a_bundle_does_not_start(tmp_path: Path) -> None:
    """Start-up fails loudly."""
    with pytest.raises(BundleError, match="there is no champion yet"), TestClient(create_app(Settings(state=tmp_path))):
        pass


def test_with_keys_a_key_is_needed(client: TestClient, service_settings: Settings) -> None:
    """A key made while the service runs counts at once; scopes are looked at; probes need none."""
    tag = create_key(service_settings.keys_file, "a", ["tag"])
    label = create_key(service_settings.keys_file, "b", ["label"])
    nobody = post(client, {"text": "a"})
    assert (
        nobody.status_code,
        nobody.headers["www-authenticate"],
        nobody.headers["content-type"],
    ) == (401, "Bearer", PROBLEM)
    for key, status in ((tag, 200), (label, 403), ("pt_wrong", 401), ("\udcff", 401)):
        headers = {b"authorization": f"Bearer {key}".encode("utf-8", "surrogateescape")}
        assert status == client.get("/v1/tags", headers=headers).status_code
    assert client.get("/v1/model", headers={"authorization": f"Basic {tag}"}).status_code == 401
    assert client.get("/health/ready").status_code == 200


def test_revoking_the_last_key_never_opens_the_service(client: TestClient, service_settings: Settings) -> None:
    """Once there was a key, no key means that nobody may; a damaged file means so too, as 503."""
    create_key(service_settings.keys_file, "a", ["tag"])
    assert client.get("/v1/tags").status_code == 401
    revoke_key(service_settings.keys_file, "a")
    assert client.get("/v1/tags").status_code == 401
    service_settings.keys_file.write_text("{", encoding="utf-8")
    answer = client.get("/v1/tags")
    assert (answer.status_code, answer.headers["content-type"]) == (503, PROBLEM)
    service_settings.keys_file.unlink()
    assert client.get("/v1/tags").status_code == 401


def test_marks_without_end_hold_up_nobody(client: TestClient) -> None:
    """Runs that a careless pattern takes minutes for are answered like all else."""
    for piece in (".", "[1]", "\u0300\u0316", "”", "* "):
        for long, characters in (("truncate", 60_000), ("split", 10_000)):  # all of what is split is scored, too
            body = {
                "passages": [{"text": "word " * 400 + piece * (characters // len(piece)) + "x"}],
                "long": long,
                "timeout_ms": 60_000,
            }
            assert post(client, body).status_code == 200


def test_openapi_describes_every_answer(client: TestClient) -> None:
    """Bodies, answers and problems are in the document, with examples, and every reference leads somewhere."""
    schema = client.get("/openapi.json").json()
    posts = {"/v1/tag": "200", "/v1/documents": "200", "/v1/tag/stream": "200", "/v1/labels": "200", "/v1/jobs": "202"}
    gets = {"/v1/tags", "/v1/model", "/v1/labels/queue", "/v1/jobs", "/v1/jobs/{number}", "/health/live", "/health/ready"}
    assert {*posts, *gets, "/metrics"} == set(schema["paths"])
    tag = schema["paths"]["/v1/tag"]["post"]
    assert {"200", "400", "401", "403", "408", "413", "415", "422", "429", "500", "503", "504"} == set(tag["responses"])
    for path, right in posts.items():
        operation = schema["paths"][path]["post"]
        assert operation["requestBody"]["content"]
        problems = [answer for status, answer in operation["responses"].items() if status != right]
        assert all(answer["content"][PROBLEM]["example"]["detail"] for answer in problems)
        answer = operation["responses"][right]["content"]
        assert _shown(schema, answer), path
    for path in gets:
        assert _shown(schema, schema["paths"][path]["get"]["responses"]["200"]["content"]), path
    for model in ("TagRequest", "DocumentRequest", "LabelsRequest", "JobRequest"):
        assert schema["components"]["schemas"][model]["examples"]
    names = {part.split('"')[0] for part in json.dumps(schema).split("#/components/schemas/")[1:]}
    assert names <= set(schema["components"]["schemas"])


def _shown(schema: Any, content: Any) -> bool:
    """Whether every kind of this answer has an example, in its place or in its model."""
    models = schema["components"]["schemas"]
    return all(
        "example" in entry or models[entry["schema"]["$ref"].rpartition("/")[2]].get("examples") for entry in content.values()
    )


@pytest.fixture
def served(service_settings: Settings) -> Iterator[int]:
    """A real server that gives a body half a second; its port."""
    settings = service_settings.model_copy(update={"canary_seconds": 60.0, "body_seconds": 0.5})
    server = uvicorn.Server(uvicorn.Config(create_app(settings), port=0, log_level="warning"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield server.servers[0].sockets[0].getsockname()[1]
    server.should_exit = True
    thread.join(20)


def test_a_body_that_does_not_come_is_408(served: int) -> None:
    """A caller who sends a byte now and then holds no connection for ever."""
    with socket.create_connection(("127.0.0.1", served), timeout=10) as caller:
        caller.sendall(b"POST /v1/tag HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 99\r\n\r\n{")
        answer = caller.recv(4096)
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b"connection: close" in answer.lower()


def test_an_application_that_has_ended_keeps_no_model(service_settings: Settings) -> None:
    """Sessions of the engine are the most of a process' memory; whoever still holds the application does not hold them."""
    app = create_app(service_settings)
    with TestClient(app) as client:
        assert client.get("/health/ready").status_code == 200
        held = weakref.ref(app.state.service.classifier)
    gc.collect()
    assert held() is None


def test_a_check_that_never_ends_is_not_ready(service_settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Readiness ages: when the canaries have not been scored for some checks, the engine hangs."""
    monkeypatch.setattr(service_module, "CHECK_SECONDS", 0.5)
    with TestClient(create_app(service_settings)) as client:
        _wait_for(client, 200)  # a machine that stalls between two checks is not ready for a moment, rightly
        gate, _ = _hold_engine(monkeypatch)
        assert "the engine hangs" in _wait_for(client, 503)["detail"]
        assert client.get("/health/live").status_code == 200
        gate.set()
        _wait_for(client, 200)


def _wait_for(client: TestClient, status: int) -> Any:
    """What `/health/ready` says once it answers so; fails after half a minute."""
    deadline = time.monotonic() + 30
    while (answer := client.get("/health/ready")).status_code != status:
        assert time.monotonic() < deadline, answer.text
        time.sleep(0.05)
    return answer.json()


def _hold_engine(monkeypatch: pytest.MonkeyPatch) -> tuple[threading.Event, list[int]]:
    """An engine that waits to be let go, and the number of passages that it computed."""
    gate, computed = threading.Event(), []
    genuine = Classifier._logits

    def held(self: Classifier, encoded: Encoded) -> np.ndarray:
        assert gate.wait(20)
        computed.append(1)
        return genuine(self, encoded)

    monkeypatch.setattr(Classifier, "_logits", held)
    return gate, computed


def test_a_full_queue_is_429_and_the_accepted_are_answered(service_settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Retry-After is in whole seconds; what was accepted before is answered; afterwards there is room again."""
    settings = service_settings.model_copy(update={"max_interactive_tokens": 150, "canary_seconds": 60.0})
    with TestClient(create_app(settings)) as client:
        gate, _ = _hold_engine(monkeypatch)
        with ThreadPoolExecutor(1) as pool:
            first = pool.submit(post, client, {"text": "word " * 150})
            scheduler = client.app.state.service.classifier.scheduler  # type: ignore[attr-defined]
            while not scheduler.tokens:
                time.sleep(0.01)
            refused = post(client, {"text": "word " * 150})
            assert (refused.status_code, refused.headers["content-type"]) == (429, PROBLEM)
            assert int(refused.headers["retry-after"]) >= 1
            gate.set()
            assert first.result().status_code == 200
        assert post(client, {"text": "word " * 150}).status_code == 200


def test_the_deadline_is_answered_while_the_engine_is_busy(service_settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """504 comes at the deadline, not when the engine gets round to it; what waited is not computed."""
    with TestClient(create_app(service_settings.model_copy(update={"canary_seconds": 60.0}))) as client:
        gate, computed = _hold_engine(monkeypatch)
        started = time.monotonic()
        answer = post(client, {"passages": [{"text": "a"}] * 50, "timeout_ms": 200})
        assert answer.status_code == 504
        assert time.monotonic() - started < 10
        gate.set()
        assert post(client, {"text": "fine"}).status_code == 200
        assert len(computed) <= 3  # the two that were being computed, and this one


def test_the_work_of_a_caller_who_has_gone_is_dropped(service_settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection that is closed while its passages wait takes them along; others are answered."""
    app = create_app(service_settings.model_copy(update={"canary_seconds": 60.0}))
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="warning"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    gate, computed = _hold_engine(monkeypatch)
    body = json.dumps({"passages": [{"text": "We urge the council."}] * 100}).encode()
    with socket.create_connection(("127.0.0.1", port)) as caller:
        head = f"POST /v1/tag HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        caller.sendall(head.encode() + body)
        scheduler = app.state.service.classifier.scheduler
        while not scheduler.tokens:
            time.sleep(0.01)
    deadline = time.monotonic() + 10
    while scheduler.tokens and time.monotonic() < deadline:
        time.sleep(0.01)
    assert scheduler.tokens == 0
    gate.set()
    server.should_exit = True
    thread.join(20)
    assert len(computed) <= 2  # those that were being computed


def test_an_engine_that_hangs_fails_its_request_and_turns_not_ready(
    service_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """500 within moments, the next request is answered; with too many hanging threads /health/ready is 503, then ok again."""
    settings = service_settings.model_copy(update={"hang_seconds": 1.0, "canary_seconds": 60.0, "threads": 1})
    gate = threading.Event()

    def hung(self: Classifier, encoded: Encoded) -> np.ndarray:
        with self.scheduler.passing():
            gate.wait(60)
        return np.zeros(4)

    with TestClient(create_app(settings), raise_server_exceptions=False) as client:
        assert post(client, {"text": "fine"}).status_code == 200
        for round_ in range(service_module.MOST_HANGING + 1):
            assert client.get("/health/ready").status_code == 200, round_
            with monkeypatch.context() as patched:
                patched.setattr(Classifier, "_logits", hung)
                answer = post(client, {"text": "hang"})
            assert answer.status_code == 500
            assert "was given up" in answer.json()["detail"]
            if round_ < service_module.MOST_HANGING:
                assert post(client, {"text": "fine"}).status_code == 200
        assert post(client, {"text": "one thread more"}).status_code == 503
        answer = client.get("/health/ready")
        assert (answer.status_code, "4 scoring threads hang" in answer.json()["detail"]) == (503, True)
        metrics = client.get("/metrics").text
        assert "tagger_hanging_threads 4.0" in metrics
        assert 'tagger_rejected_total{reason="internal"} 4.0' in metrics
        assert 'tagger_rejected_total{reason="not_ready"} 1.0' in metrics
        gate.set()
        until = time.monotonic() + 10
        while client.get("/health/ready").status_code != 200 and time.monotonic() < until:
            time.sleep(0.05)
        assert post(client, {"text": "fine"}).status_code == 200


def test_an_engine_that_raises_fails_its_request_alone(service_settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """500 without a word of what it was; the threads go on."""
    settings = service_settings.model_copy(update={"canary_seconds": 60.0})
    with TestClient(create_app(settings), raise_server_exceptions=False) as client:
        with monkeypatch.context() as patched:

            def broken(self: Classifier, encoded: Encoded) -> np.ndarray:
                message = "secret"
                raise RuntimeError(message)

            patched.setattr(Classifier, "_logits", broken)
            answers = [post(client, {"passages": [{"text": "a"}] * 20}) for _ in range(3)]
        assert {answer.status_code for answer in answers} == {500}
        assert not any("secret" in answer.text for answer in answers)
        assert all(answer.headers["x-request-id"] and answer.headers["x-content-type-options"] for answer in answers)
        assert post(client, {"passages": [{"text": "a"}] * 20}).status_code == 200


def test_options_of_a_request(client: TestClient) -> None:
    """Thresholds are echoed, top_k shows the highest scores first and leaves tags alone, logits come when asked."""
    plain = post(client, {"text": DEMAND}).json()["results"][0]
    body = {"text": DEMAND, "top_k": 2, "logits": True, "thresholds": {"historical_case": 0, "advocacy_call": 1}}
    answer = post(client, body).json()
    [found] = answer["results"]
    assert (answer["thresholds"]["historical_case"], answer["thresholds"]["advocacy_call"]) == (0, 1)
    assert list(found["scores"].items()) == sorted(plain["scores"].items(), key=lambda entry: -entry[1])[:2]
    assert list(found["logits"]) == list(found["scores"])
    assert "historical_case" in found["tags"]
    assert "advocacy_call" not in found["tags"]
    assert answer["usage"] == {"passages": 1, "tokens": found["tokens"], "truncated": 0}


@pytest.mark.parametrize(
    ("options", "pointer"),
    [
        ({"thresholds": {"advocacy": 0.5}}, "/thresholds/advocacy"),
        ({"thresholds": {"advocacy_call": 1.5}}, "/thresholds/advocacy_call"),
        ({"thresholds": {"advocacy_call": "high"}}, "/thresholds/advocacy_call"),
        ({"top_k": 0}, "/top_k"),
        ({"sentences": "yes"}, "/sentences"),
    ],
)
def test_options_that_mean_nothing_are_refused(client: TestClient, options: Any, pointer: str) -> None:
    """With a pointer to the field."""
    answer = post(client, {"text": "a", **options})
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["pointer"] == pointer


def test_the_time_is_told(client: TestClient) -> None:
    """Server-Timing holds the wait, the scoring and the whole, in milliseconds."""
    timing = post(client, {"text": "a"}).headers["server-timing"]
    parts = dict(part.split(";dur=") for part in timing.split(", "))
    assert list(parts) == ["queue", "score", "total"]
    assert 0 < float(parts["score"]) <= float(parts["total"])
