"""Each format: known passages in, the same passages out, with offsets that slice back."""

import io
import random
from collections.abc import Callable, Iterator, Sequence
from email.message import EmailMessage
from typing import Any

import pytest
from docx import Document
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from labels.passages import split_passages
from serving.extraction.isolated import DocumentReader
from tests.serving.extraction import writers

_WORD = st.sampled_from(
    [
        "the",
        "of",
        "and",
        "to",
        "in",
        "a",
        "rights",
        "council",
        "people",
        "state",
        "report",
        "victims",
        "court",
        "freedom",
        "assembly",
        "policy",
        "members",
        "law",
        "café",
        "señor",
        "responsibility",
        "must",
        "act",
        "against",
        "naïve",
        "impunity",
        "should",
        "they",
        "were",
        "arrested",
        "without",
        "any",
        "reason",
        "given",
        "by",
        "authorities",
    ]
)
_PARAGRAPH = st.lists(_WORD, min_size=8, max_size=70).map(lambda words: f"{' '.join(words).capitalize()}.")
_PARAGRAPHS = st.lists(_PARAGRAPH, min_size=1, max_size=25)
_PROSE = st.lists(
    st.lists(_WORD, min_size=40, max_size=70).map(lambda words: f"{' '.join(words).capitalize()}."),
    min_size=12,
    max_size=25,
    unique=True,
)
"""Enough to fill columns, and to be told from the menus of a page."""
_FEW = settings(
    max_examples=25,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)


@pytest.fixture(scope="module")
def reader() -> Iterator[DocumentReader]:
    """A reader with its process."""
    made = DocumentReader()
    yield made
    made.close()


def passages(reader: DocumentReader, content: bytes, kind: str) -> list[str]:
    """The passages of a document; each offset slices back."""
    found = reader.read(content, kind)
    split = split_passages(found.text)
    assert [found.text[one.start : one.end] for one in split] == [one.text for one in split]
    return [one.text for one in split]


@pytest.mark.parametrize("kind", ["docx", "epub", "email", "pdf"])
@_FEW
@given(paragraphs=_PARAGRAPHS)
def test_known_passages_come_out(reader: DocumentReader, kind: str, paragraphs: list[str]) -> None:
    """What was written comes out whole, in order, and nothing else."""
    write: Callable[[Sequence[str]], bytes] = getattr(writers, kind)
    found = passages(reader, write(paragraphs), kind)
    assert found == ([writers.SUBJECT, *paragraphs] if kind == "email" else paragraphs)


@_FEW
@given(paragraphs=_PROSE)
def test_the_passages_of_a_page_come_out_without_its_menus(reader: DocumentReader, paragraphs: list[str]) -> None:
    """Main content is a guess; of a page of prose it is the prose."""
    assert passages(reader, writers.html(paragraphs), "html") == paragraphs


@_FEW
@given(paragraphs=_PROSE, columns=st.sampled_from([2, 3]))
def test_columns_are_read_one_after_the_other(reader: DocumentReader, paragraphs: list[str], columns: int) -> None:
    """A page of columns is no page of long lines."""
    assert passages(reader, writers.pdf(paragraphs, columns), "pdf") == paragraphs


def prose(count: int, seed: int) -> list[str]:
    """Paragraphs of English words that differ."""
    words = [
        "rights",
        "council",
        "people",
        "report",
        "states",
        "victims",
        "court",
        "freedom",
        "assembly",
        "policy",
        "members",
        "public",
        "measures",
        "law",
    ]
    chance = random.Random(seed)  # noqa: S311 - no secret
    return [f"{' '.join(chance.choices(words, k=60)).capitalize()}." for _ in range(count)]


def note(page: int) -> str:
    """A footnote, another one on each page."""
    return f"See the {('first', 'second', 'third', 'fourth', 'fifth')[page % 5]} report of the {'ABCDEFGH'[page]} committee."


