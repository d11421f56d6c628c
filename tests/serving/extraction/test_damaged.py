"""Broken, hostile and protected files: one clear error each, within the limits, and the next document is read."""

import io
import os
import signal
import threading
import time
import zipfile
from collections.abc import Iterator
from contextlib import suppress
from email.message import EmailMessage
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pypdf import PdfReader, PdfWriter

from serving.extraction.extracted import Extracted, ExtractionError, Limits
from serving.extraction.isolated import DocumentReader
from tests.serving.extraction import writers
from tests.serving.extraction.test_formats import prose

GOOD = "The council met on Monday to hear the report."


@pytest.fixture(scope="module")
def reader() -> Iterator[DocumentReader]:
    """A reader with narrow limits."""
    made = DocumentReader(Limits(unpacked_bytes=2**22, pages=20, seconds=20, depth=2, memory_bytes=2**31, characters=300_000))
    yield made
    made.close()


def zipped(parts: dict[str, bytes]) -> bytes:
    """A zip archive."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    return out.getvalue()


def nested_mail(depth: int) -> bytes:
    """Messages within messages."""
    message = EmailMessage()
    message["Subject"], message["From"] = "deep", "a@example.org"
    message.set_content("words")
    for _ in range(depth):
        outer = EmailMessage()
        outer["Subject"], outer["From"] = "outer", "a@example.org"
        outer.set_content("words")
        outer.add_attachment(message)
        message = outer
    return message.as_bytes()


def protected_pdf() -> bytes:
    """A PDF that asks for a password."""
    writer = PdfWriter()
    writer.append(PdfReader(io.BytesIO(writers.pdf([GOOD]))))
    writer.encrypt("secret")
    out = io.BytesIO()
    writer.write(out)
    return out.getvalue()


def scan() -> bytes:
    """A PDF of a picture."""
    from reportlab.pdfgen.canvas import Canvas

    out = io.BytesIO()
    canvas = Canvas(out)
    canvas.rect(72, 72, 300, 300, fill=1)
    canvas.save()
    return out.getvalue()


_LAUGHS = b'<?xml version="1.0"?><!DOCTYPE l [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;">]><l>&b;</l>'
CASES = {
    "a PDF cut in two": ("pdf", lambda: writers.pdf(prose(30, 5))[:900], "damaged", ""),
    "no PDF at all": ("pdf", lambda: b"<html>not a pdf</html>", "damaged", "does not begin with %PDF-"),
    "a protected PDF": ("pdf", protected_pdf, "encrypted", "password"),
    "a scanned PDF": ("pdf", scan, "no_text", "character recognition"),
    "a PDF of many pages": ("pdf", lambda: writers.pdf(prose(300, 6)), "too_many_pages", "at most 20"),
    "an old Word file": ("docx", lambda: b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 600, "encrypted", "password"),
    "a Word file cut in two": ("docx", lambda: writers.docx([GOOD])[:2000], "damaged", "zip"),
    "a zip that is no Word file": ("docx", lambda: zipped({"a.txt": b"x"}), "damaged", "word/document.xml"),
    "a Word file of broken XML": ("docx", lambda: zipped({"word/document.xml": b"<w:document><"}), "damaged", ""),
    "a Word file with entities": ("docx", lambda: zipped({"word/document.xml": _LAUGHS}), "damaged", "entities"),
    "a zip bomb": ("docx", lambda: zipped({"word/document.xml": b"\0" * 2**24}), "too_large", "unpacks"),
    "an empty Word file": ("docx", lambda: writers.docx([]), "no_text", "no text"),
    "a book without a package": ("epub", lambda: zipped({"a.txt": b"x"}), "damaged", "container.xml"),
    "a book with entities": (
        "epub",
        lambda: writers.epub([GOOD], **{"META-INF__container.xml": _LAUGHS}),
        "damaged",
        "entities",
    ),
    "a book bomb": ("epub", lambda: writers.epub([GOOD], **{"OPS__c 0.xhtml": b"a " * 2**22}), "too_large", "unpacks"),
    "a page of nothing": ("html", lambda: b"<html><body><script>x()</script></body></html>", "no_text", ""),
    "a page nested deep": ("html", lambda: b"<div>" * 50_000 + b"x", "too_deep", "nested"),
    "a text that is a picture": ("text", lambda: b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 8, "damaged", ""),
    "a text that is a zip": ("text", lambda: zipped({"a": b"b"}), "damaged", "archive"),
    "a text too long": ("text", lambda: b"words " * 100_000, "too_large", "characters"),
    "no e-mail": ("email", lambda: b"just some words\n", "damaged", "none of the headers"),
    "messages nested deep": ("email", lambda: nested_mail(5), "too_deep", "nested"),
}


@pytest.mark.parametrize("name", CASES)
def test_what_cannot_be_read_is_one_clear_error(reader: DocumentReader, name: str) -> None:
    """The code and the words fit, and the reader reads on."""
    kind, make, code, said = CASES[name]
    content: bytes = make()  # type: ignore[no-untyped-call]  # of lambdas
    with pytest.raises(ExtractionError) as caught:
        reader.read(content, kind)
    assert caught.value.code == code, caught.value
    assert said in caught.value.detail
    assert GOOD in reader.read(writers.docx([GOOD]), "docx").text


@pytest.mark.parametrize("kind", ["pdf", "docx", "epub", "email", "html", "text"])
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
@given(place=st.floats(0, 1), junk=st.binary(min_size=1, max_size=60), cut=st.booleans())
def test_no_damage_is_a_crash(reader: DocumentReader, kind: str, place: float, junk: bytes, cut: bool) -> None:  # noqa: FBT001 - hypothesis draws it
    """Bytes overwritten or cut off anywhere: a text or an error, never another exception."""
    content = GOOD.encode() * 9 if kind == "text" else getattr(writers, kind)(prose(3, 7))
    at = int(place * len(content))
    content = content[:at] + junk + (b"" if cut else content[at + len(junk) :])
    with suppress(ExtractionError):
        assert isinstance(reader.read(content, kind), Extracted)


def test_a_process_that_dies_or_hangs_costs_one_document() -> None:
    """Killed in the middle: an error that says so; stopped in the middle: an error at the time limit; then all is well."""
    reader = DocumentReader(Limits(seconds=3))
    content = writers.pdf(prose(400, 8))
    try:
        assert GOOD in reader.read(writers.docx([GOOD]), "docx").text
        for number, code, said in ((signal.SIGKILL, "damaged", "status -9"), (signal.SIGSTOP, "timeout", "within 3 s")):
            process = reader._process
            assert process
            threading.Timer(0.15, os.kill, (process.pid, number)).start()
            started = time.monotonic()
            with pytest.raises(ExtractionError, match=said) as caught:
                reader.read(content, "pdf")
            assert caught.value.code == code
            assert time.monotonic() - started < 10
            assert GOOD in reader.read(writers.docx([GOOD]), "docx").text
    finally:
        reader.close()


def test_memory_is_bounded() -> None:
    """A document that would need more memory than allowed is refused, not the machine's trouble."""
    reader = DocumentReader(Limits(memory_bytes=2**28, characters=10**9, unpacked_bytes=10**9))
    try:
        with pytest.raises(ExtractionError):
            reader.read(writers.html(["word " * 4_000_000]), "html")
    finally:
        reader.close()


def test_the_extra_is_named_when_it_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the libraries text is read, and the rest says what to install."""
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    reader = DocumentReader()
    assert reader.read(GOOD.encode(), "text").text == GOOD
    with pytest.raises(ExtractionError, match=r"passage-tagger\[documents\]") as caught:
        reader.read(b"%PDF-1.4", "pdf")
    assert caught.value.code == "extra_missing"


def test_what_lies_in_the_current_folder_is_never_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder of downloads may hold a file by the name of a module."""
    mark = tmp_path / "ran"
    for name in ("resource", "mammoth", "lxml"):
        (tmp_path / f"{name}.py").write_text(f"open({str(mark)!r}, 'w')\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    reader = DocumentReader()
    assert GOOD in reader.read(writers.docx([GOOD]), "docx").text
    reader.close()
    assert not mark.exists()


def test_markup_is_looked_at_in_linear_time(reader: DocumentReader) -> None:
    """A tag that never ends costs no more than it is long."""
    started = time.monotonic()
    with suppress(ExtractionError):
        reader.read(b"<" + b"a" * 200_000, "html")
    assert time.monotonic() - started < 10
