"""The evaluation for readers: a table for README.md, and report.html for label owners."""

from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from labels.corpus import Corpus

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
            f"Leave-one-document-out on {model['passages']} passages of five documents, {len(metrics['seeds'])} seed(s); "
            f"macro-F1 of the model {model['macro_f1']:.2f} (95 % interval for passages like these, not for new documents: "
            f"{model['macro_f1_low']:.2f} to {model['macro_f1_high']:.2f}). In brackets: passages that carry the tag."
        ),
        "",
        f"| | macro-F1 | {heads} | random split |",
        f"| --- | --- |{' --- |' * len(tags)} --- |",
    ]
    for name, figures in rows:
        cells = " | ".join(f"{figures['tags'][tag]['f1']:.2f}" for tag in tags)
        gap = f"{mixed[name]:.2f}" if name in mixed else ""
        lines.append(f"| {name} | {figures['macro_f1']:.2f} | {cells} | {gap} |")
    return "\n".join(lines)


def write_report(path: Path, metrics: dict[str, Any], oof: list[dict[str, Any]], corpus: Corpus) -> None:
    """Write the HTML report, whole."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    page = environment.get_template("report.html.j2").render(
        metrics=metrics,
        model=metrics["model"],
        tags=list(corpus.codebook.tags),
        documents=corpus.documents,
        errors=_confident_errors(oof, corpus),
    )
    path.write_text(page, encoding="utf-8")


def _confident_errors(oof: list[dict[str, Any]], corpus: Corpus) -> list[dict[str, Any]]:
    """The wrong decisions whose score lies farthest on the wrong side, worst first; of the first seed."""
    gold = {row.passage: row for row in corpus.gold}
    errors: list[dict[str, Any]] = []
    for row in oof:
        if row["seed"] != oof[0]["seed"]:
            continue
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
