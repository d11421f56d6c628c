"""A tiny corpus on disk: two documents, four passages, one annotator."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from labels.annotations import passage_id, text_sha256
from labels.codebook import TAGS_FILE, load_codebook
from labels.passages import SEGMENTER, split_passages

TEXTS = {
    "one": "Members should:\n\n- impose sanctions on the junta.\n",
    "two": "In 1963 a coup toppled Diem.\n\nShelters help victims.\n",
}


class TinyCorpus:
    """Folders of seeds and labels, with the rows at hand to be spoilt."""

    def __init__(self, folder: Path) -> None:
        """Write both folders below `folder`."""
        self.seeds, self.labels = folder / "seeds", folder / "labels"
        self.seeds.mkdir()
        (self.labels / "annotations").mkdir(parents=True)
        (self.labels / "tags.toml").write_bytes(TAGS_FILE.read_bytes())
        entries = []
        for name, text in TEXTS.items():
            (self.seeds / f"{name}.txt").write_text(text, encoding="utf-8")
            digest = hashlib.sha256(text.encode()).hexdigest()
            fields = {"id": name, "file": f"{name}.txt", "title": name, "publisher": "p", "genre": "g", "language": "en"}
            entries.append(
                "[[documents]]\n" + "".join(f'{key} = "{value}"\n' for key, value in fields.items()) + f'sha256 = "{digest}"\n'
            )
        (self.seeds / "documents.toml").write_text("\n".join(entries), encoding="utf-8")
        self.rows = [
            _row(name, passage.start, passage.end, passage.text)
            for name, text in TEXTS.items()
            for passage in split_passages(text)
        ]
        self.write()

    @property
    def file(self) -> Path:
        """The one file of annotations."""
        return self.labels / "annotations" / "a.jsonl"

    def write(self) -> None:
        """Write the rows as they are now."""
        self.file.write_text("".join(json.dumps(row) + "\n" for row in self.rows), encoding="utf-8")


def _row(document: str, start: int, end: int, text: str) -> dict[str, Any]:
    return {
        "passage": passage_id(document, start, end),
        "document": document,
        "start": start,
        "end": end,
        "text_sha256": text_sha256(text),
        "tags": dict.fromkeys(load_codebook().names, False),
        "evidence": {},
        "rule": {},
        "unsure": [],
        "annotator": "a",
        "kind": "llm",
        "codebook": load_codebook().version,
        "segmenter": SEGMENTER,
        "created": "2026-11-22",
        "supersedes": None,
    }


@pytest.fixture
def tiny_corpus(tmp_path: Path) -> TinyCorpus:
    """A small corpus without a problem."""
    return TinyCorpus(tmp_path)
