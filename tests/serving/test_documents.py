"""Whole documents over HTTP: the same passages as everywhere, offsets that slice back, clear refusals."""

from typing import Any

import pytest
from starlette.testclient import TestClient

from labels.passages import split_passages
from serving.app import create_app
from serving.settings import Settings

MARKDOWN = (
    "# Statement\n\nStates should:\n\n- freeze the generals\u2019 assets\n- open shelters for survivors\n\n"
    "Page 3 \U0001f4c4 end\n"
)


def post(client: TestClient, body: str | bytes, kind: str = "text/markdown", **query: Any) -> Any:
    """POST /v1/documents."""
    return client.post("/v1/documents", content=body, headers={"content-type": kind}, params=query)


@pytest.mark.parametrize("kind", ["text/markdown", "text/plain; charset=utf-8", "application/json"])
def test_passages_come_with_offsets_that_slice_back(client: TestClient, kind: str) -> None:
    """Text, Markdown and JSON give the passages of the one segmentation, scored with their lead-ins."""
    answer = client.post("/v1/documents", json={"text": MARKDOWN}) if "json" in kind else post(client, MARKDOWN, kind)
    found = answer.json()
    expected = split_passages(MARKDOWN)
    assert [(one["start"], one["end"], one["context"]) for one in found["results"]] == [
        (passage.start, passage.end, passage.context) for passage in expected
    ]
    assert all(MARKDOWN[one["start"] : one["end"]] == one["text"] for one in found["results"])
    alone = client.post(
        "/v1/tag", json={"passages": [{"text": passage.text, "context": passage.context} for passage in expected]}
    ).json()
    assert [one["scores"] for one in found["results"]] == [one["scores"] for one in alone["results"]]
    assert found["characters"] == len(MARKDOWN)
    for tag, count in found["tags"].items():
        assert count == sum(tag in one["tags"] for one in found["results"])
    assert found["usage"] == alone["usage"]


def test_options_of_a_plain_body_stand_in_the_query(client: TestClient) -> None:
    """Thresholds, top_k and logits as in JSON; `texts` false leaves the texts out."""
    found = post(client, MARKDOWN, threshold="historical_case:0", top_k=1, logits=True).json()
    assert found["thresholds"]["historical_case"] == 0
    assert all("historical_case" in one["tags"] for one in found["results"])
    assert all(len(one["scores"]) == len(one["logits"]) == 1 for one in found["results"])
    bare = client.post("/v1/documents", json={"text": MARKDOWN, "texts": False}).json()
    assert all("text" not in one and "context" not in one for one in bare["results"])


def test_an_empty_document_has_no_passages(client: TestClient) -> None:
    """Nothing in, nothing out, no error."""
    assert post(client, " \n\n").json()["results"] == []


@pytest.mark.parametrize(
    ("body", "kind", "query", "status", "said"),
    [
        ("x", "application/msword", {}, 415, "send one of text/plain, text/markdown, text/html"),
        (b"caf\xe9", "text/plain", {}, 400, "byte 3 is 0xe9"),
        ("x", "text/plain", {"threshold": "advocacy:0.5"}, 422, "known: advocacy_call"),
        ("x", "text/plain", {"threshold": "advocacy_call:2"}, 422, "from 0 to 1"),
        ("x", "text/plain", {"threshold": "advocacy_call"}, 422, "TAG:VALUE"),
        ('{"text": "a"}', "application/json", {"top_k": "1"}, 422, "stand in the body, not in the query"),
        ("x", "text/plain", {"thresholds": "a:0.5"}, 422, "unknown in the query: 'thresholds'; known: long, top_k, threshold,"),
        (
            '{"text": "a"}',
            "application/json",
            {"thresholds": "a:0.5"},
            422,
            "unknown in the query: 'thresholds'; options of a JSON",
        ),
        ("x", "text/plain", {"timeout_ms": "0"}, 422, "the query is not as /docs says"),
        ("x", "text/plain", {"top_k": "0"}, 422, "the query is not as /docs says"),
        ('{"text": "a", "nonsense": 1}', "application/json", {}, 422, "not as /docs says"),
        ('{"text": "\\ud800"}', "application/json", {}, 422, "character 0 is a lone surrogate"),
    ],
)
def test_what_cannot_be_served_is_told(
    client: TestClient, body: str | bytes, kind: str, query: dict[str, str], status: int, said: str
) -> None:
    """A problem document names the value and what is allowed."""
    answer = post(client, body, kind, **query)
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
    assert said in answer.json()["detail"]


def test_too_many_passages_and_too_little_time(service_settings: Settings) -> None:
    """A document of more passages than allowed is refused before scoring; the deadline holds for documents too."""
    settings = service_settings.model_copy(update={"max_document_passages": 3, "max_queue_tokens": 10})
    with TestClient(create_app(settings)) as client:
        assert "4 passages, at most 3" in post(client, "a\n\nb\n\nc\n\nd").json()["detail"]
        long = {"text": "\n\n".join(["word " * 170] * 3), "timeout_ms": 1}
        assert client.post("/v1/documents", json=long).status_code == 504
        assert len(post(client, "a\n\nb\n\nc").json()["results"]) == 3


def test_the_example_in_the_documentation_is_what_the_service_answers(client: TestClient) -> None:
    """Places, ids, tokens and tags of the example are those of its text."""
    shown = client.get("/openapi.json").json()["components"]["schemas"]["DocumentAnswer"]["examples"][0]
    found = post(client, "States should:\n- freeze their assets").json()
    assert {name: shown[name] for name in ("usage", "segmenter", "characters")} == {
        name: found[name] for name in ("usage", "segmenter", "characters")
    }
    assert shown["tags"].items() <= found["tags"].items()
    assert [{**one, "scores": None} for one in shown["results"]] == [{**one, "scores": None} for one in found["results"]]
