"""What a bundle said of passages that it had not seen, kept so that a later one can be compared with it passage by passage."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from labels.adjudication import GoldRow
from labels.annotations import text_sha256
from serving.bundle import Manifest
from serving.whole import whole
from training.metrics import Bools, Floats
from training.snapshot import Snapshot


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """Out-of-document scores and tags of reviewed passages. Arrays are (passages, tags)."""

    passages: list[str]
    """Id and hash of the text: the same passage has the same entry in another record."""
    documents: list[str]
    groups: list[str]
    """The fold that held each passage out."""
    gold: Floats
    """1, 0, or NaN where nobody judged, as of the time of the evaluation."""
    scores: Floats
    tagged: Bools

    def rows(self, passages: Sequence[str]) -> list[int]:
        """Where these passages stand, which must all be there."""
        places = {passage: at for at, passage in enumerate(self.passages)}
        return [places[passage] for passage in passages]


def passage_name(row: GoldRow) -> str:
    """A passage's entry in `Record.passages`."""
    return f"{row.passage} {text_sha256(row.text)[:12]}"


def record_file(state: Path, manifest: Manifest) -> Path:
    """Where the record of a bundle stands, whose name stands for its figures too."""
    return state / "evaluations" / f"{manifest.name}.jsonl"


def write_record(path: Path, record: Record) -> None:
    """Write a record, whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole(path) as part, part.open("w", encoding="utf-8") as file:
        for at, passage in enumerate(record.passages):
            row: dict[str, Any] = {
                "passage": passage,
                "document": record.documents[at],
                "group": record.groups[at],
                "gold": [None if np.isnan(value) else int(value) for value in record.gold[at]],
                "scores": [round(float(value), 6) for value in record.scores[at]],
                "tagged": [bool(value) for value in record.tagged[at]],
            }
            file.write(json.dumps(row) + "\n")


def read_record(path: Path) -> Record | None:
    """The record in a file; None when there is no such file."""
    try:
        rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    except OSError:
        return None
    return Record(
        passages=[row["passage"] for row in rows],
        documents=[row["document"] for row in rows],
        groups=[row["group"] for row in rows],
        gold=np.array([[np.nan if value is None else value for value in row["gold"]] for row in rows], dtype=np.float64),
        scores=np.array([row["scores"] for row in rows], dtype=np.float64),
        tagged=np.array([row["tagged"] for row in rows], dtype=np.bool_),
    )


def committed_record(snapshot: Snapshot, folder: Path) -> Record:
    """The record that a committed evaluation is, of the labels that it was made with. Raises OSError, KeyError."""
    rows = [json.loads(line) for line in (folder / "oof.jsonl").read_text(encoding="utf-8").splitlines()]
    first = {row["passage"]: row for row in rows if row["seed"] == rows[0]["seed"]}
    found = [first[row.passage] for row in snapshot.reviewed]
    return Record(
        passages=[passage_name(row) for row in snapshot.reviewed],
        documents=[row.document for row in snapshot.reviewed],
        groups=snapshot.groups(),
        gold=snapshot.gold(),
        scores=np.array([row["scores"] for row in found], dtype=np.float64),
        tagged=np.array([[name in row["tags"] for name in snapshot.names] for row in found], dtype=np.bool_),
    )
