"""`tagger labels import` and `export`: all or nothing, what would happen said before, the same labels back."""

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.exc import OperationalError

from labels.codebook import load_codebook
from labels.database import open_database
from labels.store import Label, LabelStore, NewLabel
from serving.labelling.transfer import export_labels, import_labels
from tests.conftest import TAGGER
from tests.databases import make_read_only

ADVOCACY, SANCTIONS, VICTIMS, HISTORY = load_codebook().names
CSV = f"document,text,annotator,{ADVOCACY},{HISTORY},key\n"


@pytest.fixture
def store(database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LabelStore]:
    """The labels that the commands work on."""
    monkeypatch.setenv("TAGGER_STATE", str(tmp_path / "state"))
    monkeypatch.setenv("TAGGER_DATABASE", database_url)
    engine = open_database(database_url)
    yield LabelStore(engine, load_codebook())
    engine.dispose()


def written(path: Path, text: str) -> str:
    """A file."""
    path.write_text(text, encoding="utf-8")
    return str(path)


def counts(said: str) -> dict[str, int]:
    """The numbers that an import prints."""
    lines = [line.split() for line in said.splitlines()]
    names = ("new", "changed", "unchanged", "repeated", "conflicting", "skipped")
    return {line[0]: int(line[1]) for line in lines if line[0] in names}


def some(**fields: Any) -> NewLabel:
    """A label to start from."""
    fields = {"document": "d", "text": "Act.", "annotator": "ann", "tags": {ADVOCACY: True, HISTORY: False}} | fields
    return NewLabel(**fields)


def said_of(rows: list[Label]) -> list[tuple[Any, ...]]:
    """What rows say, without where they stand."""
    return [(one.document, one.text, one.context, one.annotator, one.kind, one.tags, one.suggested, one.key) for one in rows]


