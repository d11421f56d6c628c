"""Label Studio's JSON (tasks with their annotations) and JSON-MIN (an object an annotation), with one control of choices.

A task is written for each label, its annotation beside it. What the tool has no field for stands in `data.exported`. An
annotation that came with the import (it has an `import_id`) stays its annotator's, even when it was corrected in the tool; any
other one is that of the user who made it. JSON-MIN does not tell these apart: there, one that says something else is the
user's.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any
from xml.sax.saxutils import quoteattr

from labels.codebook import Codebook
from labels.formats.objects import rows_of_objects
from labels.formats.rows import FIELDS, Reading, Row, fields_of, fingerprint, holding, listed_row
from labels.store import Label

_CONTROL = "tags"
_EXPORTED = "exported"
_NOT_ANNOTATED = "not annotated"
_CANCELLED = "skipped by its annotator"


def read(path: Path, reading: Reading) -> Iterator[Row]:
    """The rows of an export of either kind: one an annotation. Raises FormatError, OSError."""

    def rows(line: int, task: dict[str, Any]) -> Iterator[Row]:
        if not isinstance(task.get("data"), dict):
            yield _of_flat(reading, line, task)
            return
        annotations = task.get("annotations") or []
        if not annotations:
            yield Row(line=line, skipped=_NOT_ANNOTATED)
        for annotation in annotations:
            if not isinstance(annotation, dict):
                yield Row(line=line, problems=(("annotations", f"{annotation!r} is not an annotation; export as JSON"),))
            elif annotation.get("was_cancelled"):
                yield Row(line=line, skipped=_CANCELLED)
            else:
                yield _of_annotation(reading, line, task, annotation)

    return rows_of_objects(path, rows)


def write(path: Path, labels: Iterable[Label], codebook: Codebook) -> None:
    """Tasks with annotations, for a project with the labelling configuration below. Raises OSError."""
    with path.open("w", encoding="utf-8", newline="\n") as out:
        out.write("[")
        for number, one in enumerate(labels):
            out.write((",\n" if number else "\n") + json.dumps(_task(number + 1, one, codebook), ensure_ascii=False))
        out.write("\n]\n")


def config(codebook: Codebook) -> str:
    """The labelling configuration of a project."""
    choices = "\n".join(f"    <Choice value={quoteattr(tag.name)} hint={quoteattr(tag.definition)}/>" for tag in codebook.tags)
    return f"""<View>
  <Text name="context" value="$context"/>
  <Text name="text" value="$text"/>
  <Choices name="{_CONTROL}" toName="text" choice="multiple" required="false">
{choices}
  </Choices>
</View>"""


def _task(number: int, label: Label, codebook: Codebook) -> dict[str, Any]:
    fields = fields_of(label, codebook)
    data = {"text": label.text, "context": fields.pop("context"), "document": fields.pop("document"), _EXPORTED: fields}
    tags = holding(label, codebook)
    choices = {"from_name": _CONTROL, "to_name": "text", "type": "choices", "value": {"choices": tags}}
    return {"data": data, "annotations": [{"id": number, "result": [choices] if tags else [], "ground_truth": False}]}


def _of_annotation(reading: Reading, line: int, task: Mapping[str, Any], annotation: Mapping[str, Any]) -> Row:
    data = task["data"]
    exported = data.get(_EXPORTED)
    came_with_import = annotation.get("import_id") is not None or "completed_by" not in annotation
    fields = _of_passage(data)
    if isinstance(exported, dict) and came_with_import:
        fields |= exported
    else:
        shown = task.get("predictions") or annotation.get("parent_prediction") or annotation.get("prediction")
        fields |= {"annotator": _user(annotation.get("completed_by")), "suggested": bool(shown)}
    try:
        tags = _choices(reading, annotation.get("result") or [])
    except ValueError as error:
        return Row(line=line, problems=(("annotations.result", str(error)),))
    identity = annotation.get("unique_id") or f"{task.get('project')}:{annotation.get('id')}"
    changed = annotation.get("updated_at")
    return listed_row(
        reading,
        line,
        text=data.get("text"),
        tags=tags,
        fields=fields,
        identity=f"label-studio:{identity}:{changed}" if changed else "",
    )


def _choices(reading: Reading, results: Any) -> list[Any]:
    """The tags chosen in one control. Raises ValueError when it cannot be told which control, or it is none of choices."""
    if not isinstance(results, list) or not all(isinstance(one, dict) for one in results):
        message = "is not a list of results"
        raise ValueError(message)
    chosen = [one for one in results if one.get("type") == "choices" and reading.tags_from in ("", one.get("from_name"))]
    if len(controls := sorted({str(one.get("from_name")) for one in chosen})) > 1:
        message = f"choices of several controls ({', '.join(controls)}); name the one that holds the tags with --tags-from"
        raise ValueError(message)
    return [tag for one in chosen for tag in (one.get("value") or {}).get("choices") or []]


def _of_flat(reading: Reading, line: int, data: Mapping[str, Any]) -> Row:
    if "annotation_id" not in data:
        return Row(line=line, problems=(("data", "is missing: neither a task of JSON nor an annotation of JSON-MIN"),))
    column, exported = reading.tags_from or _CONTROL, data.get(_EXPORTED)
    if column not in data and not reading.tags_from and not isinstance(exported, dict):
        return Row(line=line, problems=((column, "is missing; name the control that holds the tags with --tags-from"),))
    value = data.get(column) or []
    tags = value.get("choices") if isinstance(value, dict) else [value] if isinstance(value, str) else value
    changed = data.get("updated_at")
    identity = f"label-studio:{data['annotation_id']}:{changed}" if changed else ""
    text, user = data.get("text"), _of_passage(data) | {"annotator": _user(data.get("annotator"))}
    if isinstance(exported, dict):
        row = listed_row(reading, line, text=text, tags=tags, fields=user | exported, identity=identity)
        if row.label is None or fingerprint(row.label, reading.codebook) == exported.get("fingerprint"):
            return row
    return listed_row(reading, line, text=text, tags=tags, fields=user, identity=identity)


def _of_passage(data: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a task that hold for whoever annotates it."""
    return {name: value for name, value in data.items() if name not in FIELDS or name in {"document", "context", "judged"}}


def _user(value: object) -> object:
    """The name of a user, who is an id, or an object that names some of id, email and name."""
    if isinstance(value, dict):
        value = value.get("email") or value.get("username") or value.get("id")
    return f"label-studio:{value}" if isinstance(value, int) else value
