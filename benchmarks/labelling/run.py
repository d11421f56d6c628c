"""Labels through real tools: our export into Label Studio and doccano, corrected there, and their exports back into a store.

python -m benchmarks.labelling.run                          both
python -m benchmarks.labelling.run --only label-studio      one of them

Each tool runs in an environment of its own, on loopback, and is told to send nothing home. A line of JSON a tool says whether
the same labels came back; the status is 1 when they did not, or when one corrected or made there did not come in as such.
"""

import argparse
import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.environments import environment
from benchmarks.labelling.doccano import doccano
from benchmarks.labelling.label_studio import label_studio
from benchmarks.labelling.tool import Project
from labels.codebook import Codebook, load_codebook
from labels.corpus import LABELS
from labels.database import open_database
from labels.formats.table import FORMATS
from labels.store import Label, LabelStore, NewLabel
from serving.labelling.transfer import import_labels

_TOOLS = {
    "label-studio": (["label-studio"], label_studio),
    "doccano": (["doccano", "marshmallow<4", "numpy<2"], doccano),  # of 2023, when those were not there yet
}
_ROWS = 200
_NASTY = (
    "=1+1; \"quoted\", 'single'",
    "line one\nline two\r\n\ttabbed",
    "  spaces around  ",
    "é ☃ \U0001f600 \u2028 <b>&amp;</b>",
    "- act",
)


def main(arguments: list[str]) -> int:
    """Take labels through the tools; 1 when they came back as others."""
    parser = argparse.ArgumentParser(prog="labelling-tools")
    parser.add_argument("--only", choices=_TOOLS)
    only = parser.parse_args(arguments).only
    results = [_taken_through(name) for name in _TOOLS if only in (None, name)]
    return 0 if all(one["same"] and one["corrected"] and one["made_there"] for one in results) else 1


def _taken_through(tool: str) -> dict[str, Any]:
    packages, started = _TOOLS[tool]
    binaries = environment(packages, tool)
    codebook = load_codebook()
    with TemporaryDirectory(prefix="labelling-") as name:
        folder = Path(name)
        with _store(folder / "from.db", codebook) as store:
            store.add(_labels(codebook))
            exported = folder / f"exported{'.json' if tool == 'label-studio' else '.jsonl'}"
            FORMATS[tool].write(exported, store.current(), codebook)
            config = FORMATS[tool].config
            assert config
            with started(binaries, folder / "home", config(codebook)) as project:
                project.load(exported)
                result: dict[str, Any] = {"tool": tool, "version": project.version, "labels": len(store.current())}
                result["differences"] = {
                    kind: _differences(store, path, tool, codebook) for kind, path in project.exports(folder / "first").items()
                }
                result["same"] = not any(result["differences"].values())
                result["corrected"] = _is_corrected(store, project, folder / "second", tool)
                result["made_there"] = _is_taken_in(store, project, folder / "third", tool)
    print(json.dumps(result, ensure_ascii=False), flush=True)
    return result


def _labels(codebook: Codebook) -> list[NewLabel]:
    """Passages of the seeds and some that are hard to carry, with tags that were not judged here and there."""
    with (LABELS / "gold.jsonl").open(encoding="utf-8") as lines:
        rows = [json.loads(line) for _, line in zip(range(_ROWS), lines, strict=False)]
    rows += [{"document": "nasty", "text": text, "context": text, codebook.names[0]: True} for text in _NASTY]
    found = []
    for number, row in enumerate(rows):
        tags = {tag: row.get(tag) for tag in codebook.names}
        if number % 5 == 0:
            tags[codebook.names[-1]] = None
        found.append(
            NewLabel(
                document=row["document"],
                text=row["text"],
                context=row["context"],
                tags=tags,
                annotator=("ann", "bea")[number % 2],
                kind=("human", "llm")[number % 2],
                suggested=number % 3 == 0,
                key=f"label {number}" if number % 4 else "",
            )
        )
    return found


def _differences(store: LabelStore, path: Path, tool: str, codebook: Codebook) -> list[str]:
    """What is not the same in an empty database that a tool's export was imported into; the first few."""
    database = path.parent / f"{path.stem}.db"
    status = _imported(path, tool, database)
    with _store(database, codebook) as other:
        before, after = ({_said(one) for one in found.current()} for found in (store, other))
    missing, added = [f"lost: {one}" for one in before - after], [f"new: {one}" for one in after - before]
    return [*(["the import was refused"] if status else []), *missing[:3], *added[:3]]


def _is_corrected(store: LabelStore, project: Project, folder: Path, tool: str) -> bool:
    """Whether one label that is corrected in the tool comes back as one change, and nothing else does."""
    first = store.current()[0]
    tags = [name for name, holds in first.tags.items() if holds is False][-1:]
    project.correct(first.text, tags)
    rows = _new_rows(store, project, folder, tool)
    return [(one.supersedes, [name for name, holds in one.tags.items() if holds]) for one in rows] == [(first.id, tags)]


def _is_taken_in(store: LabelStore, project: Project, folder: Path, tool: str) -> bool:
    """Whether an example that was made in the tool comes in as one new label of its user, and nothing else does."""
    names = store.codebook.names
    project.label("Made there.", names[:2])
    who = {"label-studio": "label-studio:1", "doccano": "cat"}[tool]
    rows = _new_rows(store, project, folder, tool)
    expected = {name: name in names[:2] for name in names}
    return [(one.text, one.document, one.annotator, one.tags) for one in rows] == [("Made there.", "there", who, expected)]


def _new_rows(store: LabelStore, project: Project, folder: Path, tool: str) -> list[Label]:
    """What is added by what the tool exports now."""
    before, path = store.newest(), next(iter(project.exports(folder).values()))
    assert _imported(path, tool, Path(str(store.engine.url.database))) == 0
    return store.rows(before)


def _imported(path: Path, tool: str, database: Path) -> int:
    os.environ["TAGGER_DATABASE"] = f"sqlite:///{database}"
    with redirect_stdout(sys.stderr):
        return import_labels([str(path), "--format", tool])


def _said(label: Label) -> str:
    return json.dumps(
        [label.document, label.text, label.context, label.annotator, label.kind, label.tags, label.suggested, label.key]
    )


@contextmanager
def _store(path: Path, codebook: Codebook) -> Iterator[LabelStore]:
    engine = open_database(f"sqlite:///{path}")
    try:
        yield LabelStore(engine, codebook)
    finally:
        engine.dispose()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
