"""Files of other tools: what is written is read back as the same labels, and what the tools themselves write is understood."""

import json
import sys
import zipfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import Phase, example, given, settings
from hypothesis import strategies as st

from labels.codebook import load_codebook
from labels.formats.rows import FormatError, Reading, Row
from labels.formats.table import FORMATS, format_of
from labels.store import Label, NewLabel, passage_key, problems_of

CODEBOOK = load_codebook()
ADVOCACY, SANCTIONS, VICTIMS, HISTORY = CODEBOOK.names
READING = Reading(codebook=CODEBOOK, source="test")
FILES = {
    "doccano": "labels.jsonl",
    "label-studio": "labels.json",
    "prodigy": "labels.jsonl",
    "csv": "labels.csv",
    "tsv": "labels.tsv",
    "huggingface": "labels",
}
NASTY = [
    "=1+1",
    "- act;\nnow",
    "'=a",
    "''",
    ' "quoted", ',
    "a\r\nb\rc",
    "\ttab\t",
    "@x",
    "\u2028\x85|",
    "tags;tags",
    "null",
    "[",
    "'- b",
]

strings = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=60) | st.sampled_from(NASTY)
needed = strings.filter(str.strip)
names = needed.map(str.strip)


@st.composite
def some_label(draw: st.DrawFn) -> Label:
    """Any label that the store holds."""
    tags = {name: draw(st.sampled_from([True, False, None])) for name in CODEBOOK.names}
    if tags[SANCTIONS]:
        tags[ADVOCACY] = True
    if all(holds is None for holds in tags.values()):
        tags[HISTORY] = draw(st.booleans())
    return label(
        text=draw(needed),
        context=draw(strings),
        document=draw(names),
        annotator=draw(names),
        kind=draw(st.sampled_from(["human", "llm", "rule"])),
        suggested=draw(st.booleans()),
        key=draw(needed),
        tags=tags,
    )


def label(**fields: Any) -> Label:
    """A row of the store."""
    values: dict[str, Any] = {
        "id": 1,
        "key": "k",
        "document": "d",
        "text": "We urge the Council to act.",
        "context": "",
        "tags": {name: name == ADVOCACY for name in CODEBOOK.names},
        "annotator": "ann",
        "kind": "human",
        "codebook": CODEBOOK.version,
        "suggested": False,
        "source": "test",
        "at": "2026-01-01T00:00:00.000+00:00",
        "supersedes": None,
    } | fields
    return Label(passage=passage_key(values["text"], values["context"]), **values)


def as_new(one: Label) -> NewLabel:
    """What somebody judged, of a row of the store."""
    names = ("document", "text", "tags", "annotator", "context", "kind", "codebook", "suggested", "source", "key")
    return NewLabel(**{name: getattr(one, name) for name in names})


def read(form: str, path: Path, reading: Reading = READING) -> list[Row]:
    """All rows of a file."""
    return [*FORMATS[form].read(path, reading)]


def labels_of(rows: Sequence[Row]) -> list[NewLabel]:
    """The labels of rows that all have one, and that the store would take."""
    assert [row.problems for row in rows if row.problems] == []
    found = [row.label for row in rows if row.label]
    assert [problem for one in found for problem in problems_of(one, CODEBOOK)] == []
    return found


def lines(path: Path, *values: object) -> Path:
    """A file of JSON lines."""
    path.write_text("".join(json.dumps(value) + "\n" for value in values), encoding="utf-8")
    return path


@pytest.mark.parametrize("form", FORMATS)
@given(labels=st.lists(some_label(), min_size=1, max_size=4))
@example(labels=[label(text=text, context=text, document=text.strip(), annotator=text.strip(), key=text) for text in NASTY])
@settings(phases=[Phase.explicit, Phase.generate], max_examples=40)
def test_what_is_written_is_read_back(form: str, labels: list[Label], tmp_path_factory: pytest.TempPathFactory) -> None:
    """Export, import: the same labels, whatever their texts hold and whichever tags were not judged."""
    if form == "huggingface":
        pytest.importorskip("pyarrow")
    path = tmp_path_factory.mktemp("out") / FILES[form]
    FORMATS[form].write(path, labels, CODEBOOK)
    assert format_of(path) == form
    assert [as_new(one) for one in labels] == labels_of(read(form, path))


