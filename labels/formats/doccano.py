"""doccano's JSON lines of text classification: `{"id", "text", "label": ["tag", …], …}`, or an archive of them.

Further keys of a line are the example's metadata in doccano and come back on the top level. doccano exports examples that
nobody has labelled too, with an empty list (unless only approved ones were asked for), so that an empty list alone says
nothing: such a row is skipped, unless the field `judged` of our own export says what was judged, or the caller says that it
means none. In a project where each member labels alone, the archive holds a file a member, named after the member.
"""

import json
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from labels.codebook import Codebook
from labels.formats.objects import rows_of_objects, rows_of_stream, write_objects
from labels.formats.rows import FIELDS, FormatError, Reading, Row, fields_of, fingerprint, holding, listed_row
from labels.store import Label

_OF_ALL = {"all", "unknown"}
"""Files of an archive that are no member's."""
_UNLABELLED = "no label: not labelled, or no tag holds (--empty-is-none says the latter)"


def read(path: Path, reading: Reading) -> Iterator[Row]:
    """The rows of an export. Raises FormatError, OSError."""
    if zipfile.is_zipfile(path):
        return _of_archive(path, reading)
    return rows_of_objects(path, _maker(reading, ""))


def write(path: Path, labels: Iterable[Label], codebook: Codebook) -> None:
    """A file for the importer "JSONL" of a project for text classification (columns `text` and `label`). Raises OSError."""
    rows = ({"text": one.text, "label": holding(one, codebook), **fields_of(one, codebook)} for one in labels)
    write_objects(path, rows, ascii_only=True)  # doccano guesses the encoding: UTF-8 that begins with "États" is read as cp1252


def config(codebook: Codebook) -> str:
    """The label types, for "Import labels" of a project."""
    return json.dumps(
        [{"text": name, "suffixKey": str(number)} for number, name in enumerate(codebook.names, start=1)], indent=1
    )


def _of_archive(path: Path, reading: Reading) -> Iterator[Row]:
    try:
        with zipfile.ZipFile(path) as archive:
            names = [name for name in archive.namelist() if name.endswith(".jsonl")]
            if not names:
                message = "the archive holds no file *.jsonl; export as JSONL"
                raise FormatError(message)
            for name in names:
                member = Path(name).stem
                with archive.open(name) as file:
                    for row in rows_of_stream(file, _maker(reading, "" if member in _OF_ALL else member)):
                        yield replace(row, file=name)
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError) as error:  # damaged, or with a password
        message = f"the archive cannot be read: {error}"
        raise FormatError(message) from error


def _maker(reading: Reading, member: str) -> Callable[[int, dict[str, Any]], Iterator[Row]]:
    column = reading.tags_from or "label"

    def rows(line: int, data: dict[str, Any]) -> Iterator[Row]:
        fields = (data["meta"] if isinstance(data.get("meta"), dict) else {}) | data  # older versions nest the metadata
        if column not in data:
            yield Row(line=line, problems=((column, "is missing; name the list of tags with --tags-from"),))
            return
        text, tags = data.get("text"), data[column] or []
        if member:
            ours = listed_row(reading, line, text=text, tags=tags, fields=fields)
            if ours.label and fields.get("fingerprint") == fingerprint(ours.label, reading.codebook):
                yield ours
                return
            passage = {name: value for name, value in fields.items() if name not in FIELDS or name in {"document", "context"}}
            fields = passage | {"annotator": member}
        if not tags and "judged" not in fields and not reading.empty_is_none:
            yield Row(line=line, skipped=_UNLABELLED)
        else:
            yield listed_row(reading, line, text=text, tags=tags, fields=fields)

    return rows
