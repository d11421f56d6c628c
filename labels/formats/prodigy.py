"""Prodigy's JSON lines of text classification: choices with `accept`, or one `label` with `answer` a line.

An option that was not offered was not judged. Binary lines judge one tag each: those of one annotator and passage are joined
into one label. Lines that were ignored, and choices that were rejected as a whole, hold no judgement.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from labels.codebook import Codebook
from labels.formats.objects import rows_of_objects, write_objects
from labels.formats.rows import Reading, Row, fields_of, holding, listed_row, row_of
from labels.store import Label


def read(path: Path, reading: Reading) -> Iterator[Row]:
    """The rows of `prodigy db-out`; labels of binary lines come last. Raises FormatError, OSError."""
    binary: dict[tuple[str, str, str], Row] = {}

    def rows(line: int, task: dict[str, Any]) -> Iterator[Row]:
        answer = task.get("answer")
        if answer not in ("accept", "reject", "ignore"):
            yield Row(line=line, problems=(("answer", f"{answer!r} is none of accept, reject, ignore"),))
        elif answer == "ignore":
            yield Row(line=line, skipped="ignored by its annotator")
        elif "accept" in task or "options" in task:
            yield _of_choice(reading, line, task)
        elif isinstance(task.get("label"), str):
            row = row_of(
                reading,
                line,
                text=task.get("text"),
                tags={task["label"]: answer == "accept"},
                fields=_fields(reading, task, []),
            )
            yield from _joined(row, binary)
        else:
            yield Row(line=line, problems=(("accept", "is missing, and so is `label`: no task of text classification"),))

    yield from rows_of_objects(path, rows)
    yield from binary.values()


def write(path: Path, labels: Iterable[Label], codebook: Codebook) -> None:
    """Answered tasks of the interface `choice`, for `prodigy db-in`. Raises OSError."""
    options = [{"id": tag.name, "text": tag.title} for tag in codebook.tags]
    write_objects(path, (_task(one, options, codebook) for one in labels))


def _task(label: Label, options: list[dict[str, str]], codebook: Codebook) -> dict[str, Any]:
    meta = fields_of(label, codebook)
    return {
        "text": label.text,
        "options": options,
        "accept": holding(label, codebook),
        "answer": "accept",
        "_view_id": "choice",
        "_annotator_id": meta.pop("annotator"),
        "meta": meta,
    }


def _of_choice(reading: Reading, line: int, task: Mapping[str, Any]) -> Row:
    if task["answer"] == "reject":
        return Row(line=line, skipped="rejected as a whole, which says nothing of its tags")
    options = task.get("options") or []
    offered = [one.get("id") for one in options if isinstance(one, dict)] if isinstance(options, list) else []
    changed = task.get("_timestamp")
    return listed_row(
        reading,
        line,
        text=task.get("text"),
        tags=task.get(reading.tags_from or "accept", []),
        fields=_fields(reading, task, offered),
        identity=f"prodigy:{task.get('_task_hash')}:{changed}" if changed else "",
    )


def _fields(reading: Reading, task: Mapping[str, Any], offered: list[Any]) -> dict[str, Any]:
    """A task's own fields before its `meta`; who judged as the tool says it; which of our tags were offered."""
    meta = task["meta"] if isinstance(task.get("meta"), dict) else {}
    who = task.get("_annotator_id") or task.get("_session_id") or meta.get("annotator") or task.get("annotator")
    judged = [name for name in offered if name in reading.codebook.names]
    return ({"judged": judged} if offered else {}) | dict(task) | meta | {"annotator": who}


def _joined(row: Row, binary: dict[tuple[str, str, str], Row]) -> Iterator[Row]:
    """Add the judgement of a binary line to those of its annotator and passage; a row with problems passes."""
    if row.label is None:
        yield row
        return
    passage = (row.label.document, row.label.passage, row.label.annotator)
    earlier = binary.get(passage)
    said = {name: holds for name, holds in row.label.tags.items() if holds is not None}
    if earlier is None or earlier.label is None:
        binary[passage] = row
    else:
        binary[passage] = replace(earlier, label=replace(earlier.label, tags={**earlier.label.tags, **said}, key=""))
