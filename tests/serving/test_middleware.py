"""What every request passes: ids, traces and one line of log without texts; headers that browsers obey."""

import json
import logging
from typing import Any

import pytest
from starlette.testclient import TestClient

from serving.logs import JsonLines

TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def _logged(caplog: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    return [json.loads(JsonLines().format(record)) for record in caplog.records if record.name.startswith("tagger")]


def test_a_request_is_one_line_with_its_id_and_trace(client: TestClient, caplog: pytest.LogCaptureFixture) -> None:
    """The caller's id and trace are kept; neither text nor query nor key is."""
    caplog.set_level(logging.INFO, logger="tagger")
    answer = client.post(
        "/v1/documents?threshold=historical_case:0.98765",
        content="Quetzalcoatlus",
        headers={"Content-Type": "text/plain", "X-Request-ID": "mine-1", "traceparent": TRACE, "Authorization": "Bearer pt_x"},
    )
    assert answer.headers["x-request-id"] == "mine-1"
    [line] = [one for one in _logged(caplog) if one["logger"] == "tagger.requests"]
    assert (line["request_id"], line["route"], line["status"], line["method"]) == ("mine-1", "/v1/documents", 200, "POST")
    assert (line["trace_id"], line["parent_id"]) == (TRACE[3:35], TRACE[36:52])
    assert not any(word in json.dumps(line) for word in ("uetzal", "98765", "pt_x"))


@pytest.mark.parametrize("given", ["", "a b", "x" * 129, "\x01"])
def test_an_id_that_is_none_is_replaced(client: TestClient, given: str) -> None:
    """Something that could break a log is never echoed; each request has an id all the same."""
    first, second = (client.get("/health/live", headers={"X-Request-ID": given}).headers["x-request-id"] for _ in range(2))
    assert first != second
    assert len(first) == 16


@pytest.mark.parametrize("given", ["00-" + "0" * 32 + "-00f067aa0ba902b7-01", "nonsense", TRACE.upper()])
def test_a_trace_that_is_none_is_left_out(client: TestClient, caplog: pytest.LogCaptureFixture, given: str) -> None:
    """Only what the standard calls valid is logged."""
    caplog.set_level(logging.INFO, logger="tagger")
    client.get("/health/live", headers={"traceparent": given})
    assert "trace_id" not in _logged(caplog)[-1]


def test_an_exception_is_logged_without_what_it_was_given(client: TestClient, caplog: pytest.LogCaptureFixture) -> None:
    """The kind and the places, not the message: a library may quote the text. Our own messages stay."""
    try:
        json.loads("Quetzalcoatlus")
    except ValueError:
        logging.getLogger("tagger").exception("failed")
    line = _logged(caplog)[-1]
    assert line["exception"] == "JSONDecodeError"
    assert "test_middleware.py" in line["stack"][0]
    assert "detail" not in line


@pytest.mark.parametrize("path", ["/v1/tags", "/nowhere", "/docs"])
def test_browsers_are_told_what_not_to_do(client: TestClient, path: str) -> None:
    """On answers, errors and pages alike; no other origin is let in."""
    answer = client.get(path, headers={"Origin": "https://elsewhere.example"})
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["cache-control"] == "no-store"
    assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
    assert not any(header.startswith("access-control") for header in answer.headers)


def test_the_docs_page_needs_no_other_host(client: TestClient) -> None:
    """Script and style come from the service itself."""
    page = client.get("/docs").text
    assert "http://" not in page.replace("http://testserver", "")
    assert "https://" not in page
    for name in ("swagger-ui-bundle.js", "swagger-ui.css"):
        assert f"/static-offline-docs/{name}" in page
        assert client.get(f"/static-offline-docs/{name}").status_code == 200
