"""PDF: pages in reading order, one paragraph a line, running heads and feet dropped, footnotes at the end."""

import pypdfium2
import pypdfium2.raw as pdfium

from serving.extraction.extracted import Extracted, ExtractionError, Source
from serving.extraction.layout import reading_order
from serving.extraction.lines import Line, page_lines
from serving.extraction.paragraphs import Paragraph, paragraphs


def read_pdf(source: Source) -> Extracted:
    """The text of a PDF. Raises ExtractionError."""
    try:
        document = pypdfium2.PdfDocument(source.content)
    except pypdfium2.PdfiumError as error:
        if getattr(error, "err_code", None) == pdfium.FPDF_ERR_PASSWORD or "password" in str(error).lower():
            raise ExtractionError("encrypted", "is protected by a password") from error
        raise ExtractionError("damaged", f"is no whole PDF: {error}") from error
    try:
        count = len(document)
        if count > source.limits.pages:
            raise ExtractionError("too_many_pages", f"has {count} pages, at most {source.limits.pages} are allowed")
        pages, notes = _pages(document, count)
    finally:
        document.close()
    if not any(pages):
        scanned = f"none of its {count} pages holds text; a scan needs character recognition first"
        raise ExtractionError("no_text", scanned)
    if empty := sum(not page for page in pages):
        notes.append(f"{empty} of {count} pages hold no text")
    found = _joined(paragraphs(pages), notes)
    return found if found.text.strip() else _joined(paragraphs(pages, running=True), notes)


def _pages(document: pypdfium2.PdfDocument, count: int) -> tuple[list[list[Line]], list[str]]:
    pages: list[list[Line]] = []
    notes: list[str] = []
    for number in range(1, count + 1):
        try:
            page = document[number - 1]
            pages.append(reading_order(page_lines(page, number)))
            page.close()
        except pypdfium2.PdfiumError as error:
            notes.append(f"page {number} cannot be read: {error}")
    return pages, notes


def _joined(blocks: list[Paragraph], notes: list[str]) -> Extracted:
    text: list[str] = []
    marks: list[tuple[int, int]] = []
    offset = 0
    for block in blocks:
        for piece, number in block.pieces:
            if not marks or marks[-1][1] != number:
                marks.append((offset, number))
            text.append(piece)
            offset += len(piece)
        text.append("\n\n")
        offset += 2
    return Extracted(text="".join(text), pages=tuple(marks), notes=tuple(notes))