def test_running_heads_and_feet_go_and_footnotes_stand_apart(reader: DocumentReader) -> None:
    """Heads, feet and page numbers are dropped on every page; notes at the foot come last, each a passage; pages are told."""

    def draw(canvas: Any, template: Any) -> None:
        canvas.setFont("Times-Roman", 9)
        canvas.drawString(60, 800, "Annual Report of the Committee 2024")
        canvas.drawString(280, 30, f"Page {template.page} of 9")
        canvas.setFont("Times-Roman", 8)
        canvas.drawString(60, 100, f"{template.page} {note(template.page)}")

    paragraphs = prose(24, 1)
    content = writers.pdf(paragraphs, 1, draw)
    found = passages(reader, content, "pdf")
    assert found[: len(paragraphs)] == paragraphs
    notes = found[len(paragraphs) :]
    assert notes == [f"{n} {note(n)}" for n in range(1, len(notes) + 1)]
    document = reader.read(content, "pdf")
    pages = [document.page_at(one.start) for one in split_passages(document.text)]
    body, foot = pages[: len(paragraphs)], pages[len(paragraphs) :]
    assert body == sorted(page for page in body if page)
    assert foot == list(range(1, len(foot) + 1))
    assert len(foot) > 2


def test_broken_words_are_joined(reader: DocumentReader) -> None:
    """A hyphen that only breaks a line goes; one that the document writes elsewhere stays."""
    from reportlab.pdfgen.canvas import Canvas

    out = io.BytesIO()
    canvas = Canvas(out)
    lines = [
        "The committee asked for the imple-",
        "mentation of a well-known and long-",
        "standing plan, as all long-standing plans are asked for.",
    ]
    for number, line in enumerate(lines):
        canvas.drawString(72, 700 - 14 * number, line)
    canvas.save()
    assert passages(reader, out.getvalue(), "pdf") == [
        (
            "The committee asked for the implementation of a well-known and long-standing plan, "
            "as all long-standing plans are asked for."
        )
    ]


def test_pages_that_are_shown_turned(reader: DocumentReader) -> None:
    """/Rotate turns what is shown, not what is read."""
    import pypdfium2

    paragraphs = prose(4, 2)
    for degrees in (0, 90, 180, 270):
        document = pypdfium2.PdfDocument(writers.pdf(paragraphs))
        for page in document:
            page.set_rotation(degrees)
        out = io.BytesIO()
        document.save(out)
        assert passages(reader, out.getvalue(), "pdf") == paragraphs, degrees


def test_structure_of_a_page_stays(reader: DocumentReader) -> None:
    """Headings, lists within lists and tables come out as Markdown, so that items find their lead-ins; menus go."""
    page = writers.html(prose(3, 3)).decode()
    items = "<ul><li>freeze the\nassets of <b>officials</b></li><li>ban travel</li></ul>"
    items = f"<h2>Demands</h2><p>Member States should:</p>{items}"
    text = reader.read(page.replace("</article>", f"{items}<p>It ends here.</p></article>").encode(), "html").text
    assert "## Demands" in text
    assert "- freeze the assets of officials\n- ban travel" in text
    assert "Donate" not in text
    assert "Copyright" not in text
    found = {one.text: one.context for one in split_passages(text)}
    assert found["ban travel"] == "Member States should:"


def test_word_headings_lists_tables_and_order(reader: DocumentReader) -> None:
    """A Word document keeps its order and its lists; tables come row by row."""
    document = Document()
    document.add_heading("Recommendations", 1)
    document.add_paragraph("The Council should:")
    document.add_paragraph("adopt the list", style="List Bullet")
    document.add_paragraph("fund shelters", style="List Bullet")
    table = document.add_table(rows=1, cols=2)
    table.cell(0, 0).text, table.cell(0, 1).text = "Country", "Deaths in custody"
    document.add_paragraph("It ends here.")
    out = io.BytesIO()
    document.save(out)
    text = reader.read(out.getvalue(), "docx").text
    order = [
        text.index(one) for one in ("# Recommendations", "The Council should:", "- adopt the list", "Deaths", "It ends here.")
    ]
    assert order == sorted(order)
    contexts = {one.text: one.context for one in split_passages(text)}
    assert "The Council should:" in contexts["fund shelters"]


