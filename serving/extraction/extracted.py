"""What reading a document gives, and what may be wrong with one."""

import bisect
from dataclasses import dataclass, field
from typing import Literal

Code = Literal[
    "unreadable",
    "unknown_type",
    "extra_missing",
    "too_large",
    "too_many_pages",
    "too_deep",
    "damaged",
    "encrypted",
    "no_text",
    "timeout",
]


class ExtractionError(Exception):
    """A document cannot be read; `code` is for programs, the message for people."""

    def __init__(self, code: Code, detail: str) -> None:
        """Keep both apart."""
        super().__init__(detail)
        self.code: Code = code
        self.detail = detail

    def __reduce__(self) -> tuple[type["ExtractionError"], tuple[Code, str]]:
        """It crosses processes."""
        return type(self), (self.code, self.detail)


@dataclass(frozen=True, slots=True, kw_only=True)
class Extracted:
    """The text of a document; offsets of passages count its Unicode code points."""

    text: str
    pages: tuple[tuple[int, int], ...] = ()
    """(offset, page) where the text moves to another page, in order of offsets; empty for formats without pages."""
    notes: tuple[str, ...] = ()
    """What could not be read though the document could."""

    def page_at(self, offset: int) -> int | None:
        """The page, from 1, on which a character stands; None for formats without pages."""
        found = bisect.bisect_right(self.pages, offset, key=lambda entry: entry[0])
        return self.pages[found - 1][1] if found else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How much one document may cost."""

    file_bytes: int = 200 * 2**20
    unpacked_bytes: int = 500 * 2**20
    """Of a zip container's parts together."""
    characters: int = 20_000_000
    pages: int = 5_000
    depth: int = 4
    """Messages within messages."""
    seconds: float = 120.0
    memory_bytes: int = 3 * 2**30
    """Address space of the process that reads."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Bytes to read, what kind of document they are, and how far in they were found."""

    content: bytes
    kind: str
    limits: Limits = field(default_factory=Limits)
    depth: int = 0
