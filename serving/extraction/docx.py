"""Word documents (.docx): headings, paragraphs, lists, tables and footnotes, the last apart at the end."""

import io
import re

import mammoth

from serving.extraction.archive import Archive
from serving.extraction.extracted import Extracted, ExtractionError, Source
from serving.extraction.markup import block_text

_NOTE_MARK = re.compile(r'<sup>\s*<a href="#(?:footnote|endnote)-[^"]*"[^>]*>.*?</a>\s*</sup>', re.DOTALL)
_WAY_BACK = re.compile(r'<a href="#(?:footnote|endnote)-ref-[^"]*">.*?</a>', re.DOTALL)
_DATA_IMAGE = re.compile(r"<img [^>]*>")


def read_docx(source: Source) -> Extracted:
    """All text of a Word document. Raises ExtractionError."""
    archive = Archive(source)
    if "word/document.xml" not in archive.names:
        raise ExtractionError("damaged", "is no Word document: the part 'word/document.xml' is missing")
    for name in archive.names:
        if name.endswith((".xml", ".rels")):
            archive.check_xml(name)
    try:
        html = mammoth.convert_to_html(io.BytesIO(source.content), convert_image=mammoth.images.img_element(lambda _: {})).value
    except Exception as error:  # the library raises what its parsers raise
        raise ExtractionError("damaged", f"cannot be read as a Word document: {error}") from error
    text = block_text(_DATA_IMAGE.sub("", _WAY_BACK.sub("", _NOTE_MARK.sub("", html))))
    if not text.strip():
        raise ExtractionError("no_text", "the document holds no text")
    return Extracted(text=text)
