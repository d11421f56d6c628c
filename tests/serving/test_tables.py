"""Tables in and out: columns found or named, bad rows told, every output format holds the same rows."""

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest

from serving.batch.command import main
from serving.batch.outputs import flat

pa = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")

SENTENCES = ["We urge the council to act.", "They met on Monday, at noon;\nall came.", "Freeze the “assets” of officials."]


def scored(bundle: Path, *arguments: object) -> int:
    """The command with the quick bundle."""
    return main([*map(str, arguments), "--bundle", str(bundle)])


def rows_of(path: Path) -> list[dict[str, Any]]:
    """The rows of a JSON-lines file."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def table(path: Path, rows: list[dict[str, Any]], delimiter: str = ",", encoding: str = "utf-8") -> Path:
    """A CSV file."""
    with path.open("w", encoding=encoding, newline="") as out:
        writer = csv.DictWriter(out, fieldnames=list(rows[0]), delimiter=delimiter)
        writer.writeheader()
        writer.writerows(rows)
    return path


@pytest.mark.parametrize(
    ("name", "delimiter", "encoding"),
    [
        ("a.csv", ",", "utf-8"),
        ("b.csv", ";", "utf-8-sig"),
        ("c.tsv", "\t", "utf-8"),
        ("d.csv", ",", "cp1252"),
        ("e.csv", "|", "utf-16"),
    ],
)
def test_a_csv_is_read_whatever_its_marks(quick_bundle: Path, tmp_path: Path, name: str, delimiter: str, encoding: str) -> None:
    """Delimiter and encoding are found; quoted line ends stay in their cell; `id` comes along."""
    source = table(tmp_path / name, [{"id": n, "passage": text} for n, text in enumerate(SENTENCES)], delimiter, encoding)
    out = tmp_path / "out.jsonl"
    assert scored(quick_bundle, source, "-o", out) == 0
    assert [(row["row"], row["id"], row["text"]) for row in rows_of(out)] == [
        (n + 1, str(n), text) for n, text in enumerate(SENTENCES)
    ]


def test_parquet_in_and_a_named_column(quick_bundle: Path, tmp_path: Path) -> None:
    """Named columns are read, empty cells are told, numbers as ids stay numbers."""
    source = tmp_path / "in.parquet"
    parquet.write_table(pa.table({"n": [1, 2, 3], "said": ["One.", None, "Three."], "lead": ["We say:", "", None]}), source)
    out = tmp_path / "out.jsonl"
    run: list[Any] = [quick_bundle, source, "-o", out, "--text-column", "said", "--context-column", "lead", "--id-column", "n"]
    assert scored(run[0], *run[1:]) == 1
    rows = rows_of(out)
    assert [row["id"] for row in rows] == [1, 2, 3]
    assert (rows[0]["context"], rows[2]["context"]) == ("We say:", "")
    assert "`said` is NoneType" in rows[1]["error"]["detail"]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.csv", b"a,b\n1,2\n", "none of the columns (a, b) is one of text, passage"),
        ("b.csv", b"", "the table is empty"),
        ("c.csv", b'text\n"unclosed', "cannot be read: unexpected end of data"),
        ("d.parquet", b"PAR1 no", "is no whole Parquet file"),
        ("e.csv", b"text,n\nfine,1\nshort\n", "row 2 has 1 cells, the head of the table 2"),
    ],
)
def test_a_table_that_cannot_be_read_is_told(quick_bundle: Path, tmp_path: Path, name: str, content: bytes, said: str) -> None:
    """One row with the reason, and the run goes on with the next input."""
    bad, good, out = tmp_path / name, tmp_path / "z.txt", tmp_path / "out.jsonl"
    bad.write_bytes(content)
    good.write_text("Fine.", encoding="utf-8")
    assert scored(quick_bundle, bad, good, "-o", out) == 1
    rows = rows_of(out)
    assert said in next(row for row in rows if "error" in row)["error"]["detail"]
    assert rows[-1]["text"] == "Fine."


def test_all_outputs_hold_the_same_rows(quick_bundle: Path, tmp_path: Path, root: Path) -> None:
    """JSON lines, CSV, TSV and Parquet agree to the last digit, errors too; a summary a document stands beside."""
    lines = tmp_path / "in.jsonl"
    lines.write_text('{"text": "We urge you."}\n{"text": ""}\n', encoding="utf-8")
    inputs = [root / "seeds", lines]
    for name in ("a.jsonl", "b.csv", "c.tsv", "d.parquet"):
        assert scored(quick_bundle, *inputs, "-o", tmp_path / name) == 1
    rows = rows_of(tmp_path / "a.jsonl")
    tags = list(rows[0]["scores"])
    expected = [flat(row, tags, joined=False) for row in rows]
    assert parquet.read_table(tmp_path / "d.parquet").to_pylist() == expected
    for name, delimiter in (("b.csv", ","), ("c.tsv", "\t")):
        with (tmp_path / name).open(encoding="utf-8", newline="") as file:
            found = list(csv.DictReader(file, delimiter=delimiter))
        for row, want in zip(found, rows, strict=True):
            assert row == {key: "" if value is None else str(value) for key, value in flat(want, tags, joined=True).items()}
    documents = rows_of(tmp_path / "a.documents.jsonl")
    assert [Path(one["document"]).name for one in documents][-1] == "in.jsonl"
    assert sum(one["passages"] for one in documents) == 584 + 1
    assert (documents[-1]["failed"], len(documents[-1]["errors"])) == (1, 1)
    for tag in tags:
        assert sum(one["tags"][tag] for one in documents) == sum(tag in row.get("tags", []) for row in rows)


def test_rows_are_chosen(quick_bundle: Path, tmp_path: Path, root: Path) -> None:
    """By tag, by score, with other thresholds, without text; and the text of documents is kept on request."""
    seeds, out = root / "seeds", tmp_path / "out.jsonl"
    scored(quick_bundle, seeds, "-o", out)
    whole = rows_of(out)
    scored(quick_bundle, seeds, "-o", out, "--tag", "advocacy_call", "--no-text", "--restart")
    assert [row["start"] for row in rows_of(out)] == [row["start"] for row in whole if "advocacy_call" in row["tags"]]
    assert not any("text" in row or "context" in row for row in rows_of(out))
    scored(quick_bundle, seeds, "-o", out, "--min-score", "0.6", "--restart")
    assert rows_of(out) == [row for row in whole if max(row["scores"].values()) >= 0.6]
    texts = tmp_path / "texts"
    scored(quick_bundle, seeds, "-o", out, "--threshold", "historical_case:0", "--keep-text", texts, "--restart")
    rows = rows_of(out)
    assert all("historical_case" in row["tags"] for row in rows)
    kept = {path.name[6:-4]: path.read_text(encoding="utf-8") for path in texts.iterdir()}
    for row in rows:
        assert kept[Path(row["document"]).name][row["start"] : row["end"]] == row["text"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--threshold", "advocacy_call:7"], "give TAG:VALUE with a value from 0 to 1"),
        (["--threshold", "advocacy:0.5"], "'advocacy' is no tag of this model"),
        (["--tag", "nonsense"], "'nonsense' is no tag of this model"),
        (["-o", "out.xlsx"], "ends in .jsonl, .csv, .tsv or .parquet"),
        (["--profile", "enormous"], "give one of both"),
    ],
)
def test_a_wrong_option_is_told_before_anything_is_done(
    quick_bundle: Path,
    tmp_path: Path,
    root: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    said: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The value and what is allowed; nothing is left behind."""
    monkeypatch.chdir(tmp_path)
    assert scored(quick_bundle, root / "seeds", *(["-o", "out.jsonl"] if "-o" not in arguments else []), *arguments) == 2
    assert said in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_patterns_folders_and_standard_input(
    quick_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`**` finds files below, what matches nothing is told, `-` reads lines or text."""
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "x.txt").write_text("Words of x.", encoding="utf-8")
    out = tmp_path / "out.jsonl"
    assert scored(quick_bundle, tmp_path / "a" / "**" / "*.txt", "-o", out) == 0
    assert [row["text"] for row in rows_of(out)] == ["Words of x."]
    assert scored(quick_bundle, tmp_path / "a" / "*.pdf", "-o", out) == 2
    assert "no file matches" in capsys.readouterr().err
    (tmp_path / "empty").mkdir()
    assert scored(quick_bundle, tmp_path / "empty", "-o", out) == 2
    assert "no file of a known type" in capsys.readouterr().err
    for content, more, field in (
        ('{"text": "A line."}\n', [], "line"),
        ("A text.\n", [], "start"),
        ("text\nA row.\n", ["--stdin-type", "csv"], "row"),
    ):
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BufferedReader(io.BytesIO(content.encode()))))
        assert scored(quick_bundle, "-", "-o", out, *more, "--restart") == 0
        [row] = rows_of(out)
        assert field in row


def test_the_summary_for_scripts(quick_bundle: Path, tmp_path: Path, root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """--json prints counts that scripts read."""
    out = tmp_path / "out.csv"
    assert scored(quick_bundle, root / "seeds", "-o", out, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["passages"], found["rows"], found["failed"], found["output"]) == (584, 584, 0, str(out))


def test_odd_cells_are_no_crash(quick_bundle: Path, tmp_path: Path) -> None:
    """Dates, bytes and numbers that are none as ids; carriage returns in cells; text that is no UTF-8 late in a table."""
    import datetime as dt

    day = dt.date(2026, 1, 2)
    source, out = tmp_path / "in.parquet", tmp_path / "out.jsonl"
    parquet.write_table(pa.table({"id": [day, day], "text": ["One.", "Two."]}), source)
    assert scored(quick_bundle, source, "-o", out) == 0
    assert [row["id"] for row in rows_of(out)] == ["2026-01-02"] * 2
    parquet.write_table(pa.table({"id": [float("nan")], "text": ["One."]}), source)
    assert scored(quick_bundle, source, "-o", out, "--restart") == 0
    assert rows_of(out)[0]["id"] == "nan"
    lines = tmp_path / "a.jsonl"
    lines.write_text(json.dumps({"text": "One\rtwo."}) + "\n", encoding="utf-8")
    assert scored(quick_bundle, lines, "-o", tmp_path / "lines.csv") == 0
    with (tmp_path / "lines.csv").open(encoding="utf-8", newline="") as file:
        assert [row["text"] for row in csv.DictReader(file)] == ["One\rtwo."]
    late = tmp_path / "late.csv"
    late.write_bytes(
        b"text\n" + b"Plain words stand here.\n" * 60_000 + "Das Café von São Paulo wird geöffnet.\n".encode("cp1252")
    )
    assert scored(quick_bundle, late, "-o", out, "--min-score", "1", "--threads", "2", "--restart") == 0
    from serving.batch.tables import Columns
    from serving.batch.tables import rows_of as table_rows

    with late.open("rb") as binary:
        assert [row.text for row in table_rows(binary, "csv", Columns(), late.stat().st_size)][-1] == (
            "Das Café von São Paulo wird geöffnet."
        )


def test_nothing_is_skipped_without_a_word(quick_bundle: Path, tmp_path: Path) -> None:
    """Empty documents and tables, links that lead nowhere, and documents without a wanted row are told of."""
    folder, out = tmp_path / "in", tmp_path / "out.jsonl"
    folder.mkdir()
    (folder / "a.txt").write_text("12\n\n34\n", encoding="utf-8")
    (folder / "b.jsonl").write_text("", encoding="utf-8")
    (folder / "c.txt").symlink_to(tmp_path / "nowhere")
    (folder / "d.txt").write_text("Plain words.", encoding="utf-8")
    assert scored(quick_bundle, folder, "-o", out, "--min-score", "1") == 1
    assert [row["error"]["code"] for row in rows_of(out)] == ["no_text", "no_text", "unreadable"]
    documents = rows_of(tmp_path / "out.documents.jsonl")
    assert [(Path(one["document"]).name, one["passages"]) for one in documents] == [
        ("a.txt", 0),
        ("b.jsonl", 0),
        ("c.txt", 0),
        ("d.txt", 1),
    ]


def test_texts_that_are_kept_are_no_inputs(quick_bundle: Path, tmp_path: Path) -> None:
    """Also when they lie in the folder that is scored; nor is a folder an output."""
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "a.txt").write_text("Words.", encoding="utf-8")
    for more in ([], ["--restart"]):
        assert scored(quick_bundle, folder, "-o", tmp_path / "out.jsonl", "--keep-text", folder / "texts", *more) == 0
        assert len(rows_of(tmp_path / "out.jsonl")) == 1
    assert scored(quick_bundle, folder, "-o", folder) == 2
    with pytest.raises(SystemExit):
        scored(quick_bundle, folder, "--threads", "-1")


def test_urls_are_read_by_the_local_engine_too(
    quick_bundle: Path, tmp_path: Path, root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A folder, a pattern and a file by URL; one that is not there is told."""
    pytest.importorskip("fsspec")
    out, plain = tmp_path / "out.jsonl", tmp_path / "plain.jsonl"
    assert scored(quick_bundle, f"file://{root}/seeds", f"file://{root}/seeds/003*.txt", "-o", out) == 0
    assert scored(quick_bundle, root / "seeds", root / "seeds" / "003*.txt", "-o", plain) == 0
    assert [row["scores"] for row in rows_of(out)] == [row["scores"] for row in rows_of(plain)]
    assert scored(quick_bundle, f"file://{root}/nothing-*.txt", "-o", out) == 2
    assert "no file of a known type" in capsys.readouterr().err
    assert scored(quick_bundle, "nonsense://x/y.txt", "-o", out) == 2
    assert "cannot be listed" in capsys.readouterr().err
