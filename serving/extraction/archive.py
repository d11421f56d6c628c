"""Zip containers (DOCX, EPUB) opened with care: sizes are counted as they are unpacked, entities are refused."""

import io
import zipfile
import zlib

from serving.extraction.extracted import ExtractionError, Source

_CHUNK = 2**20
_MAX_ENTRIES = 20_000


class Archive:
    """The parts of a zip container, read within the limits."""

    def __init__(self, source: Source) -> None:
        """Open it. Raises ExtractionError."""
        try:
            self._zip = zipfile.ZipFile(io.BytesIO(source.content))
            entries = self._zip.infolist()
        except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:  # the last: zip features zipfile lacks
            raise ExtractionError("damaged", f"is no whole zip archive: {error}") from error
        if any(entry.flag_bits & 1 for entry in entries):
            raise ExtractionError("encrypted", "is protected by a password")
        if len(entries) > _MAX_ENTRIES:
            raise ExtractionError("too_large", f"holds {len(entries)} parts, at most {_MAX_ENTRIES} are allowed")
        self.names = [entry.filename for entry in entries]
        self._left = source.limits.unpacked_bytes
        self._limit = source.limits.unpacked_bytes

    def read(self, name: str) -> bytes:
        """A part, unpacked. Raises ExtractionError, KeyError when there is no such part."""
        found = bytearray()
        try:
            with self._zip.open(name) as part:
                while chunk := part.read(_CHUNK):
                    found += chunk
                    self._left -= len(chunk)
                    if self._left < 0:  # what the directory states may lie, so the bytes themselves are counted
                        raise ExtractionError("too_large", f"unpacks to more than {self._limit} bytes")
        except (zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError) as error:  # also compressions zipfile lacks
            raise ExtractionError("damaged", f"its part {name!r} cannot be unpacked: {error}") from error
        return bytes(found)

    def check_xml(self, name: str) -> bytes:
        """A part that is XML. Raises ExtractionError when it defines entities, which only attacks do here."""
        content = self.read(name)
        if b"<!ENTITY" in content or "<!ENTITY".encode("utf-16-le") in content or "<!ENTITY".encode("utf-16-be") in content:
            raise ExtractionError("damaged", f"its part {name!r} defines XML entities, which are not read")
        return content