def test_an_import_is_tried_done_and_repeated(store: LabelStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A dry run says what would happen and does nothing; the second import changes nothing; a corrected row is a change."""
    store.add([some(text="Known.", tags={ADVOCACY: False}), some(text="Same.", tags={ADVOCACY: True, HISTORY: None})])
    head = CSV + "d,Known.,ann,true,,\nd,Same.,ann,1,,\nd,New.,ann,yes,no,\n"
    file = written(tmp_path / "a.csv", head + "d,Keyed.,ann,no,no,k-1\nd,Later.,ann,,,\n")
    assert import_labels([file, "--dry-run"]) == 0
    said = capsys.readouterr().out
    assert counts(said) == {"new": 2, "changed": 1, "unchanged": 1, "repeated": 0, "conflicting": 0, "skipped": 1}
    assert "dry run: nothing was imported" in said
    assert store.newest() == 2
    assert import_labels([file]) == 0
    assert "imported 3 labels" in capsys.readouterr().out
    assert import_labels([file]) == 0
    assert counts(capsys.readouterr().out) == {
        "new": 0, "changed": 0, "unchanged": 3, "repeated": 1, "conflicting": 0, "skipped": 1
    }  # fmt: skip
    store.add([some(text="Keyed.", tags={ADVOCACY: True})])
    assert import_labels([file]) == 0
    assert "(1 of them superseded since; they stay so)" in capsys.readouterr().out
    assert {one.text: one.tags[ADVOCACY] for one in store.current()} == {
        "Known.": True, "Same.": True, "New.": True, "Keyed.": True
    }  # fmt: skip


def test_one_bad_row_and_nothing_is_imported(store: LabelStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Every problem is told with its line; unknown tags are named; what is right is still counted."""
    rows = [
        {"text": "Act.", "document": "d", "annotator": "ann", "label": [ADVOCACY]},
        {"text": "Act.", "document": "d", "annotator": "ann", "label": ["protest"]},
        {"text": "", "document": "d", "annotator": "ann", "label": [SANCTIONS]},
        {"text": "b", "annotator": "ann", "label": [ADVOCACY]},
    ]
    file = written(tmp_path / "a.jsonl", "".join(json.dumps(row) + "\n" for row in rows) + "{\n")
    for more in ([], ["--dry-run"]):
        assert import_labels([file, *more]) == 1
        out, err = capsys.readouterr()
        assert f"{file}:2: tags: unknown tag 'protest' (known: " in err
        assert f"{file}:3: text: is empty" in err
        assert f"{file}:3: tags: {SANCTIONS} holds, so {ADVOCACY} must hold too" in err
        assert f"{file}:4: document: is missing" in err
        assert f"{file}:5: is not JSON" in err
        assert "nothing was imported: 5 problems" in err
        assert counts(out)["new"] == 1
        assert f"unknown tag 'protest' in 1 row, first at {file}:2" in out
    assert store.newest() == 0


def test_many_problems_are_counted(store: LabelStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Fifty are shown."""
    file = written(tmp_path / "a.csv", CSV + "d,Act.,ann,maybe,,\n" * 53)
    assert import_labels([file]) == 1
    err = capsys.readouterr().err
    assert err.count(f"{ADVOCACY}: 'maybe' is not true, false") == 50
    assert "… and 3 more problems\nnothing was imported: 53 problems" in err
    assert store.newest() == 0


def test_keys_used_for_other_labels_conflict(store: LabelStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each is counted and told; nothing is imported."""
    store.add([some(text="One.", key="k-1"), some(text="Two.", key="k-2")])
    file = written(
        tmp_path / "a.csv", CSV + "d,Other.,ann,1,0,k-1\nd,Two.,ann,0,0,k-2\nd,Two.,ann,1,0,k-2\nd,Three.,ann,1,0,k-3\n"
    )
    assert import_labels([file]) == 1
    out, err = capsys.readouterr()
    assert counts(out) == {"new": 1, "changed": 0, "unchanged": 0, "repeated": 1, "conflicting": 2, "skipped": 0}
    assert f"{file}:2: key: 'k-1' was used for another label already: its text was another one" in err
    assert f"{file}:3: key: 'k-2' was used for another label already: its tags was" in err
    assert store.newest() == 2


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("labels.jsonl", ["--format", "doccano"]),
        ("labels.json", ["--format", "label-studio"]),
        ("labels.jsonl", ["--format", "prodigy"]),
        ("labels.csv", []),
        ("labels.tsv", []),
        ("labels", ["--format", "huggingface"]),
    ],
)
def test_exported_labels_come_back(
    name: str,
    options: list[str],
    store: LabelStore,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Into an empty database: the same labels; into the one they came from: nothing new. The format need not be named."""
    if "huggingface" in options:
        pytest.importorskip("pyarrow")
    store.add(
        [
            some(),
            some(text="- item", context="States should:", suggested=True, kind="llm", annotator="model"),
            some(document="e", tags=dict.fromkeys((ADVOCACY, SANCTIONS, VICTIMS, HISTORY), False)),
            some(document="e", tags={SANCTIONS: True, ADVOCACY: True}),
        ]
    )
    file = str(tmp_path / name)
    assert export_labels([file, *options]) == 0
    assert f"3 labels in {file}" in capsys.readouterr().out
    assert import_labels([file]) == 0
    assert counts(capsys.readouterr().out)["repeated"] == 3
    monkeypatch.setenv("TAGGER_DATABASE", f"sqlite:///{tmp_path / 'empty.db'}")
    assert import_labels([file]) == 0
    engine = open_database(f"sqlite:///{tmp_path / 'empty.db'}")
    found = LabelStore(engine, load_codebook()).current()
    engine.dispose()
    assert said_of(store.current()) == said_of(found)
    assert [Path(one.source).suffix for one in found] == [Path(name).suffix] * 3


def test_some_labels_are_exported(store: LabelStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Of a document, of an annotator; a file is replaced whole or stays as it was."""
    store.add([some(), some(document="e"), some(annotator="bea")])
    file = tmp_path / "a.csv"
    assert export_labels([str(file), "--document", "d", "--annotator", "ann"]) == 0
    assert "1 label in" in capsys.readouterr().out
    assert export_labels([str(file), "--document", "d", "--document", "e"]) == 0
    assert "3 labels in" in capsys.readouterr().out
    assert sorted(one.name for one in tmp_path.iterdir() if one.suffix != ".db" and "db-" not in one.name) == ["a.csv"]
    assert export_labels([str(tmp_path / "no" / "a.csv")]) == 1
    assert "cannot be written: No such file or directory" in capsys.readouterr().err
    assert export_labels([str(tmp_path / "a")]) == 1
    assert "name a file that ends in .csv or .tsv, or the format with --format (doccano, " in capsys.readouterr().err


def test_a_folder_is_not_written_over(store: LabelStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A dataset's folder appears whole, and only under a new name."""
    pytest.importorskip("pyarrow")
    folder = tmp_path / "out" / "labels"
    folder.parent.mkdir()
    assert export_labels([str(folder), "--format", "huggingface"]) == 0
    assert sorted(one.name for one in folder.parent.rglob("*")) == ["README.md", "data.parquet", "labels"]
    assert export_labels([str(folder), "--format", "huggingface"]) == 1
    assert "there is something of that name" in capsys.readouterr().err


def test_the_configuration_of_a_tool(store: LabelStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Printed or written, for the tools that take one."""
    assert export_labels(["--config", "--format", "label-studio"]) == 0
    assert '<Choices name="tags"' in capsys.readouterr().out
    assert export_labels(["--config", "--format", "doccano", str(tmp_path / "types.json")]) == 0
    assert [one["text"] for one in json.loads((tmp_path / "types.json").read_text(encoding="utf-8"))] == [
        ADVOCACY, SANCTIONS, VICTIMS, HISTORY
    ]  # fmt: skip
    assert export_labels(["--config", "--format", "csv"]) == 1
    assert "--config needs a --format whose tool takes one (doccano, label-studio)" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda path: None, "cannot be read: No such file or directory"),
        (lambda path: path.write_text("x"), "the format cannot be told from the file; name it with --format (doccano, "),
    ],
)
def test_files_that_say_nothing(
    make: Callable[[Path], object], said: str, store: LabelStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line, and the status."""
    make(tmp_path / "a.json")
    assert import_labels([str(tmp_path / "a.json")]) == 1
    assert f"tagger labels import: {tmp_path / 'a.json'}: {said}" in capsys.readouterr().err
    assert store.newest() == 0


def test_the_commands_are_there(tmp_path: Path, root: Path) -> None:
    """As one types them: a file is imported into the state folder's database, and exported from it."""
    file = written(tmp_path / "a.csv", CSV + "d,Act.,ann,yes,no,\n")
    settings = {name: value for name, value in os.environ.items() if name != "TAGGER_DATABASE"} | {
        "TAGGER_STATE": str(tmp_path)
    }
    for command in (["import", file], ["export", str(tmp_path / "b.jsonl"), "--format", "prodigy"]):
        subprocess.run([*TAGGER, "labels", *command], cwd=root, env=settings, check=True, capture_output=True)
    assert json.loads((tmp_path / "b.jsonl").read_text(encoding="utf-8"))["accept"] == [ADVOCACY]


def test_a_database_that_cannot_be_opened_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """By both commands."""
    monkeypatch.setenv("TAGGER_DATABASE", f"sqlite:///{tmp_path}")
    assert export_labels([str(tmp_path / "a.csv")]) == 1
    assert import_labels([written(tmp_path / "a.csv", CSV)]) == 1
    assert capsys.readouterr().err.count("cannot be opened") == 2


def test_a_database_that_may_only_be_read_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """An import says so in a line and keeps nothing; what only reads goes on working."""
    url = f"sqlite:///{tmp_path / 'tagger.db'}"
    monkeypatch.setenv("TAGGER_DATABASE", url)
    first = written(tmp_path / "first.csv", CSV + "d,Act.,ann,yes,no,\n")
    assert import_labels([first]) == 0
    make_read_only(monkeypatch)
    file = written(tmp_path / "a.csv", CSV + "d,Act now.,ann,yes,no,\n")
    capsys.readouterr()
    assert import_labels([file]) == 1
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith(f"tagger labels import: {url}: cannot be written: ")
    assert line.endswith("; nothing was kept")
    assert import_labels([file, "--dry-run"]) == 0
    assert export_labels([str(tmp_path / "b.csv")]) == 0
    assert "Act now." not in (tmp_path / "b.csv").read_text(encoding="utf-8")


def test_a_database_that_stops_answering_is_told(
    store: LabelStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Not only one that cannot be opened: one line from both commands."""

    def away(*_: object, **__: object) -> None:
        statement = "SELECT"
        raise OperationalError(statement, {}, Exception("database is locked"))

    monkeypatch.setattr(LabelStore, "add", away)
    monkeypatch.setattr(LabelStore, "current", away)
    assert import_labels([written(tmp_path / "a.csv", CSV + "d,Act.,ann,yes,no,\n")]) == 1
    assert export_labels([str(tmp_path / "b.csv")]) == 1
    assert capsys.readouterr().err.splitlines() == [
        "tagger labels import: the database does not answer: database is locked; nothing was kept",
        "tagger labels export: the database does not answer: database is locked",
    ]
