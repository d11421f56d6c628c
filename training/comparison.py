"""Two models side by side, as a page for whoever decides: gates, F1 by tag and document, and the decisions that change."""

from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from serving.whole import whole
from training.gates import MIN_POSITIVES
from training.judging import Contest, Judged
from training.metrics import Counts, count
from training.records import Record

_SHOWN = 60
"""Changed decisions of each kind on the page; the rest is counted."""


def write_comparison(path: Path, contest: Contest, judged: Judged) -> None:
    """Write the page, whole."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    page = environment.get_template("comparison.html.j2").render(
        challenger=contest.challenger.name,
        champion=contest.champion.name if contest.champion else None,
        judged=judged,
        names=contest.snapshot.names,
        rows=_rows(contest),
        moved=_moved(contest)[:_SHOWN],
        moved_count=len(_moved(contest)),
        cases=_cases(judged)[:_SHOWN],
        case_count=len(_cases(judged)),
        ties=contest.snapshot.ties[:_SHOWN],
        added=len(contest.snapshot.added),
        reviewed=len(contest.snapshot.reviewed),
        min_positives=MIN_POSITIVES,
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole(path) as part:
        part.write_text(page, encoding="utf-8")


def _rows(contest: Contest) -> list[dict[str, Any]]:
    """All documents, then each: both models' counts a tag, by the challenger's gold, on the passages that both were asked."""
    mine, theirs = contest.record, contest.champion_record
    known = {passage: at for at, passage in enumerate(theirs.passages)} if theirs else {}
    shared = [at for at, passage in enumerate(mine.passages) if not theirs or passage in known]
    documents = np.array([mine.documents[at] for at in shared])
    places = [
        ("all documents", np.ones(len(shared), dtype=bool)),
        *((name, documents == name) for name in dict.fromkeys(documents)),
    ]
    found: list[dict[str, Any]] = []
    for place, rows in places:
        some = [at for at, inside in zip(shared, rows, strict=True) if inside]
        challenger = count(mine.gold[some], mine.tagged[some])
        champion = _counts(theirs, [known[mine.passages[at]] for at in some], mine, some) if theirs else None
        found.append({"place": place, "passages": len(some), "challenger": challenger, "champion": champion})
    return found


def _counts(theirs: Record, rows: list[int], mine: Record, some: list[int]) -> list[Counts]:
    return count(mine.gold[some], theirs.tagged[rows])


def _moved(contest: Contest) -> list[dict[str, Any]]:
    """Out-of-document decisions on reviewed passages that are others than the champion's, wrong ones first."""
    mine, theirs = contest.record, contest.champion_record
    if theirs is None:
        return []
    known = {passage: at for at, passage in enumerate(theirs.passages)}
    found: list[dict[str, Any]] = []
    for at, passage in enumerate(mine.passages):
        other = known.get(passage)
        if other is None:
            continue
        for tag in np.flatnonzero(mine.tagged[at] != theirs.tagged[other]):
            holds = mine.gold[at, tag]
            if not np.isnan(holds):
                row = contest.snapshot.reviewed[at]
                found.append(
                    {
                        "passage": row.passage,
                        "tag": contest.snapshot.names[tag],
                        "right": bool(mine.tagged[at, tag]) == bool(holds),
                        "before": float(theirs.scores[other, tag]),
                        "after": float(mine.scores[at, tag]),
                        "context": row.context,
                        "text": row.text,
                    }
                )
    return sorted(found, key=lambda row: (row["right"], row["passage"]))


def _cases(judged: Judged) -> list[dict[str, Any]]:
    """Behavioural cases on which the two models differ."""
    return [
        {
            "id": mine.case.id,
            "text": mine.case.text,
            "before": ", ".join(theirs.tags) or "none",
            "after": ", ".join(mine.tags) or "none",
            "passed": mine.passed,
        }
        for mine, theirs in zip(judged.asked, judged.champion_asked, strict=False)
        if mine.tags != theirs.tags
    ]
