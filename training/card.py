"""The model card that travels in a bundle: what it is for, what it was trained on, how good it is."""

from typing import Any

from serving.bundle import Manifest


def model_card(manifest: Manifest) -> str:
    """Markdown; every figure comes from the manifest."""
    return "\n".join(
        [
            "# Passage tagger",
            "",
            f"Tags passages of human-rights and policy texts in English with {', '.join(manifest.tags)} (any, or none).",
            f"Profile `{manifest.profile}`, base model {manifest.base_model}, codebook {manifest.codebook}.",
            "",
            "## Intended use",
            "",
            "Finding passages for people who then read them. Not for decisions about persons, and not for other languages.",
            "",
            "## Training",
            "",
            *_training(manifest),
            "",
            "## Quality on documents that it has not seen",
            "",
            *_quality(manifest.metrics),
            "",
            "## Limits",
            "",
            "- Five documents, each tag living in one or two of them: figures on a new document may be lower.",
            "- The labels were made by language models that read each passage by the codebook, not by people.",
            (
                f"- int8: {manifest.parity['int8_flips']:.1%} of decisions at 0.5 differ from the fp32 graph, on "
                f"{manifest.parity['passages']:.0f} passages."
            ),
            "",
        ]
    )


def _training(manifest: Manifest) -> list[str]:
    counts = ", ".join(f"{name} {manifest.trained_on[name]}" for name in manifest.tags)
    held_out = f" Document {manifest.held_out} was held out." if manifest.held_out else ""
    authored = f"{manifest.trained_on['authored']} of them written for the project by language models"
    return [f"{manifest.trained_on['passages']} passages, {authored} ({counts}).{held_out}"]


def _quality(metrics: dict[str, Any]) -> list[str]:
    if not metrics:
        return ["Provisional: no evaluation of this configuration; threshold 0.5, no calibration."]
    rows = [
        f"| {name} | {entry['f1']:.2f} | {entry['f1_low']:.2f} to {entry['f1_high']:.2f} | {entry['positives']} |"
        for name, entry in metrics["tags"].items()
    ]
    return [
        (
            f"Leave-one-document-out macro-F1 {metrics['macro_f1']:.2f} "
            f"(95 % interval for passages like these, not for new documents: "
            f"{metrics['macro_f1_low']:.2f} to {metrics['macro_f1_high']:.2f})."
        ),
        "",
        "| tag | F1 | 95 % interval | positives |",
        "| --- | --- | --- | --- |",
        *rows,
    ]
