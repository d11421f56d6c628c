"""Out-of-document logits that are known already: of the committed evaluation, and of planted runs, which git keeps.

So the hours of a planted run can be spent in pieces, on several machines; the key of a fit says that nothing has changed.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np

from benchmarks.results import ROOT
from training.base_model import BaseModel
from training.out_of_fold import kept_file, write_kept
from training.package import fit_key
from training.recipe import Recipe
from training.snapshot import Snapshot
from training.standing import StaleError, known_of

KEPT = ROOT / "benchmarks" / "results" / "planted.jsonl"
_DIGITS = 5


@contextmanager
def known_folds(state: Path, snapshot: Snapshot, recipe: Recipe, base: BaseModel) -> Iterator[None]:
    """Within the block an evaluation of this snapshot finds what is known; what it adds is kept at the end, however it ends."""
    dataset = snapshot.dataset()
    folds = snapshot.folds()
    files = {fold.name: kept_file(state, fit_key(recipe, base, dataset.select(fold.train)), fold.name) for fold in folds}
    _put_back(files)
    with suppress(StaleError):  # the labels are others: nothing of it is known
        logits = known_of(recipe, base, dataset).logits[0]
        for fold in folds:
            write_kept(files[fold.name], [snapshot.reviewed[index] for index in fold.held_out], logits[fold.held_out])
    known = {name for name, file in files.items() if file.is_file()}
    try:
        yield
    finally:
        _keep({name: file for name, file in files.items() if name not in known and file.is_file()})


def _rows() -> list[dict[str, object]]:
    return [json.loads(line) for line in KEPT.read_text(encoding="utf-8").splitlines()] if KEPT.is_file() else []


def _put_back(files: dict[str, Path]) -> None:
    wanted = {(file.parent.name, name): file for name, file in files.items()}
    for row in _rows():
        file = wanted.get((str(row["key"]), str(row["without"])))
        if file and not file.is_file():
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(json.dumps({"passages": row["passages"], "logits": row["logits"]}), encoding="utf-8")


def _keep(files: dict[str, Path]) -> None:
    if not files:
        return
    with KEPT.open("a", encoding="utf-8") as kept:
        for name, file in files.items():
            found = json.loads(file.read_text(encoding="utf-8"))
            logits = np.round(np.array(found["logits"]), _DIGITS).tolist()
            row = {"key": file.parent.name, "without": name, "passages": found["passages"], "logits": logits}
            kept.write(json.dumps(row) + "\n")