@pytest.mark.parametrize("form", ["doccano", "label-studio", "prodigy"])
def test_a_row_corrected_in_the_tool_loses_its_key(form: str, tmp_path: Path) -> None:
    """The key stands for what was exported: with other tags it would be refused as used for another label."""
    path = tmp_path / FILES[form]
    FORMATS[form].write(path, [label(), label(text="Another.", key="l")], CODEBOOK)
    written = path.read_text(encoding="utf-8")
    corrected = {
        "doccano": ('"label": ["advocacy_call"]', '"label": ["advocacy_call", "sanctions_demand"]'),
        "label-studio": ('{"choices": ["advocacy_call"]', '{"choices": ["advocacy_call", "sanctions_demand"]'),
        "prodigy": ('"accept": ["advocacy_call"]', '"accept": ["advocacy_call", "sanctions_demand"]'),
    }[form]
    path.write_text(written.replace(*corrected, 1), encoding="utf-8")
    first, second = labels_of(read(form, path))
    assert (first.key, first.annotator, first.tags[SANCTIONS], first.tags[HISTORY]) == ("", "ann", True, False)
    assert second == as_new(label(text="Another.", key="l"))


@pytest.mark.parametrize("form", FORMATS)
def test_what_the_caller_says_holds_for_every_row(form: str, tmp_path: Path) -> None:
    """Document, annotator and kind given by hand replace the file's, and its key is not taken for another's label."""
    if form == "huggingface":
        pytest.importorskip("pyarrow")
    FORMATS[form].write(tmp_path / FILES[form], [label()], CODEBOOK)
    reading = replace(READING, annotator="bea", kind="rule", document="other", suggested=True)
    [one] = labels_of(read(form, tmp_path / FILES[form], reading))
    assert (one.annotator, one.kind, one.document, one.suggested, one.key) == ("bea", "rule", "other", True, "")


def test_doccano_exports_are_read(tmp_path: Path) -> None:
    """A missing tag is false; an example that nobody labelled is skipped, unless that is said to mean none."""
    path = lines(
        tmp_path / "all.jsonl",
        {"id": 7, "text": "Act now.", "page": 3, "label": ["advocacy_call"], "Comments": []},
        {"id": 8, "text": "Not seen.", "page": 4, "label": [], "Comments": ["?"]},
        {"id": 9, "text": "Spans", "page": 4, "label": [[0, 3, "X"]]},
        {"id": 10, "text": None, "page": None, "label": ["protest"]},
    )
    reading = replace(READING, annotator="ann", document_from="page")
    one, skipped, spans, broken = read("doccano", path, reading)
    assert one.label == NewLabel(
        document="3",
        text="Act now.",
        tags={name: name == ADVOCACY for name in CODEBOOK.names},
        annotator="ann",
        source="test",
    )
    assert (one.line, skipped.label, skipped.skipped[:8], spans.problems[0][0], spans.line) == (1, None, "no label", "tags", 3)
    assert [field for field, _ in broken.problems] == ["text", "page"]
    [_, none, *_] = read("doccano", path, replace(reading, empty_is_none=True))
    assert none.label
    assert set(none.label.tags.values()) == {False}
    [missing] = read("doccano", lines(tmp_path / "b.jsonl", {"text": "x", "labels": []}))
    assert missing.problems[0][0] == "label"


def test_doccano_is_given_ascii(tmp_path: Path) -> None:
    """It guesses a file's encoding, and takes UTF-8 with few other letters for Windows-1252."""
    path = tmp_path / "a.jsonl"
    FORMATS["doccano"].write(path, [label(text="États")], CODEBOOK)
    assert path.read_bytes().isascii()
    assert labels_of(read("doccano", path))[0].text == "États"


