"""Documents over HTTP: as a body or an upload, the same extraction as `tagger score`, refusals that say why."""

import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from typing import Any

import httpx
import pytest
from starlette.testclient import TestClient

from labels.passages import split_passages
from serving.app import create_app
from serving.extraction.extracted import Extracted
from serving.extraction.isolated import DocumentReader, ReaderPool
from serving.settings import Settings
from tests.serving.extraction import writers
from tests.serving.extraction.test_formats import prose

Running = Callable[[Settings], AbstractContextManager[str]]
TYPES = {
    "html": "text/html; charset=utf-8",
    "pdf": "application/pdf",
    "docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    "epub": "application/epub+zip",
    "email": "message/rfc822",
}
ENDINGS = {"html": "page.html", "pdf": "Report.PDF", "docx": "a.docx", "epub": "b.epub", "email": "c.eml"}


@pytest.mark.parametrize("kind", TYPES)
def test_a_document_as_body_and_as_upload(client: TestClient, kind: str) -> None:
    """The passages are those of the extracted text, with pages where there are any; both ways answer alike."""
    content = getattr(writers, kind)(prose(6, 11))
    reader = DocumentReader()
    document = reader.read(content, kind)
    reader.close()
    expected = split_passages(document.text)
    body = client.post("/v1/documents", content=content, headers={"content-type": TYPES[kind]})
    assert body.status_code == 200, body.text
    found = body.json()
    assert [(one["start"], one["end"], one["text"]) for one in found["results"]] == [(p.start, p.end, p.text) for p in expected]
    assert found["characters"] == len(document.text)
    assert all(("page" in one) == (kind == "pdf") for one in found["results"])
    upload = client.post("/v1/documents?top_k=1", files={"file": (ENDINGS[kind], content)})
    assert [one["text"] for one in upload.json()["results"]] == [one["text"] for one in found["results"]]
    assert all(len(one["scores"]) == 1 for one in upload.json()["results"])


@pytest.mark.parametrize(
    ("files", "status", "said"),
    [
        ([("file", ("a.txt", b"one")), ("file", ("b.txt", b"two"))], 422, "has 2 parts: file ('a.txt'), file ('b.txt')"),
        ([("file", (f"{number}.txt", b"one")) for number in range(40)], 422, "has 40 parts: file ('0.txt')"),
        ({"file": ("a.pdf", b"%PDF-1.4 broken")}, 422, "is no whole PDF"),
        ({"file": ("a.docx", b"PK\x03\x04 broken")}, 422, "is no whole zip archive"),
        ({"file": ("a.xyz", b"words")}, 415, "is of no known type"),
        ({"other": ("a.txt", b"words")}, 422, "in the field `file`"),
    ],
)
def test_what_cannot_be_read_is_told(client: TestClient, files: Any, status: int, said: str) -> None:
    """A problem document says what is wrong with the upload, and the service goes on."""
    answer = client.post("/v1/documents", files=files)
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
    assert said in answer.json()["detail"]
    assert client.get("/health/ready").status_code == 200


def test_a_broken_form_and_a_large_upload(service_settings: Settings) -> None:
    """A form without its boundary is 400; more bytes than allowed are 413, whatever their kind."""
    settings = service_settings.model_copy(update={"max_document_bytes": 2000})
    with TestClient(create_app(settings)) as client:
        broken = client.post("/v1/documents", content=b"xx", headers={"content-type": "multipart/form-data; boundary=a"})
        assert broken.status_code in {400, 422}
        none = client.post("/v1/documents", content=b"xx", headers={"content-type": "multipart/form-data"})
        assert none.status_code == 400
        content = b"%PDF-" + b"x" * 3000
        assert client.post("/v1/documents", files={"file": ("a.pdf", content)}).status_code == 413
        assert client.post("/v1/documents", content=content, headers={"content-type": "application/pdf"}).status_code == 413


def test_without_the_extra_the_service_says_so(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """415 that names the extra; text is served as ever."""
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    answer = client.post("/v1/documents", content=b"%PDF-1.4", headers={"content-type": "application/pdf"})
    assert answer.status_code == 415
    assert "passage-tagger[documents]" in answer.json()["detail"]
    assert client.post("/v1/documents", content="Words.", headers={"content-type": "text/plain"}).status_code == 200


def _hold_readers(monkeypatch: pytest.MonkeyPatch) -> tuple[threading.Event, list[bytes]]:
    """Readers that wait to be let go, and the documents that they have begun."""
    gate, begun = threading.Event(), []
    genuine = ReaderPool.read

    def held(self: ReaderPool, content: bytes, kind: str) -> Extracted:
        begun.append(content)
        assert gate.wait(30)
        return genuine(self, content, kind)

    monkeypatch.setattr(ReaderPool, "read", held)
    return gate, begun


def _wait_until(holds: Callable[[], bool]) -> None:
    until = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < until
        time.sleep(0.01)


def _page(base: str, **query: Any) -> httpx.Response:
    page = "<p>We urge the Council to act.</p>"
    return httpx.post(f"{base}/v1/documents", content=page, headers={"content-type": "text/html"}, params=query, timeout=60)


def _connect(base: str, length: int) -> socket.socket:
    """A connection over which a document of this length has been announced, and nothing of it sent."""
    port = int(base.rpartition(":")[2])
    caller = socket.create_connection(("127.0.0.1", port), timeout=10)
    head = f"POST /v1/documents HTTP/1.1\r\nHost: x\r\nContent-Type: text/html\r\nContent-Length: {length}\r\n\r\n"
    caller.sendall(head.encode())
    return caller


def test_no_more_documents_are_held_than_there_is_room_for(
    service_settings: Settings, running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """429 with Retry-After before a byte of the body has come, counted; the accepted is answered, and there is room again."""
    gate, begun = _hold_readers(monkeypatch)
    with (
        running(service_settings.model_copy(update={"max_held_bytes": 4 * 2**20 + 1000})) as base,
        ThreadPoolExecutor(1) as pool,
    ):
        try:
            first = pool.submit(_page, base)
            _wait_until(lambda: bool(begun))
            with _connect(base, 100) as second:
                head = second.recv(10_000).decode().lower()
            assert head.startswith("http/1.1 429")
            assert "retry-after: 5" in head
            assert 'tagger_rejected_total{reason="queue_full"} 1.0' in httpx.get(f"{base}/metrics").text
            plain = httpx.post(f"{base}/v1/documents", content="A.", headers={"Content-Type": "text/plain"})
            assert plain.status_code == 200  # it takes no more room than its bytes
        finally:
            gate.set()
        assert first.result().status_code == 200
        assert _page(base).status_code == 200


def test_a_document_whose_caller_has_gone_is_not_read(
    service_settings: Settings, running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What waits for a reader is dropped when its caller leaves or its time is over; nobody else notices."""
    gate, begun = _hold_readers(monkeypatch)
    with running(service_settings) as base, ThreadPoolExecutor(2) as pool:
        try:
            others = [pool.submit(_page, base) for _ in range(2)]
            _wait_until(lambda: len(begun) == 2)
            with _connect(base, 11) as caller:
                caller.sendall(b"<p>Gone</p>")
            _wait_until(lambda: 'tagger_rejected_total{reason="caller_gone"} 1.0' in httpx.get(f"{base}/metrics").text)
            assert _page(base, timeout_ms=100).status_code == 504
        finally:
            gate.set()
        assert [other.result().status_code for other in others] == [200, 200]
        assert len(begun) == 2
