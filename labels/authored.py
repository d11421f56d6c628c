"""Authored passages: written for the project, not found in a document. They train and never evaluate.

Reads `labels/authored/*.jsonl`. A passage that imitates the genre of a seed names it in `mimics` and leaves the training side
when that document is held out. `intended` are the tags that its writer meant, `blind` those of a second reader who did not
know them; `tags` is what stands after the two were compared.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from labels.codebook import Codebook
from labels.context import MAX_CONTEXT_WORDS
from labels.documents import Document
from labels.passages import MAX_PASSAGE_WORDS
from labels.problems import CorpusError, Problem
from labels.shingles import shingles

FOLDER = Path(__file__).parent / "authored"
GENRES_OF_SEEDS = {
    "000": r"organisation[ _]profile|institutional profile|profile of an association|\bwatch(dog)?[ _]|opposition-research",
    "001": r"\bop-ed|\bopinion (article|column|page)|(newspaper|weekly|economics|consumer) column|author (note|line)",
    "002": r"\bpreamble|(igo|intergovernmental|international|organisation's)[ _]recommendation|concluding observations",
    "003": r"encyclop|wikipedia",
    "004": r"consultation (answer|response|reply)|contribution to a consultation|position paper|submission",
}
"""Seed -> the names of its genre: who writes such a passage says that it imitates, so that none stays behind by oversight."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthoredPassage:
    """One row. Field names are those of the JSON row."""

    id: str
    family: str
    """Passages on one topic with different tags; they may share words with each other, not with others."""
    genre: str
    place: str
    context: str
    text: str
    tags: dict[str, bool]
    rule: dict[str, str]
    """Tag -> the codebook line by which it holds or, where it is near, does not; not every row names one."""
    mimics: str | None
    """The seed document whose genre it imitates, or None."""
    author: str
    """'llm': a language model wrote it."""
    codebook: str
    intended: list[str]
    blind: list[str]


def load_authored(codebook: Codebook, documents: list[Document], folder: Path = FOLDER) -> list[AuthoredPassage]:
    """All authored passages, in order of file and line. Raises CorpusError with every problem found."""
    problems: list[Problem] = []
    rows: list[AuthoredPassage] = []
    places: dict[str, Problem] = {}
    for path in sorted(folder.glob("*.jsonl")):
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
            found = list(_problems_of(line, codebook, documents))
            row = None if found else AuthoredPassage(**json.loads(line))
            if row and row.id in places:
                found = [("id", f"{row.id!r} stands in {places[row.id].file}:{places[row.id].line} already")]
            problems.extend(Problem(file=str(path), line=number, field=field, message=text) for field, text in found)
            if row and not found:
                rows.append(row)
                places[row.id] = Problem(file=str(path), line=number, message="")
    problems.extend(
        Problem(file=places[one.id].file, line=places[one.id].line, field="text", message=text)
        for one, text in _copies(rows, documents)
    )
    if problems:
        raise CorpusError(problems)
    return rows


def _problems_of(line: str, codebook: Codebook, documents: list[Document]) -> Iterator[tuple[str, str]]:
    try:
        data = json.loads(line)
    except (ValueError, RecursionError) as error:
        yield "", f"not JSON: {error}"
        return
    expected = {field.name for field in fields(AuthoredPassage)}
    if not isinstance(data, dict) or set(data) != expected:
        yield "", f"a row is an object of {sorted(expected)}"
        return
    for name in ("id", "family", "genre", "place", "context", "text", "author", "codebook"):
        if not isinstance(data[name], str):
            yield name, f"{data[name]!r} is not a string"
            return
    if not isinstance(data["rule"], dict):
        yield "rule", f"{data['rule']!r} is not an object"
        return
    yield from _problems_of_values(data, codebook, documents)


def _problems_of_values(data: dict[str, Any], codebook: Codebook, documents: list[Document]) -> Iterator[tuple[str, str]]:
    if set(data["tags"]) != set(codebook.names) or not all(isinstance(holds, bool) for holds in data["tags"].values()):
        yield "tags", f"{data['tags']!r} is not true or false for each of {', '.join(codebook.names)}"
        return
    for tag in codebook.tags:
        if data["tags"][tag.name] and not all(data["tags"][implied] for implied in tag.implies):
            yield "tags", f"{tag.name} holds, so {', '.join(tag.implies)} must hold too"
    yield from _problems_of_rules(data, codebook)
    known = [document.id for document in documents]
    if data["mimics"] is not None and data["mimics"] not in known:
        yield "mimics", f"unknown document {data['mimics']!r} (known: {', '.join(known)})"
    for document, names in GENRES_OF_SEEDS.items():
        if document in known and data["mimics"] is None and re.search(names, data["genre"], re.IGNORECASE):
            yield "mimics", f"None; a passage of the genre {data['genre']!r} imitates {document}"
    if data["codebook"] != codebook.version:
        yield "codebook", f"labelled by version {data['codebook']!r}, the codebook is {codebook.version!r}"
    if not 0 < len(data["text"].split()) <= MAX_PASSAGE_WORDS:
        yield "text", f"{len(data['text'].split())} words, 1 to {MAX_PASSAGE_WORDS} are allowed"
    if len(data["context"].split()) > MAX_CONTEXT_WORDS:
        yield "context", f"{len(data['context'].split())} words, at most {MAX_CONTEXT_WORDS} are allowed"


def _problems_of_rules(data: dict[str, Any], codebook: Codebook) -> Iterator[tuple[str, str]]:
    for tag in codebook.tags:
        allowed = [*(tag.yes if data["tags"][tag.name] else tag.no)]
        if tag.name in data["rule"] and data["rule"][tag.name] not in allowed:
            yield "rule", f"{tag.name}: {data['rule'][tag.name]!r} is none of {', '.join(allowed)}"
    if strangers := set(data["rule"]) - set(codebook.names):
        yield "rule", f"unknown tags {', '.join(sorted(strangers))} (known: {', '.join(codebook.names)})"


def _copies(rows: list[AuthoredPassage], documents: list[Document]) -> Iterator[tuple[AuthoredPassage, str]]:
    """Passages that share eight words in a row with a seed or with a passage of another family."""
    seeds = {shingle: document.id for document in documents for shingle in shingles(document.text)}
    families: dict[tuple[str, ...], AuthoredPassage] = {}
    for row in rows:
        for shingle in shingles(row.text):
            if shingle in seeds:
                yield row, f"shares {' '.join(shingle)!r} with seed {seeds[shingle]}"
                break
            other = families.setdefault(shingle, row)
            if other.family != row.family:
                yield row, f"shares {' '.join(shingle)!r} with {other.id} of another family"
                break