def test_archives_of_doccano_are_read(tmp_path: Path) -> None:
    """A file a member: what a member says is the member's, what nobody touched is still ours, and an empty list is nothing."""
    exported = tmp_path / "a.jsonl"
    FORMATS["doccano"].write(exported, [label()], CODEBOOK)
    ours = json.loads(exported.read_text(encoding="utf-8"))
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("ann2.jsonl", json.dumps(ours) + "\n")
        archive.writestr("bea.jsonl", json.dumps(ours | {"label": []}) + "\n" + json.dumps(ours | {"label": [HISTORY]}) + "\n")
        archive.writestr("all.jsonl", json.dumps(ours | {"label": []}) + "\n")
    assert format_of(path) == "doccano"
    same, skipped, bea, corrected = read("doccano", path)
    assert same.label == as_new(label())
    assert (skipped.file, skipped.line, skipped.skipped[:8]) == ("bea.jsonl", 1, "no label")
    assert bea.label
    assert (bea.label.annotator, bea.label.document, bea.label.key) == ("bea", "d", "")
    assert bea.label.tags == {ADVOCACY: False, SANCTIONS: False, VICTIMS: False, HISTORY: True}
    assert corrected.label
    assert (corrected.label.annotator, corrected.label.tags[ADVOCACY]) == ("ann", False)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("all.csv", "text,label")
    with pytest.raises(FormatError, match="export as JSONL"):
        read("doccano", path)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("all.jsonl", json.dumps(ours) * 9)
    whole = path.read_bytes()
    path.write_bytes(whole[:50] + b"broken" + whole[56:])
    with pytest.raises(FormatError, match="the archive cannot be read"):
        read("doccano", path)


def test_document_and_annotator_are_asked_for(tmp_path: Path) -> None:
    """A row without them names the options that give them."""
    [row] = read("doccano", lines(tmp_path / "a.jsonl", {"text": "x", "label": ["advocacy_call"]}))
    assert [field for field, _ in row.problems] == ["document", "annotator"]
    assert "--document" in row.problems[0][1]
    assert "--annotator" in row.problems[1][1]


def task(**fields: Any) -> dict[str, Any]:
    """A task of Label Studio as its JSON export holds it, shortened."""
    result = {"id": "Dx1", "type": "choices", "value": {"choices": ["advocacy_call"]}, "origin": "manual"}
    annotation = {
        "id": 11,
        "completed_by": 1,
        "result": [result | {"to_name": "text", "from_name": "tags"}],
        "was_cancelled": False,
        "updated_at": "2026-01-01T10:00:00Z",
        "unique_id": "5f5c",
        "import_id": None,
        "parent_prediction": None,
    }
    return {
        "id": 1,
        "annotations": [annotation],
        "predictions": [],
        "data": {"text": "Act.", "document": "d"},
        "project": 2,
    } | fields


def test_label_studio_exports_are_read(tmp_path: Path) -> None:
    """An annotation is its user's; one that began with a prediction was suggested; cancelled and missing ones are skipped."""
    made = task()["annotations"][0]
    path = tmp_path / "project.json"
    tasks = [
        task(),
        task(predictions=[{"id": 4, "result": []}], annotations=[made | {"completed_by": {"id": 3, "email": "a@b.org"}}]),
        task(annotations=[]),
        task(annotations=[made | {"was_cancelled": True}, made | {"result": [], "completed_by": 2}]),
        task(annotations=[5]),
        task(annotations=[made | {"result": [*made["result"], made["result"][0] | {"from_name": "quality"}]}]),
    ]
    path.write_text(json.dumps(tasks, indent=1), encoding="utf-8")
    assert format_of(path) == "label-studio"
    user, shown, without, cancelled, nothing, ids, controls = read("label-studio", path)
    assert user.label
    assert user.label.annotator == "label-studio:1"
    assert (user.label.suggested, user.label.tags[ADVOCACY], user.label.tags[HISTORY]) == (False, True, False)
    assert user.label.key.startswith("label-studio:5f5c:2026-01-01T10:00:00Z:")
    assert shown.label
    assert (shown.label.annotator, shown.label.suggested) == ("a@b.org", True)
    assert nothing.label
    assert set(nothing.label.tags.values()) == {False}
    assert (without.skipped, cancelled.skipped) == ("not annotated", "skipped by its annotator")
    assert "export as JSON" in ids.problems[0][1]
    assert "quality, tags" in controls.problems[0][1]
    assert controls.line > ids.line > user.line > 1
    assert labels_of(read("label-studio", path, replace(READING, tags_from="tags"))[-1:])[0].tags[ADVOCACY]


