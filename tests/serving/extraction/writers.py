"""Writes known paragraphs as a document of each format, with real libraries."""

import io
import zipfile
from collections.abc import Callable, Sequence
from email.message import EmailMessage
from html import escape

from docx import Document
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import ParagraphStyle
from reportlab.platypus import BaseDocTemplate, Frame, PageTemplate, Paragraph

SUBJECT = "Statement of the day"
BODY = ParagraphStyle("body", fontName="Times-Roman", fontSize=11, leading=13.5, spaceAfter=9)


def html(paragraphs: Sequence[str]) -> bytes:
    """A web page with menus around its text."""
    body = "".join(f"<p>{escape(one)}</p>" for one in paragraphs)
    menu = "<nav><ul><li><a href='/'>Home</a></li><li><a href='/donate'>Donate</a></li></ul></nav>"
    page = f"<!DOCTYPE html><html><head><meta charset='utf-8'><title>t</title></head><body>{menu}<article>{body}</article>"
    return f"{page}<footer>Copyright</footer></body></html>".encode()


def docx(paragraphs: Sequence[str]) -> bytes:
    """A Word document."""
    document = Document()
    for one in paragraphs:
        document.add_paragraph(one)
    out = io.BytesIO()
    document.save(out)
    return out.getvalue()


def epub(paragraphs: Sequence[str], **parts: bytes) -> bytes:
    """A book with a chapter for every three paragraphs; `parts` replaces or adds parts by name ('/' as '__')."""
    chapters = [paragraphs[start : start + 3] for start in range(0, len(paragraphs), 3)]
    items = "".join(f'<item id="c{n}" href="c%20{n}.xhtml" media-type="application/xhtml+xml"/>' for n in range(len(chapters)))
    spine = "".join(f'<itemref idref="c{n}"/>' for n in range(len(chapters)))
    files = {
        "META-INF/container.xml": (
            b'<container xmlns="urn:oasis:names:tc:opendocument:xmlns:container"><rootfiles>'
            b'<rootfile full-path="OPS/book.opf"/></rootfiles></container>'
        ),
        "OPS/book.opf": (
            f'<package xmlns="http://www.idpf.org/2007/opf"><manifest>{items}</manifest><spine>{spine}</spine></package>'
        ).encode(),
        **{
            f"OPS/c {n}.xhtml": (
                "<html xmlns='http://www.w3.org/1999/xhtml'><head><title>x</title></head><body>"
                + "".join(f"<p>{escape(one)}</p>" for one in chapter)
                + "</body></html>"
            ).encode()
            for n, chapter in enumerate(chapters)
        },
        **{name.replace("__", "/"): content for name, content in parts.items()},
    }
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("mimetype", "application/epub+zip")
        for name, content in files.items():
            archive.writestr(name, content, zipfile.ZIP_DEFLATED)
    return out.getvalue()


def email(paragraphs: Sequence[str]) -> bytes:
    """A message."""
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = "a@example.org", "b@example.org", SUBJECT
    message.set_content("\n\n".join(paragraphs), cte="base64")
    return message.as_bytes()


def pdf(paragraphs: Sequence[str], columns: int = 1, draw: Callable[..., None] | None = None) -> bytes:
    """A PDF in one or more columns; `draw(canvas, template)` adds heads, feet and notes to each page."""
    out = io.BytesIO()
    template = BaseDocTemplate(out, pagesize=A4, leftMargin=60, rightMargin=60, topMargin=90, bottomMargin=140)
    gap = 24
    width = (template.width - gap * (columns - 1)) / columns
    frames = [
        Frame(60 + number * (width + gap), 140, width, template.height, leftPadding=0, rightPadding=0)
        for number in range(columns)
    ]
    template.addPageTemplates([PageTemplate(frames=frames, onPage=draw or (lambda *_: None))])
    template.build([Paragraph(escape(one), BODY) for one in paragraphs])
    return out.getvalue()
