"""Bytes into text: the encoding that a mark or a declaration names, else UTF-8, else the likeliest one."""

import codecs
import re

from serving.extraction.extracted import Extracted, ExtractionError, Source

_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),  # before UTF-16, whose mark it begins with
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_DECLARED = re.compile(rb"""(?:charset|encoding)\s*=\s*["']?\s*([A-Za-z0-9_.:-]{2,40})""", re.IGNORECASE)
_DETECT_BYTES = 100_000
_WESTERN = "cp1252"
_LATIN = frozenset({"cp1250", "cp1252", "cp1254", "cp1257", "cp1258", "latin_1", "iso8859_9", "iso8859_15", "mac_roman"})
_BINARY_SHARE = 0.05


def read_plain(source: Source) -> Extracted:
    """Text and Markdown as they stand, a byte order mark too: offsets are those of the file. Raises ExtractionError."""
    mark = "\ufeff" if source.content.startswith(codecs.BOM_UTF8) else ""
    return Extracted(text=mark + decode(source.content))


def decode(content: bytes, *, declared: bool = False, charset: str | None = None) -> str:
    """Decode bytes; `declared` looks for what HTML and XML say of themselves, `charset` was told from outside.

    Without the extra `documents` only UTF-8 and what bears a mark can be read. Raises ExtractionError.
    """
    for mark, encoding in _MARKS:
        if content.startswith(mark):
            return _decoded(content[len(mark) :], encoding)
    named = charset
    if declared and not named and (found := _DECLARED.search(content[:4096])):
        named = found.group(1).decode("ascii")
    if named and _known(named):
        return _decoded(content, _wider(named))
    try:
        return _checked(content.decode("utf-8"))
    except UnicodeDecodeError as error:
        return _decoded(content, detected_encoding(content, error.start))


def _decoded(content: bytes, encoding: str) -> str:
    """As a browser does: what a declared encoding cannot hold shows as U+FFFD."""
    return _checked(content.decode(encoding, errors="replace"))


def _known(name: str) -> bool:
    try:
        return codecs.lookup(name)._is_text_encoding  # noqa: SLF001 - `str.decode` asks the same
    except LookupError:
        return False


def _wider(name: str) -> str:
    """Windows' code page where Latin-1 or ASCII is declared, as the WHATWG Encoding Standard has it."""
    return "cp1252" if codecs.lookup(name).name in {"iso8859-1", "ascii"} else name


def detected_encoding(content: bytes, place: int) -> str:
    """The likeliest encoding of text that is not UTF-8 at a place, told from the lines around it. Raises ExtractionError."""
    byte = content[place] if place < len(content) else 0
    try:
        from charset_normalizer import from_bytes  # noqa: PLC0415 - the extra `documents`
    except ModuleNotFoundError as error:
        detail = f"is not UTF-8: byte {place} is {byte:#04x}; the extra `documents` detects other encodings"
        raise ExtractionError("unreadable", detail) from error
    start = content.rfind(b"\n", 0, max(0, place - _DETECT_BYTES)) + 1
    end = content.rfind(b"\n", place, place + _DETECT_BYTES)  # never within a character
    matches = from_bytes(content[start : end if end > place else place + _DETECT_BYTES])
    best = matches.best()
    if best is None:
        raise ExtractionError("damaged", f"is text in no known encoding: byte {place} is {byte:#04x}")
    # Code pages of one alphabet are told apart by little; among equals the most used one of Western Europe it is.
    western = _WESTERN in {one.encoding for one in matches} or _WESTERN in best.could_be_from_charset
    return _WESTERN if best.encoding == "ascii" or (best.encoding in _LATIN and western) else best.encoding


def _checked(text: str) -> str:
    """The text. Raises ExtractionError for what is evidently none."""
    controls = sum(character < " " and character not in "\t\n\r\f\v" for character in text[:4096])
    if controls > max(2, _BINARY_SHARE * min(len(text), 4096)):
        raise ExtractionError("damaged", "is no text: it is full of control characters")
    return text.replace("\0", "�")