def test_a_second_annotation_in_label_studio_is_its_users(tmp_path: Path) -> None:
    """Of a task that was exported here, the annotation that came with the import stays the annotator's; another is not."""
    path = tmp_path / "labels.json"
    FORMATS["label-studio"].write(path, [label()], CODEBOOK)
    [exported] = json.loads(path.read_text(encoding="utf-8"))
    imported = exported["annotations"][0] | {"completed_by": 1, "import_id": 1, "updated_at": "t", "unique_id": "u"}
    exported["annotations"] = [imported, imported | {"import_id": None, "result": [], "unique_id": "v"}]
    path.write_text(json.dumps([exported]), encoding="utf-8")
    first, second = labels_of(read("label-studio", path))
    assert first == as_new(label())
    assert (second.annotator, second.tags[ADVOCACY], second.document) == ("label-studio:1", False, "d")
    assert second.key.startswith("label-studio:v:t:")


def test_label_studio_json_min_is_read(tmp_path: Path) -> None:
    """One choice is a string, several are a list, none is no key at all; a changed annotation of ours is the user's."""
    path = tmp_path / "min.json"
    FORMATS["label-studio"].write(path, [label()], CODEBOOK)
    data = json.loads(path.read_text(encoding="utf-8"))[0]["data"]
    flat = {"id": 1, "annotator": 2, "annotation_id": 9, "updated_at": "2026-01-01", "lead_time": 1.5}
    foreign = {"text": "Act.", "document": "e"} | flat
    rows = [
        data | flat | {"tags": "advocacy_call"},
        data | flat,
        foreign | {"tags": {"choices": ["advocacy_call", "sanctions_demand"]}},
        foreign,
    ]
    path.write_text(json.dumps(rows), encoding="utf-8")
    ours, changed, several, unclear = read("label-studio", path)
    assert ours.label == as_new(label())
    assert changed.label
    assert (changed.label.annotator, changed.label.tags[ADVOCACY]) == ("label-studio:2", False)
    assert several.label
    assert several.label.tags[SANCTIONS] is True
    assert unclear.problems[0][0] == "tags"
    [neither] = read("label-studio", lines(tmp_path / "x.json", {"text": "no task"}))
    assert neither.problems[0][0] == "data"


def test_label_studio_gets_a_configuration() -> None:
    """The control and the text have the names that exported annotations refer to."""
    make = FORMATS["label-studio"].config
    assert make
    written = make(CODEBOOK)
    for words in ('<Choices name="tags" toName="text" choice="multiple"', '<Text name="text"', '<Choice value="advocacy_call"'):
        assert words in written


def test_prodigy_choices_are_read(tmp_path: Path) -> None:
    """A tag that was not offered was not judged; ignored and rejected tasks say nothing."""
    options = [{"id": name, "text": name} for name in (ADVOCACY, HISTORY, "other")]
    base = {"text": "Act.", "options": options, "meta": {"source": "d"}, "_annotator_id": "set-ann", "_task_hash": 5}
    path = lines(
        tmp_path / "a.jsonl",
        base | {"accept": [ADVOCACY], "answer": "accept", "_timestamp": 1700000000},
        base | {"accept": [], "answer": "ignore"},
        base | {"accept": [], "answer": "reject"},
        base | {"accept": ["other"], "answer": "accept"},
        base | {"accept": [], "answer": "yes"},
        {"text": "spans", "answer": "accept", "spans": []},
    )
    assert format_of(path) == "prodigy"
    one, ignored, rejected, unknown, bad, other = read("prodigy", path, replace(READING, document_from="source"))
    assert one.label
    assert one.label.tags == {ADVOCACY: True, HISTORY: False}
    assert (one.label.document, one.label.annotator) == ("d", "set-ann")
    assert one.label.key.startswith("prodigy:5:1700000000:")
    assert ("ignored" in ignored.skipped, "rejected" in rejected.skipped) == (True, True)
    assert unknown.label
    assert [message for field, message in problems_of(unknown.label, CODEBOOK) if "unknown tag 'other'" in message]
    assert (bad.problems[0][0], other.problems[0][0]) == ("answer", "accept")


