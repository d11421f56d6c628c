"""`tagger summary` reads every format that `tagger score` writes, alike; and says what is wrong with other files."""

import json
import os
from pathlib import Path

import pytest

from serving.batch.command import main as score
from serving.batch.scores import ScoresError, read_scores
from serving.batch.summary import main

pytest.importorskip("pyarrow")


def test_all_formats_are_read_alike(quick_bundle: Path, tmp_path: Path, root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Rows of CSV, TSV, Parquet and JSON lines have one shape, errors too; the printed counts are the same."""
    bad = tmp_path / "bad.jsonl"
    bad.write_text('{"text": ""}\n', encoding="utf-8")
    printed, rows = set(), []
    for name in ("a.jsonl", "b.csv", "c.tsv", "d.parquet"):
        out = tmp_path / name
        assert score([str(root / "seeds"), str(bad), "-o", str(out), "--bundle", str(quick_bundle)]) == 1
        capsys.readouterr()
        assert main([str(out), "--review"]) == 0
        printed.add(capsys.readouterr().out)
        rows.append([json.dumps(row, sort_keys=True) for row in read_scores(out)])
    assert len(printed) == 1
    assert "584" in printed.pop()
    first = [json.loads(row) for row in rows[0]]
    for other in rows[1:]:
        for one, two in zip(first, map(json.loads, other), strict=True):
            for name in ("document", "start", "end", "tags", "scores", "review", "error", "model"):
                assert two.get(name) == one.get(name)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.jsonl", b"{\n"),
        ("b.jsonl", b'{"document": "x", "tags": {}}\n'),
        ("c.jsonl", b"\xff\n"),
        ("d.csv", b"a,b\n"),
        ("e.parquet", b"PAR1"),
        ("f.csv", b"document,tags,review,error_code,error_detail,start\nx,,,,,word\n"),
    ],
)
def test_other_files_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, content: bytes) -> None:
    """One line that names the file, status 2."""
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(ScoresError):
        list(read_scores(path))
    assert main([str(path)]) == 2
    assert name in capsys.readouterr().err
    assert main([str(tmp_path / "none.jsonl")]) == 2


def lines(path: Path, *tags: str) -> Path:
    """A row of a run for each tag."""
    rows = [{"document": "d", "text": tag, "tags": [tag], "scores": {tag: 0.9}, "review": []} for tag in tags]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.mark.parametrize("option", ["--to-labels", "--html"])
def test_an_input_is_never_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], option: str
) -> None:
    """By its name, by another spelling, by links of both kinds, or as a file of the folder that is read."""
    scores = lines(tmp_path / "in.jsonl", "a")
    before = scores.read_bytes()
    (tmp_path / "deep").mkdir()
    (tmp_path / "link.jsonl").symlink_to(scores)
    os.link(scores, tmp_path / "hard.jsonl")
    monkeypatch.chdir(tmp_path / "deep")
    for name in (str(scores), "../in.jsonl", "../deep/../in.jsonl", "../link.jsonl", "../hard.jsonl"):
        assert main([str(scores), option, name]) == 2
        assert f"{name} is the input and an output; name another output" in capsys.readouterr().err
        assert main([name, option, str(scores)]) == 2
    assert scores.read_bytes() == before
    assert (tmp_path / "link.jsonl").is_symlink()
    folder = tmp_path / "out.parquet"
    folder.mkdir()
    assert main([str(folder), option, str(folder / "0.parquet")]) == 2
    assert list(folder.iterdir()) == []


def test_a_page_and_labels_need_two_names(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One would replace the other."""
    one = str(tmp_path / "one")
    assert main([str(lines(tmp_path / "in.jsonl", "a")), "--html", one, "--to-labels", one]) == 2
    assert "one is named for two outputs" in capsys.readouterr().err
    assert not Path(one).exists()
    assert main([str(tmp_path / "in.jsonl"), "--html", str(tmp_path)]) == 2
    assert "is no file that could be replaced" in capsys.readouterr().err


def test_a_tag_that_no_row_knows_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With those that there are, of all rows; nothing is written. Where nothing was scored no tag is wrong."""
    scores, labels = lines(tmp_path / "in.jsonl", "a", "b"), tmp_path / "labels.jsonl"
    assert main([str(scores), "--tag", "a", "--tag", "foo", "--to-labels", str(labels)]) == 2
    assert f"'foo' is no tag of {scores} (tags: a, b)" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["in.jsonl"]
    assert main([str(scores), "--tag", "b", "--to-labels", str(labels)]) == 0
    assert [json.loads(line)["text"] for line in labels.read_text(encoding="utf-8").splitlines()] == ["b"]
    assert main([str(lines(tmp_path / "empty.jsonl")), "--tag", "foo"]) == 0


def test_a_file_that_is_not_there_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The path and the reason, without the number of an error."""
    for name in ("nosuch.jsonl", "nosuch.parquet"):
        assert main([str(tmp_path / name)]) == 2
        assert capsys.readouterr().err == f"tagger summary: {tmp_path / name}: no such file\n"
    assert main([str(tmp_path)]) == 2
    assert capsys.readouterr().err == f"tagger summary: {tmp_path}: Is a directory\n"
    labels = tmp_path / "none" / "labels.jsonl"
    assert main([str(lines(tmp_path / "in.jsonl", "a")), "--to-labels", str(labels)]) == 2
    assert capsys.readouterr().err == f"tagger summary: {labels}: cannot be written: No such file or directory\n"


def test_a_file_of_labels_is_not_replaced(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Somebody may have filled it in."""
    labels = tmp_path / "labels.jsonl"
    labels.write_text("work", encoding="utf-8")
    assert main([str(lines(tmp_path / "in.jsonl", "a")), "--to-labels", str(labels)]) == 2
    assert f"{labels} exists already" in capsys.readouterr().err
    assert labels.read_text(encoding="utf-8") == "work"
