"""`tagger summary` reads every format that `tagger score` writes, alike; and says what is wrong with other files."""

import json
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
    for name in ("a.jsonl", "a.csv", "a.tsv", "a.parquet"):
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