def test_prodigy_binary_answers_are_joined(tmp_path: Path) -> None:
    """One tag a line: what an annotator said of a passage in several lines is one label, the last answer counts."""
    base = {"text": "Act.", "document": "d", "_session_id": "set-ann"}
    path = lines(
        tmp_path / "a.jsonl",
        base | {"label": ADVOCACY, "answer": "reject"},
        base | {"label": HISTORY, "answer": "reject"},
        base | {"label": VICTIMS, "answer": "ignore"},
        base | {"label": ADVOCACY, "answer": "accept"},
        base | {"label": ADVOCACY, "answer": "accept", "_session_id": "set-bea"},
        base | {"label": ADVOCACY, "answer": "accept", "text": None},
    )
    rows = read("prodigy", path)
    assert [row.line for row in rows if row.problems] == [6]
    ann, bea = labels_of([row for row in rows if row.label])
    assert ann.tags == {ADVOCACY: True, HISTORY: False}
    assert (bea.annotator, bea.tags) == ("set-bea", {ADVOCACY: True})


@pytest.mark.parametrize(
    ("written", "encoding"),
    [
        ("text,document,advocacy_call,historical_case\nAct.,d,yes,\n", "utf-8"),
        ("text;document;advocacy_call;historical_case\r\nAct.;d;TRUE;\r\n", "utf-8-sig"),
        ("text\tdocument\tadvocacy_call\thistorical_case\nAct.\td\t1\t\n", "utf-16"),
    ],
)
def test_tables_of_spreadsheets_are_read(written: str, encoding: str, tmp_path: Path) -> None:
    """Commas, semicolons or tabs, with a byte order mark or as UTF-16: an empty cell was not judged."""
    path = tmp_path / "a.csv"
    path.write_bytes(written.encode(encoding))
    [row] = labels_of(read("csv", path, replace(READING, annotator="ann")))
    assert (row.text, row.document) == ("Act.", "d")
    assert row.tags == {ADVOCACY: True, SANCTIONS: None, VICTIMS: None, HISTORY: None}


def test_a_column_of_tags_is_parted_by_semicolons(tmp_path: Path) -> None:
    """Every tag that is not listed is false; an unknown one stays to be refused."""
    path = tmp_path / "a.csv"
    path.write_text('text,date,tags\n"a\nb",1,advocacy_call; sanctions_demand\nc,2,\nd,3,protest\n', encoding="utf-8")
    both, none, unknown = read("csv", path, replace(READING, annotator="ann", document="d"))
    assert both.label
    assert both.label.tags == {ADVOCACY: True, SANCTIONS: True, VICTIMS: False, HISTORY: False}
    assert none.label
    assert set(none.label.tags.values()) == {False}
    assert unknown.label
    assert unknown.label.tags["protest"] is True
    assert [row.line for row in (both, none, unknown)] == [2, 4, 5]


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("text,protest,advocacy_call\n", "unknown tags or columns: 'protest'"),
        ("text,text,advocacy_call\n", "'text' is there twice"),
        ("passage,advocacy_call\n", "no column 'text'"),
        ("text,document\n", "no column is a tag"),
        ("text,tags,advocacy_call\n", "have columns of their own"),
        ('text,advocacy_call\n"a', "cannot be read"),
        ("", "no column 'text'"),
        ("text,advocacy_call\n\xff\n", "save the table as UTF-8"),
    ],
)
def test_tables_that_are_refused_whole(written: str, said: str, tmp_path: Path) -> None:
    """What a table's head or bytes make of all rows is one error."""
    path = tmp_path / "a.csv"
    path.write_bytes(written.encode("latin-1"))
    with pytest.raises(FormatError, match=said):
        read("csv", path)


