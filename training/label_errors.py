"""Labels that are likely wrong: those that the model, on documents it has not seen, finds least likely (cleanlab).

Reads the gold labels and the evaluation of a profile, whose scores are out-of-document: a model that was shown a wrong label
would repeat it. Confident learning (Northcutt et al. 2021) takes each tag as a question of its own, since a tag that was not
judged is no "no"; what it suspects is listed with the least likely label first. A person decides: a hard passage looks alike.

    tagger labels errors                      the 30 worst, by the default profile
    tagger labels errors --top 100 -o FILE    as JSON lines
"""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from cleanlab.filter import find_label_issues

from labels.adjudication import GoldRow
from labels.annotations import text_sha256
from labels.corpus import load_corpus
from labels.problems import CorpusError
from serving.whole import whole
from training.metrics import Floats, count
from training.recipe import PROFILES, SHIPPING
from training.standing import EVALUATION

_SHOWN = 160
"""Characters of a passage on the terminal."""


class OtherLabelsError(Exception):
    """Raised when an evaluation cannot be read or is not of the present labels; the message says where they differ."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Suspect:
    """A label of one tag that is likely wrong."""

    passage: str
    document: str
    tag: str
    label: bool
    """What the gold labels say."""
    score: float
    """What the model says that has not seen the document."""
    likelihood: float
    """Of the label, by that score."""
    unsure: bool
    """Whether an annotator was unsure of it, or it was in dispute."""
    method: str
    """How the label came about: 'single', 'agreed' or 'adjudicated'."""
    text: str
    context: str


def main(arguments: list[str]) -> int:
    """List likely label errors; the exit status."""
    options = _parser().parse_args(arguments)
    folder = options.evaluation or EVALUATION / options.profile
    try:
        corpus = load_corpus()
        scores = read_scores(folder, corpus.gold, corpus.codebook.names)
        found = suspects(corpus.gold, scores, corpus.codebook.names)
        shown = found[: options.top]
        if options.output:
            with whole(options.output) as part:
                lines = "".join(json.dumps(asdict(one), ensure_ascii=False) + "\n" for one in shown)
                part.write_text(lines, encoding="utf-8", newline="\n")
        else:
            _print(shown)
    except (CorpusError, OtherLabelsError) as error:
        print(f"tagger labels errors: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"tagger labels errors: {error.filename}: {error.strerror}", file=sys.stderr)
        return 1
    where = f" in {options.output}" if options.output else ""
    print(f"{len(shown)}{where} of {len(found)} likely errors among the labels of {len(corpus.gold)} passages", file=sys.stderr)
    return 0


def suspects(gold: Sequence[GoldRow], scores: Floats, names: Sequence[str]) -> list[Suspect]:
    """The labels that are likely wrong, the least likely one first; `scores` are out-of-document, shape (passages, tags)."""
    found: list[Suspect] = []
    targets = _targets(gold, names)
    for at, tag in enumerate(names):
        judged = np.flatnonzero(~np.isnan(targets[:, at]))
        given = targets[judged, at].astype(np.int64)
        if len(np.unique(given)) < 2:  # noqa: PLR2004 - yes and no: with one of them alone there is nothing to confuse
            continue
        yes = scores[judged, at]
        wrong = find_label_issues(given, np.column_stack([1 - yes, yes]), n_jobs=1)
        found += [_suspect(gold[index], tag, float(scores[index, at])) for index in judged[wrong]]
    return sorted(found, key=lambda one: one.likelihood)


def read_scores(folder: Path, gold: Sequence[GoldRow], names: Sequence[str]) -> Floats:
    """The out-of-document scores of an evaluation, mean of its seeds, shape (passages, tags).

    Raises OtherLabelsError when it is not of these labels: other passages or texts, or other counts of right and wrong tags.
    """
    try:
        lines = (folder / "oof.jsonl").read_text(encoding="utf-8").splitlines()
        rows: list[dict[str, Any]] = [json.loads(line) for line in lines]
        metrics = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
        seeds = [[row for row in rows if row["seed"] == seed] for seed in metrics["seeds"]]
        for found in seeds:
            _check_passages(folder, found, gold)
        _check_counts(folder, seeds[0], gold, names, metrics["model"]["cells"])
        scores: Floats = np.mean([[row["scores"] for row in found] for found in seeds], axis=0)
    except OSError as error:
        message = f"{error.filename}: cannot be read: {error.strerror}; `tagger evaluate` writes it"
        raise OtherLabelsError(message) from error
    except (ValueError, KeyError, TypeError, IndexError) as error:
        message = f"{folder}: is no whole evaluation: {type(error).__name__}: {error}"
        raise OtherLabelsError(message) from error
    return scores


def _check_passages(folder: Path, rows: Sequence[Mapping[str, Any]], gold: Sequence[GoldRow]) -> None:
    scored = {row["passage"]: row["text_sha256"] for row in rows}
    for row in gold:
        if row.passage not in scored:
            _refuse(folder, f"passage {row.passage} was not scored")
        if scored.pop(row.passage) != text_sha256(row.text):
            _refuse(folder, f"passage {row.passage} had another text")
    if scored:
        _refuse(folder, f"passage {next(iter(scored))} has no label now")
    if [row["passage"] for row in rows] != [row.passage for row in gold]:
        _refuse(folder, "the passages stand in another order")


def _check_counts(
    folder: Path, rows: Sequence[Mapping[str, Any]], gold: Sequence[GoldRow], names: Sequence[str], cells: Mapping[str, Any]
) -> None:
    """The evaluation keeps no labels, but how many tags were right and wrong in each document: a label changed shows there."""
    targets = _targets(gold, names)
    tagged = np.array([[name in row["tags"] for name in names] for row in rows])
    documents = np.array([row.document for row in gold])
    for document in dict.fromkeys(row.document for row in gold):
        inside = documents == document
        for name, now in zip(names, count(targets[inside], tagged[inside]), strict=True):
            then = cells[document][name]
            for what, number in (("positives", now.positives), ("tp", now.tp), ("fp", now.fp), ("fn", now.fn)):
                if then[what] != number:
                    _refuse(folder, f"document {document}, {name}: {what} was {then[what]} and is {number}")


def _refuse(folder: Path, why: str) -> None:
    message = f"{folder}: is the evaluation of other labels ({why}); run `tagger evaluate` on the present ones"
    raise OtherLabelsError(message)


def _targets(gold: Sequence[GoldRow], names: Sequence[str]) -> Floats:
    """1, 0, or NaN for a tag that was not judged: shape (passages, tags)."""
    return np.array([[np.nan if (holds := row.tags[name]) is None else float(holds) for name in names] for row in gold])


def _suspect(row: GoldRow, tag: str, score: float) -> Suspect:
    label = bool(row.tags[tag])
    return Suspect(
        passage=row.passage,
        document=row.document,
        tag=tag,
        label=label,
        score=round(score, 4),
        likelihood=round(score if label else 1 - score, 4),
        unsure=tag in row.unsure,
        method=row.method,
        text=row.text,
        context=row.context,
    )


def _print(found: Sequence[Suspect]) -> None:
    for number, one in enumerate(found, start=1):
        doubt = ", unsure" if one.unsure else ""
        print(f"{number:>3}. {one.passage} {one.tag}: labelled {'yes' if one.label else 'no'} ({one.method}{doubt}), ", end="")
        print(f"score {one.score:.3f}")
        text = " ".join(f"{one.context} | {one.text}".split() if one.context else one.text.split())
        print(f"     {text[:_SHOWN]}{'…' if len(text) > _SHOWN else ''}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="tagger labels errors", description="Labels that are likely wrong.")
    parser.add_argument("--profile", choices=PROFILES, default=SHIPPING.profile, help="whose scores (default: %(default)s)")
    parser.add_argument("--evaluation", type=Path, help="folder of an evaluation (default: the profile's committed one)")
    parser.add_argument("--top", type=int, default=30, help="so many at most (default: %(default)s)")
    parser.add_argument("-o", "--output", type=Path, help="write JSON lines to this file (default: print)")
    return parser
