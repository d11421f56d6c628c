"""The real dataset: seeds as they were, labels without a problem, readable by everybody's tools."""

import hashlib
import json
import re
import tomllib
from collections import Counter
from pathlib import Path

from labels.corpus import check_corpus, load_corpus
from labels.documents import SEEDS, load_documents

SEED_HASHES = {
    "000_feca1a77bdb8ecfd.txt": "23efc79a7c6632ab94279189fda0bdc2b152239b3d0c218b75cc653201929ca3",
    "001_ceb99bb30bccfb74.txt": "0a00c28cf24dc8f522017f86eb8365d9155c4cdbca9bd275d9d815ae0360a2dd",
    "002_f58bb6f1669831a1.txt": "43416daaef4e46bf14ad6c3210cc3325c39ee667847ac4428746dca3beee5e6b",
    "003_edc9dd9ab7431467.txt": "91a674e6f9db4f2501b788c50fe8cbd725caa04f9309331ae8bd9ab037e76738",
    "004_ca4c471e2b25f973.txt": "7b7d1b76aad544bb3718bddf9edf18244d46e8d63cd3695885a9864f1e1a313f",
}


def test_the_seeds_are_the_five_documents_byte_for_byte() -> None:
    """File names and bytes are those of the sources, and the list names each with its hash."""
    assert {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in SEEDS.glob("*.txt")} == SEED_HASHES
    listed = tomllib.loads((SEEDS / "documents.toml").read_text(encoding="utf-8"))["documents"]
    assert {entry["file"]: entry["sha256"] for entry in listed} == SEED_HASHES
    assert [document.id for document in load_documents()] == ["000", "001", "002", "003", "004"]


def test_line_ends_are_kept_on_checkout(root: Path) -> None:
    """Git must not touch a seed's bytes."""
    assert "seeds/*.txt -text" in (root / ".gitattributes").read_text(encoding="utf-8")


def test_the_committed_labels_have_no_problem() -> None:
    """Every passage is annotated, every row is right, gold.jsonl is what the rows say."""
    assert check_corpus() == []


def test_evidence_lies_on_words() -> None:
    """Evidence spans begin and end on characters that mean something."""
    texts = {document.id: document.text for document in load_documents()}
    for row in load_corpus().annotations:
        for spans in row.evidence.values():
            for start, end in spans:
                assert texts[row.document][start:end] == texts[row.document][start:end].strip()


def test_the_dataset_card_states_the_true_counts(root: Path) -> None:
    """Figures in the card are those of the labels."""
    card = (root / "labels" / "README.md").read_text(encoding="utf-8").split("## Authored passages")[0]
    corpus = load_corpus()
    counts = Counter(name for row in corpus.gold for name, holds in row.tags.items() if holds)
    assert {name: int(number) for name, number in re.findall(r"^\| (\w+) \| (\d+) \|$", card, re.MULTILINE)} == counts
    assert f"{len(corpus.gold)} passages of five documents" in card


def test_datasets_reads_the_labels(root: Path, tmp_path: Path) -> None:
    """`load_dataset("labels")` gives the flat file: one row a passage, texts and tags."""
    import datasets

    loaded = datasets.load_dataset(str(root / "labels"), split="train", cache_dir=str(tmp_path))
    rows = [json.loads(line) for line in (root / "labels" / "gold.jsonl").read_text(encoding="utf-8").splitlines()]
    assert loaded["text"] == [row["text"] for row in rows]
    assert loaded["sanctions_demand"] == [row["sanctions_demand"] for row in rows]
