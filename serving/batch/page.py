"""The page of `tagger summary`: one file, no network."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from string import Template
from typing import Any

_PAGE = Path(__file__).with_name("page.html")
SHOWN_PASSAGES = 300
"""Of a document on the page: those with the highest scores."""
SHOWN_DOCUMENTS = 5000


@dataclass(slots=True, kw_only=True)
class Found:
    """What was found in one document."""

    document: str
    passages: int = 0
    failed: int = 0
    review: int = 0
    tags: dict[str, int] = field(default_factory=dict)
    best: list[tuple[float, int, dict[str, Any]]] = field(default_factory=list)
    """(highest score, minus the number of the row, row) of the passages to show, a heap."""


def page(documents: Sequence[Found], tags: Sequence[str], title: str) -> str:
    """The page: one file, no network."""
    data = {
        "title": title,
        "tags": list(tags),
        "documents": [
            {
                "name": one.document,
                "passages": one.passages,
                "failed": one.failed,
                "review": one.review,
                "tags": [one.tags.get(tag, 0) for tag in tags],
                "best": [_shown(row, tags) for _, _, row in sorted(one.best, key=lambda entry: -entry[1])],
            }
            for one in documents[:SHOWN_DOCUMENTS]
        ],
        "more": max(0, len(documents) - SHOWN_DOCUMENTS),
        "most": SHOWN_PASSAGES,
    }
    # `</script>` within a passage would end the data.
    return Template(_PAGE.read_text(encoding="utf-8")).substitute(
        data=json.dumps(data, ensure_ascii=False).replace("<", "\\u003c")
    )


def _shown(row: dict[str, Any], tags: Sequence[str]) -> dict[str, Any]:
    place = next((f"{name} {row[name]}" for name in ("page", "line", "row") if name in row), "")
    return {
        "text": row.get("text", ""),
        "context": row.get("context", ""),
        "place": place,
        "tags": row["tags"],
        "review": row["review"],
        "scores": [round(row["scores"].get(tag) or 0.0, 3) for tag in tags],
    }
