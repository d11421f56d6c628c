"""Good labels of a held-back document are promoted and help; a tag inverted in one document is not. All passages, real fits."""

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from labels.adjudication import GoldRow
from labels.authored import load_authored
from labels.corpus import Corpus, load_corpus
from labels.database import open_database
from labels.store import LabelStore, NewLabel
from serving.registry import Registry
from serving.settings import Settings
from training.recipe import ACCURATE
from training.retrain import Deployment, retrain

HELD_BACK = "002"
"""Without 004, which holds two thirds of the victim-support measures, no model beats cue words on the others by much."""
INVERTED, INVERTED_IN = "advocacy_call", "004"


def planted(state: Path) -> dict[str, Any]:
    """First a model without a document's labels; then these added; then, as reviewed labels, a tag inverted in a document.

    Each of the three is trained and evaluated out of document as `tagger retrain` does it.
    """
    # A third of the time of the default; all three are trained alike.
    recipe = replace(ACCURATE, layers=6, seed_readings=2, authored_share=0.5)
    corpus = load_corpus()
    authored = load_authored(corpus.codebook, corpus.documents)
    four = _without(corpus, HELD_BACK)
    engine = open_database(Settings(state=state).database_url)
    store = LabelStore(engine, corpus.codebook)
    registry = Registry(engine, state / "models")

    def run(some: Corpus) -> dict[str, Any]:
        place = Deployment(state=state, registry=registry, store=store, corpus=some, authored=authored)
        found = retrain(place, recipe, lambda line: print(line, file=sys.stderr, flush=True))
        verdicts = {gate.name: gate.verdict for gate in found.gates}
        return {
            "macro_f1": round(found.macro_f1, 3),
            "promoted": found.promoted,
            "seconds": round(found.seconds),
            "gates": verdicts,
        }

    first = run(four)
    registry.promote(str(registry.bundle("challenger")), why="the first")
    later = [row for row in corpus.gold if row.document == HELD_BACK]
    store.add([NewLabel(document=HELD_BACK, text=row.text, context=row.context, tags=row.tags, annotator="a") for row in later])
    good = run(four)
    bad = run(replace(four, gold=[_inverted(row) if row.document == INVERTED_IN else row for row in four.gold]))
    engine.dispose()
    right = good["promoted"] and good["macro_f1"] > first["macro_f1"] and not bad["promoted"]
    return {"without": first, "good": good, "bad": bad, "right": right}


def begun_anew(state: Path) -> Path:
    """A state folder with the fits of an earlier run, which take most of the time, and nothing else of it."""
    for path in (*state.glob("tagger.db*"), *state.glob("retrains/*")):
        path.unlink()
    return state


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
        "good": f"the labels of {HELD_BACK} added",
        "bad": f"{INVERTED} inverted in {INVERTED_IN}",
    }
    rows = ["| labels | macro-F1 out of document | promoted | gates that kept it back |", "| --- | --- | --- | --- |"]
    for key, name in names.items():
        kept = ", ".join(f"{gate} ({verdict})" for gate, verdict in found[key]["gates"].items() if verdict != "pass")
        first = key == "without"
        promoted = "by hand" if first else "yes" if found[key]["promoted"] else "no"
        rows.append(
            f"| {name} | {found[key]['macro_f1']:.2f} | {promoted} | {'no champion yet' if first else kept or 'none'} |"
        )
    return "\n".join(rows)
