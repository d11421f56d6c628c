"""Good labels of a held-back document are promoted and help; a tag inverted in one document is not. All passages, real fits."""

import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.results import ROOT
from labels.adjudication import GoldRow
from labels.authored import AuthoredPassage, load_authored
from labels.corpus import Corpus, load_corpus
from labels.database import open_database
from labels.store import LabelStore, NewLabel
from serving.registry import Registry
from serving.settings import Settings, load_settings
from training.base_model import find_base_model
from training.kept import remembered
from training.locking import exclusive
from training.out_of_fold import out_of_fold_logits
from training.package import fit_key
from training.recipe import SHIPPING
from training.retrain import Deployment, retrain
from training.snapshot import take
from training.standing import EVALUATION, FOLDS

KEPT = ROOT / "benchmarks" / "results" / "planted.jsonl"
"""What each fold of planted runs said, in git: so their hours can be spent in pieces, on several machines."""

HELD_BACK = "002"
INVERTED, INVERTED_IN = "advocacy_call", "004"


def planted(state: Path) -> dict[str, Any]:
    """First a model without a document's labels; then these added and reviewed; then a tag inverted in another document.

    Each of the three is trained by the default recipe and evaluated out of document as `tagger retrain` does it; folds whose
    logits are known, from the committed evaluation or from an earlier run, are not fitted again.
    """
    corpus = load_corpus()
    authored = load_authored(corpus.codebook, corpus.documents)
    four = _without(corpus, HELD_BACK)
    inverted = replace(corpus, gold=[_inverted(row) if row.document == INVERTED_IN else row for row in corpus.gold])
    _ask_all_folds((four, corpus, inverted), authored, state)
    engine = open_database(Settings(state=state).database_url)
    store = LabelStore(engine, corpus.codebook)
    registry = Registry(engine, state / "models")

    def run(some: Corpus) -> dict[str, Any]:
        place = Deployment(state=state, registry=registry, store=store, corpus=some, authored=authored)
        found = retrain(place, SHIPPING, lambda line: print(line, file=sys.stderr, flush=True))
        verdicts = {gate.name: gate.verdict for gate in found.gates}
        ahead = next(gate.figures for gate in found.gates if gate.name == "champion, by its gold").get("difference")
        return {
            "macro_f1": round(found.macro_f1, 3),
            "ahead": None if ahead is None else round(ahead, 3),
            "promoted": found.promoted,
            "seconds": round(found.seconds),
            "gates": verdicts,
        }

    first = run(four)
    registry.promote(str(registry.bundle("challenger")), why="the first")
    later = [row for row in corpus.gold if row.document == HELD_BACK]
    store.add([NewLabel(document=HELD_BACK, text=row.text, context=row.context, tags=row.tags, annotator="a") for row in later])
    good = run(corpus)
    bad = run(inverted)
    engine.dispose()
    right = good["promoted"] and good["ahead"] > 0 and not bad["promoted"]
    return {"without": first, "good": good, "bad": bad, "right": right}


def _ask_all_folds(corpora: Sequence[Corpus], authored: Sequence[AuthoredPassage], state: Path) -> None:
    """Fit and ask what is not yet kept, one fold after the other: `retrain` then finds all of it, and fits the bundles only.

    So a run that is stopped before the first bundle, which git does not keep, loses one fold at most.
    """
    base = find_base_model(SHIPPING.base_model, state / "encoders")
    for corpus in corpora:
        snapshot = take(corpus, authored)
        dataset = snapshot.dataset()
        for fold in snapshot.folds():
            key = fit_key(SHIPPING, base, dataset.select(fold.train))
            with remembered(KEPT, state / "fits", {key}, elsewhere=[EVALUATION / SHIPPING.profile / FOLDS]):
                out_of_fold_logits(corpus, dataset, [fold], SHIPPING, base, state)


@contextmanager
def begun_anew(name: str) -> Iterator[Path]:
    """A state folder beneath the settings' one, empty but for the fits and encoders: it shares those, and holds their lock."""
    shared = load_settings().state.resolve()
    state = shared / name
    with exclusive(shared):
        shutil.rmtree(state, ignore_errors=True)
        state.mkdir()
        for folder in ("fits", "encoders"):
            (shared / folder).mkdir(exist_ok=True)
            (state / folder).symlink_to(shared / folder)
        yield state


def _without(corpus: Corpus, document: str) -> Corpus:
    return replace(
        corpus,
        documents=[one for one in corpus.documents if one.id != document],
        gold=[row for row in corpus.gold if row.document != document],
    )


def _inverted(row: GoldRow) -> GoldRow:
    return replace(row, tags={**row.tags, INVERTED: not row.tags[INVERTED]})


def planted_table(found: dict[str, Any]) -> str:
    """The three runs, and the gates that did not pass."""
    names = {
        "without": f"four documents, without {HELD_BACK}",
        "good": f"the labels of {HELD_BACK} added and reviewed",
        "bad": f"{INVERTED} inverted in {INVERTED_IN}",
    }
    rows = [
        "| labels | macro-F1 out of document | ahead on the champion's passages | promoted | gates that kept it back |",
        "| --- | --- | --- | --- | --- |",
    ]
    for key, name in names.items():
        kept = ", ".join(f"{gate} ({verdict})" for gate, verdict in found[key]["gates"].items() if verdict != "pass")
        first = key == "without"
        promoted = "by hand" if first else "yes" if found[key]["promoted"] else "no"
        ahead = "" if found[key]["ahead"] is None else f"{found[key]['ahead']:+.2f}"
        kept = "no champion yet" if first else kept or "none"
        rows.append(f"| {name} | {found[key]['macro_f1']:.2f} | {ahead} | {promoted} | {kept} |")
    return "\n".join(rows)
