"""Documents over HTTP: as a body or an upload, the same extraction as `tagger score`, refusals that say why."""

from typing import Any

import pytest
from starlette.testclient import TestClient

from labels.passages import split_passages
from serving.app import create_app
from serving.extraction.isolated import DocumentReader
from serving.settings import Settings
from tests.serving.extraction import writers
from tests.serving.extraction.test_formats import prose

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
