"""The evaluation for readers: a table for README.md, and report.html for label owners."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from labels.corpus import Corpus
from training.plots import curve, precision_recall, reliability

_WORST = 30
"""Confident errors shown."""


def quality_table(metrics: dict[str, Any]) -> str:
    """Markdown: the model and its baselines, leave-one-document-out, and what a random split would have said."""
    model = metrics["model"]
    mixed: dict[str, float] = metrics["random_split_macro_f1"]
    rows = [("**this model (int8)**", model), *metrics["baselines"].items()]
    tags = list(model["tags"])
    heads = " | ".join(f"{name} ({entry['positives']})" for name, entry in model["tags"].items())
    lines = [
        (
            f"Leave-one-document-out on {model['passages']} passages of {len(model['cells'])} documents, "
            f"{len(metrics['seeds'])} seed(s); {metrics['compared']} configurations were compared on it. 95 % intervals: for "
            "passages like these, not for new documents. In brackets: passages that carry the tag."
        ),
        "",
        f"| F1 | macro | {heads} | the model is ahead by (95 %, paired) | random split |",
        f"| --- | --- |{' --- |' * len(tags)} --- | --- |",
    ]
    for name, figures in rows:
        own = figures is model
        cells = " | ".join(_f1(figures["tags"][tag], "f1", own=own) for tag in tags)
        ahead = "" if own else "{low:+.2f} to {high:+.2f}".format(**metrics["ahead"][name])
        gap = f"{mixed[name]:.2f}" if name in mixed else "not run" if own else ""
        lines.append(f"| {name} | {_f1(figures, 'macro_f1', own=own)} | {cells} | {ahead} | {gap} |")
    review, final = model["review"], metrics["final_review"]
    given = ", ".join(f"{one['inside']} of {one['given']} {name}" for name, one in final["given"].items())
    lines += [
        "",
        (
            f"Average precision {model['macro_average_precision']:.2f} (macro, pooled), Brier skill "
            f"{model['macro_brier_skill']:.2f} (macro). The review band holds {review['share']:.1%} of all decisions; "
            f"{review['error_inside']:.1%} of those inside it are wrong, {review['error_outside']:.1%} of those outside. "
            f"The bundle's own band, fitted on all documents, holds {final['share']:.1%}; of the tags given: {given}."
        ),
    ]
    if named := metrics.get("carrying_sentences", {}).get("all"):
        lines += [
            "",
            (
                "Asked which sentence carries a tag (`sentences`), it names one that holds the annotators' evidence in "
                f"{named['right']:.0%} of {named['asked']} cases; a sentence by chance does in {named['by_chance']:.0%}."
            ),
        ]
    return "\n".join(lines)


def _f1(figures: dict[str, Any], name: str, *, own: bool) -> str:
    """A figure, the model's with its interval."""
    between = f" ({figures[f'{name}_low']:.2f} to {figures[f'{name}_high']:.2f})" if own else ""
    return f"{figures[name]:.2f}{between}"


def write_report(path: Path, metrics: dict[str, Any], oof: list[dict[str, Any]], corpus: Corpus, screening: Path) -> None:
    """Write the HTML report, whole; `screening` is the file of tried recipes, shown when it is there."""
    tried = screening.read_text(encoding="utf-8").splitlines() if screening.exists() else []
    first = [row for row in oof if row["seed"] == oof[0]["seed"]]
    titles = {document.id: document.title for document in corpus.documents}
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    page = environment.get_template("report.html.j2").render(
        metrics=metrics,
        model=metrics["model"],
        tags=list(corpus.codebook.tags),
        held_out=[(name, titles.get(name, "several")) for name in metrics["model"]["cells"]],
        plots=_plots(first, corpus),
        curves=_curves(metrics["learning_curve"]),
        screened=[json.loads(line) for line in tried],
        behaviour=_behaviour(path.with_name("behaviour.json")),
        errors=_confident_errors(first, corpus),
    )
    path.write_text(page, encoding="utf-8")


def _behaviour(path: Path) -> list[tuple[str, int, int]]:
    """Codebook lines of which behavioural cases fail, with how many passed and were asked, the worst first."""
    if not path.is_file():
        return []
    rules = json.loads(path.read_text(encoding="utf-8"))["rules"]
    worst = sorted(rules.items(), key=lambda rule: (rule[1][0] / rule[1][1], -rule[1][1]))
    return [(name, passed, asked) for name, (passed, asked) in worst if passed < asked]


def _plots(oof: Sequence[dict[str, Any]], corpus: Corpus) -> dict[str, tuple[Markup, Markup]]:
    """Tag -> precision by recall, and frequency by score."""
    gold = {row.passage: row.tags for row in corpus.gold}
    found: dict[str, tuple[Markup, Markup]] = {}
    for index, name in enumerate(corpus.codebook.names):
        pairs = [(holds, row["scores"][index]) for row in oof if (holds := gold[row["passage"]][name]) is not None]
        truth, scores = np.array([holds for holds, _ in pairs]), np.array([score for _, score in pairs])
        found[name] = precision_recall(truth, scores), reliability(truth, scores)
    return found


def _curves(points: dict[str, list[dict[str, Any]]]) -> list[Markup]:
    labels = {"authored": ("passages", "authored passages"), "documents": ("documents", "training documents")}
    return [
        curve([point[key] for point in points[name]], [point["macro_f1"] for point in points[name]], label)
        for name, (key, label) in labels.items()
    ]


def _confident_errors(oof: list[dict[str, Any]], corpus: Corpus) -> list[dict[str, Any]]:
    """The wrong decisions whose score lies farthest on the wrong side, worst first."""
    gold = {row.passage: row for row in corpus.gold}
    errors: list[dict[str, Any]] = []
    for row in oof:
        labels = gold[row["passage"]]
        for name, score in zip(corpus.codebook.names, row["scores"], strict=True):
            holds, tagged = labels.tags[name], name in row["tags"]
            if holds is not None and holds != tagged:
                errors.append(
                    {
                        "passage": row["passage"],
                        "tag": name,
                        "holds": holds,
                        "score": score,
                        "confidence": score if tagged else 1 - score,
                        "unsure": name in labels.unsure,
                        "context": labels.context,
                        "text": labels.text,
                    }
                )
    return sorted(errors, key=lambda error: -float(error["confidence"]))[:_WORST]
