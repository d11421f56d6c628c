"""The corpus: seeds, passages and annotations joined, checked whole, and the gold labels derived from them.

Reads `seeds/`, `labels/annotations/*.jsonl`, `labels/annotations/reviewed/*.jsonl` and `labels/adjudications.jsonl`; writes
`labels/gold.jsonl`, the flat file with texts that `datasets.load_dataset("labels")` reads.

    tagger labels check        every problem of the committed labels, and whether gold.jsonl is up to date
    tagger labels build        write gold.jsonl
"""

import json
import os
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from labels.adjudication import GoldRow, derive_gold, read_adjudications
from labels.annotations import Annotation, AnnotationReader
from labels.codebook import Codebook, load_codebook
from labels.documents import SEEDS, Document, load_documents
from labels.passages import split_passages
from labels.problems import CorpusError, Problem
from labels.reviewed import FOLDER, merged, read_reviewed

LABELS = Path(__file__).parent


@dataclass(frozen=True, slots=True, kw_only=True)
class Corpus:
    """The seeds with their passages and gold labels, in document order."""

    codebook: Codebook
    documents: list[Document]
    """The seeds."""
    annotations: list[Annotation]
    gold: list[GoldRow]
    """Of the seeds, and after them those of further documents that were reviewed."""
    reviewed_at: Mapping[tuple[str, str], str] = field(default_factory=dict)
    """(document, `labels.store.passage_key`) of what came from the store -> when it was reviewed."""


def load_corpus(seeds: Path = SEEDS, labels: Path = LABELS) -> Corpus:
    """Read and check everything but gold.jsonl. Raises CorpusError with all problems found."""
    codebook = load_codebook(labels / "tags.toml")
    documents = load_documents(seeds)
    passages = {document.id: split_passages(document.text) for document in documents}
    reader = AnnotationReader(documents, passages, codebook)
    annotations: list[Annotation] = []
    problems: list[Problem] = []
    files = sorted((labels / "annotations").glob("*.jsonl"))
    if not files:
        problems.append(Problem(file=str(labels / "annotations"), message="holds no *.jsonl file"))
    for path in files:
        rows, found = reader.read(path)
        annotations.extend(rows)
        problems.extend(found)
    decided = labels / "adjudications.jsonl"
    adjudications, found = read_adjudications(decided)
    problems.extend(found)
    gold, found = derive_gold(passages, annotations, adjudications, codebook, str(decided))
    problems.extend(found)
    reviewed, found = read_reviewed(labels / "annotations" / FOLDER, codebook)
    problems.extend(found)
    if problems:
        raise CorpusError(problems)
    gold = merged(gold, reviewed, codebook)
    reviewed_at = {(row.document, row.passage): row.created for row in reviewed}
    return Corpus(codebook=codebook, documents=documents, annotations=annotations, gold=gold, reviewed_at=reviewed_at)


def check_corpus(seeds: Path = SEEDS, labels: Path = LABELS) -> list[Problem]:
    """Every problem of the committed corpus, gold.jsonl included; an empty list when all is well."""
    try:
        corpus = load_corpus(seeds, labels)
    except (OSError, tomllib.TOMLDecodeError, KeyError) as error:
        return [Problem(file=str(labels / "tags.toml"), message=f"cannot be read: {error!r}")]
    except CorpusError as error:
        return error.problems
    path = labels / "gold.jsonl"
    if not path.exists() or path.read_text(encoding="utf-8") != gold_jsonl(corpus):
        return [Problem(file=str(path), message="is not what the annotations say; run `tagger labels build`")]
    return []


def gold_jsonl(corpus: Corpus) -> str:
    """The text of gold.jsonl."""
    return "".join(_gold_line(row) + "\n" for row in corpus.gold)


def write_gold(corpus: Corpus, labels: Path = LABELS) -> Path:
    """Write gold.jsonl whole or not at all; its path."""
    path = labels / "gold.jsonl"
    temporary = path.with_suffix(".tmp")
    temporary.write_text(gold_jsonl(corpus), encoding="utf-8", newline="\n")
    os.replace(temporary, path)  # noqa: PTH105 - the atomic form, named as what it is
    return path


def _gold_line(row: GoldRow) -> str:
    data = asdict(row)
    tags = data.pop("tags")  # one column a tag: the form that every reader of flat tables understands
    return json.dumps({**data, **tags}, ensure_ascii=False)