def test_columns_that_are_no_tags_can_be_passed_over(tmp_path: Path) -> None:
    """By name or all; cells that are no judgement, and rows with too few cells, are told by line."""
    path = tmp_path / "a.csv"
    path.write_text(
        "text,n,advocacy_call,suggested\nAct.,1,true,no\nb,2,maybe,\nc,3\n\nd,4,,\ne,5,1,perhaps\n", encoding="utf-8"
    )
    for ignored in ("n", "*"):
        rows = read("csv", path, replace(READING, annotator="ann", document="d", ignored=(ignored,)))
        assert [(row.line, row.problems[0][0]) for row in rows if row.problems] == [
            (3, "advocacy_call"),
            (4, ""),
            (7, "suggested"),
        ]
        assert [row.line for row in rows if row.skipped] == [6]
        assert rows[0].label
        assert rows[0].label.suggested is False


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ('[{"text": "a"},\n\n {"text": ]', (3, "is not JSON from here on")),
        ('[{"text": "a"}', (1, "is not JSON from here on")),
        (b'[{"text": "\xff"}]', (None, "not UTF-8")),
    ],
)
def test_json_that_breaks_off_is_named(written: str | bytes, said: tuple[int | None, str], tmp_path: Path) -> None:
    """An array cannot be read past what is no JSON; the line is told."""
    path = tmp_path / "a.json"
    path.write_bytes(written.encode() if isinstance(written, str) else written)
    with pytest.raises(FormatError, match=said[1]) as caught:
        read("label-studio", path)
    assert caught.value.line == said[0]


def test_lines_that_are_no_objects_are_told(tmp_path: Path) -> None:
    """The others are read; blank lines are nothing."""
    path = tmp_path / "a.jsonl"
    path.write_text('\n{"text": "a", "label": []}\n{"text\n\n7\n' + "[" * 100_000 + "\n", encoding="utf-8")
    rows = read("doccano", path)
    assert [(row.line, row.problems[0][1][:11]) for row in rows if row.problems] == [
        (3, "is not JSON"),
        (5, "is int, not"),
        (6, "is not JSON"),
    ]


def test_a_large_array_is_read_as_a_stream(tmp_path: Path) -> None:
    """Elements across the pieces in which a file is read, with the line of each."""
    path = tmp_path / "a.json"
    many = [task(data={"text": f"{number} " + 'é{[\\"' * 100, "document": "d"}) for number in range(3000)]
    path.write_text(json.dumps(many, indent=2, ensure_ascii=False), encoding="utf-8")
    rows = read("label-studio", path)
    assert [one.text for one in labels_of(rows)] == [one["data"]["text"] for one in many]
    written = path.read_text(encoding="utf-8").splitlines()
    assert {written[row.line - 1] for row in rows} == {"  {"}


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("a.jsonl", '{"text": "a"}'),
        ("a.jsonl", "7"),
        ("a.txt", "x"),
        ("a.json", ""),
    ],
)
def test_a_format_that_can_be_mistaken_is_not_guessed(name: str, written: str, tmp_path: Path) -> None:
    """Nothing is taken for what it may not be."""
    path = tmp_path / name
    path.write_text(written, encoding="utf-8")
    assert format_of(path) == ""
    path.write_bytes(b'{"\xff')
    if name != "a.txt":
        with pytest.raises(FormatError):
            format_of(path)


def test_without_pyarrow_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The base install says what is missing."""
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    for use in (
        lambda: FORMATS["huggingface"].write(tmp_path / "x", [], CODEBOOK),
        lambda: read("huggingface", tmp_path / "x.parquet"),
    ):
        with pytest.raises(FormatError, match=r'pip install "passage-tagger\[documents\]"'):
            use()


def test_datasets_loads_what_is_exported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`load_dataset(folder)` gives the columns, null where a tag was not judged."""
    datasets = pytest.importorskip("datasets")
    rows = [
        label(tags=dict.fromkeys(CODEBOOK.names) | {ADVOCACY: True}),
        label(text="b", tags=dict.fromkeys(CODEBOOK.names, False)),
    ]
    FORMATS["huggingface"].write(tmp_path / "labels", rows, CODEBOOK)
    loaded = datasets.load_dataset(str(tmp_path / "labels"), cache_dir=str(tmp_path / "cache"))["train"]
    assert loaded[ADVOCACY] == [True, False]
    assert loaded[HISTORY] == [None, False]
    assert loaded.features[ADVOCACY].dtype == "bool"
    assert (loaded["text"], loaded["document"]) == (["We urge the Council to act.", "b"], ["d", "d"])


