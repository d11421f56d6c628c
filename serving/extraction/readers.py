"""The reader of each kind of document, imported only when one comes."""

import importlib
import importlib.metadata
import importlib.util

from serving.extraction.extracted import Extracted, ExtractionError, Source
from serving.extraction.plain import read_plain

EXTRACTION = "1"
"""Raise it with any change that gives another text for a document."""
_READERS = {
    "html": ("serving.extraction.markup", "read_html"),
    "pdf": ("serving.extraction.pdf", "read_pdf"),
    "docx": ("serving.extraction.docx", "read_docx"),
    "epub": ("serving.extraction.epub", "read_epub"),
}
_NEEDED = {
    "html": ("trafilatura", "markdownify"),
    "pdf": ("pypdfium2",),
    "docx": ("mammoth", "markdownify"),
    "epub": ("lxml", "markdownify"),
    "email": ("trafilatura", "markdownify"),
}


def check_installed(kind: str) -> None:
    """Raise ExtractionError when the extra that reads this kind is missing."""
    if any(importlib.util.find_spec(name) is None for name in _NEEDED.get(kind, ())):
        raise ExtractionError("extra_missing", f'{kind} needs the extra `documents`: pip install "passage-tagger[documents]"')


def reader_versions() -> dict[str, str]:
    """Versions of all that decides which text a document gives; "" for what is not installed."""
    found = {"extraction": EXTRACTION}
    for name in sorted({*(one for names in _NEEDED.values() for one in names), "charset_normalizer", "pyarrow"}):
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = ""
    return found


def read(source: Source) -> Extracted:
    """Read a document of any kind. Raises ExtractionError."""
    check_installed(source.kind)
    if source.kind in {"text", "markdown"}:
        found = read_plain(source)
    elif source.kind == "email":
        from serving.extraction.mail import read_mail  # noqa: PLC0415 - the extra `documents`

        found = read_mail(source, read)
    elif source.kind in _READERS:
        module, function = _READERS[source.kind]
        found = getattr(importlib.import_module(module), function)(source)
    else:
        raise ExtractionError("unknown_type", f"documents of kind {source.kind!r} cannot be read")
    if len(found.text) > source.limits.characters:
        detail = f"holds {len(found.text)} characters, at most {source.limits.characters} are allowed"
        raise ExtractionError("too_large", detail)
    return found
