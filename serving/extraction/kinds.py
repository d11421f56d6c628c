"""Which kind of document a file is: by its name, its media type, or its first bytes."""

from serving.extraction.extracted import ExtractionError

PLAIN = frozenset({"text", "markdown"})
"""Read without the extra `documents`."""
_SUFFIXES = {
    ".txt": "text",
    ".text": "text",
    ".md": "markdown",
    ".markdown": "markdown",
    ".html": "html",
    ".htm": "html",
    ".xhtml": "html",
    ".pdf": "pdf",
    ".docx": "docx",
    ".epub": "epub",
    ".eml": "email",
}
MEDIA_TYPES = {
    "text/plain": "text",
    "text/markdown": "markdown",
    "text/html": "html",
    "application/xhtml+xml": "html",
    "application/pdf": "pdf",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": "docx",
    "application/epub+zip": "epub",
    "message/rfc822": "email",
}
SUFFIXES = frozenset(_SUFFIXES)
_ZIP, _EPUB = b"PK\x03\x04", b"mimetypeapplication/epub+zip"
_OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"


def kind_of_name(name: str) -> str | None:
    """The kind that a file's ending names, if it names one."""
    dot = name.rfind(".")
    return _SUFFIXES.get(name[dot:].lower()) if dot >= 0 else None


def check_kind(kind: str, head: bytes) -> None:
    """Raise ExtractionError when the first bytes show another kind of file than its name or type says."""
    if kind == "pdf" and b"%PDF-" not in head[:1024]:
        raise ExtractionError("damaged", "is no PDF: it does not begin with %PDF-")
    if kind in {"docx", "epub"} and head.startswith(_OLE):
        raise ExtractionError("encrypted", "is protected by a password, or an old .doc under another name")
    if kind in {"docx", "epub"} and not head.startswith(_ZIP):
        raise ExtractionError("damaged", f"is no {kind.upper()}: it does not begin as a zip archive does")
    if kind in {"text", "markdown", "html", "email"} and head.startswith((b"%PDF-", _ZIP, _OLE)):
        raise ExtractionError("damaged", f"is not {kind}: it begins as a PDF or an archive does")
    if kind == "docx" and _EPUB in head[:128]:
        raise ExtractionError("damaged", "is an EPUB under the name of a DOCX")
