"""The seed documents: reads `seeds/documents.toml` and the texts, and refuses a text that has changed."""

import hashlib
import tomllib
from dataclasses import dataclass, fields
from pathlib import Path

from labels.problems import CorpusError, Problem

SEEDS = Path(__file__).parent.parent / "seeds"


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """One frozen seed document."""

    id: str
    file: str
    title: str
    publisher: str
    genre: str
    language: str
    sha256: str
    """Of the file's bytes."""
    text: str


def load_documents(folder: Path = SEEDS) -> list[Document]:
    """The documents in the order of the list. Raises CorpusError with every file that is missing or has changed."""
    listing = folder / "documents.toml"
    try:
        entries = tomllib.loads(listing.read_text(encoding="utf-8"))["documents"]
    except (OSError, tomllib.TOMLDecodeError, KeyError) as error:
        raise CorpusError([Problem(file=str(listing), message=f"cannot be read: {error!r}")]) from error
    documents: list[Document] = []
    problems: list[Problem] = []
    for entry in entries:
        try:
            documents.append(_load(folder, entry))
        except CorpusError as error:
            problems.extend(error.problems)
    listed = [document.id for document in documents]
    problems.extend(
        Problem(file=str(listing), field="id", message=f"{name!r} is listed more than once")
        for name in sorted({name for name in listed if listed.count(name) > 1})
    )
    if problems:
        raise CorpusError(problems)
    return documents


def _load(folder: Path, entry: dict[str, str]) -> Document:
    expected = {field.name for field in fields(Document)} - {"text"}
    if set(entry) != expected:
        message = f"a document has {sorted(expected)}, this one {sorted(entry)}"
        raise CorpusError([Problem(file=str(folder / "documents.toml"), field=str(entry.get("id")), message=message)])
    path = folder / entry["file"]
    try:
        data = path.read_bytes()
    except OSError as error:
        raise CorpusError([Problem(file=str(path), message=f"cannot be read: {error.strerror}")]) from error
    digest = hashlib.sha256(data).hexdigest()
    if digest != entry["sha256"]:
        message = f"the text has changed: sha256 is {digest}, documents.toml says {entry['sha256']}; seeds are frozen"
        raise CorpusError([Problem(file=str(path), field="sha256", message=message)])
    return Document(**entry, text=data.decode("utf-8"))
