"""Metrics add up: what a mixed load sent and got back is what /metrics says afterwards."""

import json
import re
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from starlette.testclient import TestClient

from serving.app import create_app
from serving.classifier import Classifier
from serving.settings import Settings

BODIES: list[Any] = [
    {"text": "We urge the Council to impose an arms embargo on the junta."},
    {"passages": [{"text": "Page 3"}, {"text": ""}, {"text": "nul \0"}, {"text": "In 1963 a coup toppled Diem."}]},
    {"passages": [{"text": "word " * 600}], "long": "truncate"},
    {"passages": [{"text": "word " * 600}], "long": "split"},
    {"passages": [{"text": "word " * 600}]},
    {"text": ""},
    {"passages": []},
    {"wrong": 1},
    "{",
]


def _read(client: TestClient) -> dict[str, float]:
    """Name with labels -> value."""
    lines = client.get("/metrics").text.splitlines()
    return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines if not line.startswith("#"))}


def _post(client: TestClient, body: Any) -> Any:
    content = body if isinstance(body, str) else json.dumps(body)
    return client.post("/v1/tag", content=content, headers={"content-type": "application/json"})


def test_metrics_reconcile_with_a_load_run(client: TestClient) -> None:
    """Requests by status, passages, errors by kind, tokens, truncations, tags and scores, all counted on both sides."""
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda body: _post(client, body), BODIES * 5))
    client.get("/nowhere/at/all")
    found = _read(client)
    statuses = Counter(answer.status_code for answer in answers)
    for status, count in statuses.items():
        assert found[f'tagger_requests_total{{route="/v1/tag",status="{status}"}}'] == count
    assert found['tagger_requests_total{route="other",status="404"}'] == 1
    for status, reason in ((400, "not_json"), (422, "invalid")):
        assert found[f'tagger_rejected_total{{reason="{reason}"}}'] == statuses[status]
    results = [result for answer in answers if answer.status_code == 200 for result in answer.json()["results"]]
    scored = [result for result in results if "error" not in result]
    assert found["tagger_passages_total"] == len(scored)
    refused_alone = [answer for answer in answers if answer.status_code == 422 and answer.json()["detail"].startswith("empty")]
    codes = Counter(result["error"]["code"] for result in results if "error" in result) + Counter(empty=len(refused_alone))
    for code, count in codes.items():
        assert found[f'tagger_passage_errors_total{{code="{code}"}}'] == count
    assert found["tagger_tokens_total"] == sum(result["tokens"] for result in scored)
    assert found["tagger_truncated_total"] == sum(result["truncated"] for result in scored)
    for tag in scored[0]["scores"]:
        assert found[f'tagger_tags_total{{tag="{tag}"}}'] == sum(tag in result["tags"] for result in scored)
        assert found[f'tagger_score_count{{tag="{tag}"}}'] == len(scored)
        assert found[f'tagger_score_sum{{tag="{tag}"}}'] == pytest.approx(sum(result["scores"][tag] for result in scored))
    jobs = statuses[200] + len(refused_alone)
    assert found["tagger_queue_wait_seconds_count"] == jobs
    assert found["tagger_inference_seconds_total"] > 0
    assert (found["tagger_queue_tokens"], found["tagger_ready"]) == (0, 1)


def test_no_text_and_the_model_in_the_metrics(client: TestClient) -> None:
    """Names and numbers only; the bundle is named."""
    _post(client, {"text": "Quetzalcoatlus demands sanctions."})
    text = client.get("/metrics").text
    assert "uetzal" not in text
    model = client.get("/v1/model").json()
    assert re.search(rf'tagger_model_info{{profile="quick",sha256="{model["sha256"]}",version="{model["version"]}"}} 1.0', text)


def test_rejections_are_counted_by_reason(service_settings: Settings) -> None:
    """Deadlines here; full queues and callers who have gone count alike."""
    with TestClient(create_app(service_settings)) as client:
        assert _post(client, {"passages": [{"text": "word " * 300}] * 200, "timeout_ms": 1}).status_code == 504
        found = _read(client)
        assert found['tagger_rejected_total{reason="deadline"}'] == 1
        assert found["tagger_queue_wait_seconds_count"] == 1  # what was not scored has waited too


def test_a_500_is_counted_as_one(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """The framework answers it outside of the counting middleware."""
    with monkeypatch.context() as patch:
        patch.setattr(Classifier, "_logits", lambda self, encoded: 1 / 0)
        assert _post(client, {"text": "a"}).status_code == 500
    assert _read(client)['tagger_requests_total{route="/v1/tag",status="500"}'] == 1
