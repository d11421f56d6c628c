import json
from pathlib import Path

import pytest

from labels import cli
from labels.cli import main
from labels.corpus import LABELS
from labels.problems import CorpusError, Problem


def test_check_of_the_committed_labels_counts_them(capsys: pytest.CaptureFixture[str]) -> None:
    """The committed corpus has no problem, and the command says how much it holds."""
    assert main(["check"]) == 0
    assert capsys.readouterr().out.startswith("584 passages of 5 documents, no problems: advocacy_call ")


def test_agree_tells_what_was_decided_and_why(capsys: pytest.CaptureFixture[str]) -> None:
    """Every disputed tag has its line: the passage, the decision, who decided, the reason."""
    assert main(["agree"]) == 0
    told = capsys.readouterr().out
    decided = [json.loads(line) for line in (LABELS / "adjudications.jsonl").read_text(encoding="utf-8").splitlines()]
    assert decided
    for row in decided:
        for name, holds in row["tags"].items():
            assert (
                f"{row['passage']} {name}: {'yes' if holds else 'no'}, by {row['adjudicator']}: {row['reason'][name]}" in told
            )


def test_build_writes_what_is_committed() -> None:
    """Building again changes nothing: the flat file is up to date."""
    before = (LABELS / "gold.jsonl").read_bytes()
    assert main(["build"]) == 0
    assert before == (LABELS / "gold.jsonl").read_bytes()


def test_problems_go_to_stderr_and_the_status(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Each problem is a line, their number comes last, and the status tells."""
    problems = [Problem(file="f", line=1, message="one"), Problem(file="f", message="two")]
    monkeypatch.setattr(cli, "check_corpus", lambda: problems)
    assert main(["check"]) == 1
    assert capsys.readouterr().err == "f:1: one\nf: two\n2 problems\n"


def test_build_refuses_a_broken_corpus(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing is written from labels that have problems."""

    def broken() -> None:
        raise CorpusError([Problem(file="f", line=2, message="bad")])

    monkeypatch.setattr(cli, "load_corpus", broken)
    assert main(["build"]) == 1
    assert "f:2: bad" in capsys.readouterr().err


def test_passages_of_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A text's passages are printed as JSON lines."""
    path = tmp_path / "a.txt"
    path.write_text("States should:\n- act\n", encoding="utf-8")
    assert main(["passages", str(path)]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["context"] for row in rows] == ["", "States should:"]


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Missing and undecodable files are errors with their path."""
    path = tmp_path / "a.txt"
    assert main(["passages", str(path)]) == 1
    path.write_bytes(b"ab\xff")
    assert main(["passages", str(path)]) == 1
    assert f"{path}: cannot be read: No such file or directory\n{path}: not UTF-8: byte 2 is 0xff\n" == capsys.readouterr().err