def test_messages_with_attachments_and_messages_within(reader: DocumentReader) -> None:
    """Subject, body and attached documents are one text; what cannot be read is noted, pictures are left out."""
    inner = EmailMessage()
    inner["Subject"], inner["From"] = "Inner subject", "c@example.org"
    inner.set_content("Inner words.")
    message = EmailMessage()
    message["Subject"], message["From"] = "Outer subject", "a@example.org"
    message.set_content("Plain words.")
    message.add_alternative("<p>Other words.</p>", subtype="html")
    message.add_attachment(writers.docx(["Attached words."]), maintype="application", subtype="octet-stream", filename="a.docx")
    message.add_attachment(b"%PDF-1.4 broken", maintype="application", subtype="pdf", filename="b.pdf")
    message.add_attachment(b"\x89PNG", maintype="image", subtype="png", filename="c.png")
    message.add_attachment(inner)
    found = reader.read(message.as_bytes(), "email")
    order = ["# Outer subject", "Plain words.", "Attached words.", "# Inner subject", "Inner words."]
    assert [line for line in found.text.splitlines() if line] == order
    assert len(found.notes) == 1
    assert "b.pdf" in found.notes[0]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "cp1252", "cp1251", "shift_jis"])
def test_encodings_are_detected(reader: DocumentReader, encoding: str) -> None:
    """Text is read by its mark or by how it looks; a page by what it declares."""
    words = {
        "cp1251": "Мы призываем Совет принять меры против ответственных лиц и освободить всех задержанных. " * 4,
        "shift_jis": "私たちは理事会に対し、責任者に対する措置を講じるよう求めます。被害者への支援も必要です。" * 4,
    }.get(encoding, "Café — naïve “quotes” about the São Paulo résumé, and a déjà vu of the façade. " * 4)
    assert reader.read(words.encode(encoding), "text").text.lstrip("\ufeff") == words
    page = f"<html><head><meta charset='{encoding}'></head><body><p>{words}</p></body></html>"
    if not encoding.startswith("utf"):
        assert words[:60] in reader.read(page.encode(encoding), "html").text


def test_a_page_without_main_content_is_read_whole(reader: DocumentReader) -> None:
    """A bare list of short lines is no article, and is not lost."""
    page = "<html><body>" + "".join(f"<div>Line number {n} stands here.</div>" for n in range(30)) + "</body></html>"
    assert "Line number 29 stands here." in reader.read(page.encode(), "html").text


def test_documents_at_any_depth_of_a_message(reader: DocumentReader) -> None:
    """In a signed message, in parts within parts, and as the message itself; what is not read is noted."""
    inner = EmailMessage()
    inner.set_content("Signed words.")
    inner.add_attachment(writers.docx(["Deep words."]), maintype="application", subtype="octet-stream", filename="a.docx")
    inner.add_attachment(b"PK old", maintype="application", subtype="zip", filename="b.zip")
    outer = EmailMessage()
    outer["Subject"], outer["From"] = "Signed", "a@example.org"
    outer["Content-Type"] = "multipart/signed"
    outer.attach(inner)
    outer.attach(EmailMessage())
    found = reader.read(outer.as_bytes(), "email")
    assert "Signed words." in found.text
    assert "Deep words." in found.text
    assert len(found.notes) == 1
    assert "'b.zip' is of a type that is not read" in found.notes[0]
    bare = EmailMessage()
    bare["Subject"], bare["From"] = "Bare", "a@example.org"
    bare.set_content(writers.pdf(["Words of a page that is the message."]), maintype="application", subtype="pdf")
    assert "Words of a page that is the message." in reader.read(bare.as_bytes(), "email").text


def test_a_page_of_heads_alone_is_kept(reader: DocumentReader) -> None:
    """What stands on every page is dropped, unless it is all that there is."""
    from reportlab.pdfgen.canvas import Canvas

    out = io.BytesIO()
    canvas = Canvas(out)
    for _ in range(4):
        canvas.drawString(72, 700, "We ask the mayor for a school.")
        canvas.showPage()
    canvas.save()
    assert passages(reader, out.getvalue(), "pdf") == ["We ask the mayor for a school."] * 4