def a_dataset(listed: str) -> Any:
    """Three rows, of which the last was not judged; tags as columns, as lists of names, or as lists of numbered classes."""
    datasets = pytest.importorskip("datasets")
    rows: list[dict[str, Any]] = [{"text": f"{number}", "document": "d", "annotator": "ann"} for number in range(3)]
    features = {name: datasets.Value("string") for name in rows[0]}
    if listed == "columns":
        for row, holds in zip(rows, (True, False, None), strict=True):
            row |= {ADVOCACY: holds, HISTORY: holds}
        features |= {name: datasets.Value("bool") for name in (ADVOCACY, HISTORY)}
    else:
        kind = datasets.Value("string") if listed == "names" else datasets.ClassLabel(names=list(CODEBOOK.names))
        for row, tags in zip(rows, ([ADVOCACY, HISTORY], [], None), strict=True):
            row["tags"] = tags
        features["tags"] = datasets.List(kind)
    return datasets.Dataset.from_list(rows, features=datasets.Features(features))


def saved_as(way: str, data: Any, folder: Path) -> Path:
    """A dataset on disk, in one of the ways of the package datasets."""
    datasets = pytest.importorskip("datasets")
    if way == "disk":
        data.save_to_disk(folder)
    elif way == "splits":
        datasets.DatasetDict({"train": data.select([0]), "test": data.select([1, 2])}).save_to_disk(folder)
    elif way == "hub":
        (folder / "data").mkdir(parents=True)
        (folder / "README.md").write_text("a card", encoding="utf-8")
        data.select([0]).to_parquet(folder / "data" / "a-00000-of-00002.parquet")
        data.select([1, 2]).to_parquet(folder / "data" / "a-00001-of-00002.parquet")
    elif way == "parquet":
        data.to_parquet(folder := folder.with_suffix(".parquet"))
    else:
        data.to_json(folder := folder.with_suffix(".jsonl"))
    return folder


@pytest.mark.parametrize("way", ["disk", "splits", "hub", "parquet", "json"])
@pytest.mark.parametrize("listed", ["columns", "names", "classes"])
def test_what_datasets_writes_is_read(way: str, listed: str, tmp_path: Path) -> None:
    """What was not judged is no negative; classes have no names in JSON, where they are refused."""
    found = read("huggingface", saved_as(way, a_dataset(listed), tmp_path / "data"))
    if (way, listed) == ("json", "classes"):
        assert found[0].problems == (("tags", "[0, 3] is not a list of tags"),)
        return
    first, second = labels_of(found)
    assert (first.text, first.tags[ADVOCACY], first.tags[HISTORY], second.tags[ADVOCACY]) == ("0", True, True, False)
    assert first.tags[SANCTIONS] is (None if listed == "columns" else False)
    assert found[-1].skipped == "not judged"


def test_folders_without_data_and_damaged_files_are_refused(tmp_path: Path) -> None:
    """Each names what is wrong."""
    pytest.importorskip("pyarrow")
    with pytest.raises(FormatError, match="no file"):
        read("huggingface", tmp_path)
    (tmp_path / "state.json").write_text("{", encoding="utf-8")
    with pytest.raises(FormatError, match=r"state\.json is not JSON"):
        read("huggingface", tmp_path)
    for suffix in ("parquet", "arrow"):
        (tmp_path / f"a.{suffix}").write_bytes(b"PAR1 nothing")
        with pytest.raises(FormatError, match=f"no whole {suffix} file"):
            read("huggingface", tmp_path / f"a.{suffix}")
    rows = read("huggingface", lines(tmp_path / "a.jsonl", {"text": "a"}))
    assert "no column is a tag" in rows[0].problems[0][1]
