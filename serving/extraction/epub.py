"""E-books (EPUB 2 and 3): the chapters in reading order, one after the other."""

import posixpath
from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote

from lxml import etree

from serving.extraction.archive import Archive
from serving.extraction.extracted import Extracted, ExtractionError, Source
from serving.extraction.markup import block_text
from serving.extraction.plain import decode

_CONTAINER = "META-INF/container.xml"
_ENCRYPTION = "META-INF/encryption.xml"
_CHAPTERS = frozenset({"application/xhtml+xml", "text/html", "application/x-dtbook+xml"})


def read_epub(source: Source) -> Extracted:
    """All chapters of an e-book. Raises ExtractionError."""
    archive = Archive(source)
    package = _package(archive)
    root, folder = _xml(archive, package), posixpath.dirname(package)
    locked = _locked(archive)
    texts, notes = [], []
    for name in _chapters(root, folder):
        if name in locked:
            raise ExtractionError("encrypted", f"its chapter {name!r} is encrypted")
        if name not in archive.names:
            notes.append(f"the chapter {name!r} is missing")
            continue
        text = block_text(decode(archive.read(name), declared=True))
        if text.strip():
            texts.append(text)
    if not texts:
        raise ExtractionError("no_text", "the book holds no text")
    return Extracted(text="\n".join(texts), notes=tuple(notes))


def _package(archive: Archive) -> str:
    if _CONTAINER not in archive.names:
        raise ExtractionError("damaged", f"is no EPUB: the part {_CONTAINER!r} is missing")
    found = _xml(archive, _CONTAINER).xpath("//*[local-name()='rootfile']/@full-path")
    if not found or found[0] not in archive.names:
        raise ExtractionError("damaged", "is no whole EPUB: its package file is missing")
    return str(found[0])


def _chapters(package: Any, folder: str) -> Iterator[str]:
    items = {
        item.get("id"): item.get("href")
        for item in package.xpath("//*[local-name()='manifest']/*[local-name()='item']")
        if item.get("media-type") in _CHAPTERS and "nav" not in (item.get("properties") or "").split()
    }
    for reference in package.xpath("//*[local-name()='spine']/*[local-name()='itemref']/@idref"):
        if href := items.get(reference):
            yield posixpath.normpath(posixpath.join(folder, unquote(href.partition("#")[0])))


def _locked(archive: Archive) -> set[str]:
    """Parts that are encrypted; fonts often are, and do not matter."""
    if _ENCRYPTION not in archive.names:
        return set()
    return {unquote(uri) for uri in _xml(archive, _ENCRYPTION).xpath("//*[local-name()='CipherReference']/@URI")}


def _xml(archive: Archive, name: str) -> Any:
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False, recover=False)
    try:
        return etree.fromstring(archive.check_xml(name), parser)
    except etree.XMLSyntaxError as error:
        raise ExtractionError("damaged", f"its part {name!r} is no XML: {error}") from error
