"""Does the sentence that the service names as a tag's carrier hold what the annotators marked as evidence?

Asked of the seed passages of two sentences or more that carry the tag, of the bundle that has not seen their document. What
was found is kept beside the fit, in `state/fits/KEY/carrying-DOCUMENT.json` (`training.kept`).
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from datasets import Dataset

from labels.adjudication import GoldRow
from labels.corpus import Corpus
from labels.sentences import sentence_starts
from serving.classifier import Classifier
from serving.results import Options, PassageIn
from training.base_model import BaseModel
from training.folds import Fold
from training.kept import kept_or_found
from training.package import fit_key, fitted_bundle
from training.recipe import Recipe

Spans = list[tuple[int, int]]


def carrying_sentences(
    corpus: Corpus, dataset: Dataset, folds: Sequence[Fold], recipe: Recipe, base: BaseModel, state: Path
) -> dict[str, Any]:
    """Tag, and `all` -> `asked` (passages), `right` (share where the named sentence holds evidence), `by_chance`."""
    evidence = _evidence(corpus)
    found: dict[str, list[tuple[bool, float]]] = {name: [] for name in corpus.codebook.names}
    for fold in folds:
        side = dataset.select(fold.train)
        rows = [corpus.gold[index] for index in fold.held_out]
        rows = [row for row in rows if len(sentence_starts(row.text)) > 1 and row.passage in evidence]
        kept = state / "fits" / fit_key(recipe, base, side) / f"carrying-{fold.name}.json"
        bundle = partial(fitted_bundle, state / "fits", recipe, base, side, corpus.codebook, fold.name)
        question = [[row.text, row.context, row.tags, evidence[row.passage]] for row in rows]
        outcomes = kept_or_found(kept, question, partial(_asked, bundle, rows, evidence))
        for name, right, chance in outcomes:
            found[name].append((right, chance))
    every = [one for ones in found.values() for one in ones]
    return {name: _figures(ones) for name, ones in {**found, "all": every}.items() if ones}


def _asked(
    bundle: Callable[[], Path], rows: Sequence[GoldRow], evidence: Mapping[str, Mapping[str, Spans]]
) -> list[tuple[str, bool, float]]:
    """Of each passage and tag with evidence: the tag, whether the named sentence holds some, and how likely any one does."""
    classifier = Classifier.load(bundle())
    names = classifier.manifest.tags
    options = Options(long="truncate", sentences=True, thresholds=dict.fromkeys(names, 0.0))
    try:
        results = classifier.score([PassageIn(text=row.text, context=row.context) for row in rows], options)
    finally:
        classifier.close()
    found = []
    for row, result in zip(rows, results, strict=True):
        for name, spans in evidence[row.passage].items():
            if row.tags[name] and result.sentences and name in result.sentences:
                named = result.sentences[name]
                found.append((name, _overlap([(named.start, named.end)], spans), _by_chance(row, spans)))
    return found


def _evidence(corpus: Corpus) -> dict[str, dict[str, Spans]]:
    """Passage -> tag -> the spans that any annotator marked, as offsets into the passage's text."""
    found: dict[str, dict[str, Spans]] = {}
    for row in corpus.annotations:
        for name, spans in row.evidence.items():
            moved = [(start - row.start, end - row.start) for start, end in spans if row.start <= start and end <= row.end]
            if moved:  # evidence in a lead-in is outside of the passage
                found.setdefault(row.passage, {}).setdefault(name, []).extend(moved)
    return found


def _by_chance(row: GoldRow, spans: Spans) -> float:
    """Share of the passage's sentences that hold evidence."""
    starts = sentence_starts(row.text)
    sentences = list(zip(starts, [*starts[1:], len(row.text)], strict=True))
    return sum(_overlap([sentence], spans) for sentence in sentences) / len(sentences)


def _overlap(some: Spans, others: Spans) -> bool:
    return any(start < other_end and other_start < end for start, end in some for other_start, other_end in others)


def _figures(ones: list[tuple[bool, float]]) -> dict[str, Any]:
    right, chance = zip(*ones, strict=True)
    return {"asked": len(ones), "right": round(sum(right) / len(ones), 4), "by_chance": round(sum(chance) / len(ones), 4)}
