"""`tagger score`: same scores as over HTTP, every bad input a row, and an output that is whole or not there."""

import io
import json
import os
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from labels.passages import split_passages
from serving.batch.command import main

DOCUMENT = """# Report

We urge the council to:

- impose sanctions;
- fund shelters for survivors.

In 1963 a coup toppled Diem.
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a text, a Markdown file below it, lines, and a file of another type."""
    inputs = tmp_path / "inputs"
    (inputs / "deep").mkdir(parents=True)
    (inputs / "a.txt").write_text("One passage.\n\nAnother.", encoding="utf-8")
    (inputs / "deep" / "b.md").write_text(DOCUMENT, encoding="utf-8")
    (inputs / "c.jsonl").write_text(
        '{"text": "We urge you", "id": 7}\n\n{"text": "act", "context": "States should:"}\n', encoding="utf-8"
    )
    (inputs / "d.png").write_bytes(b"\x89PNG")
    return inputs


def run(bundle: Path, *arguments: object) -> int:
    """The command with the quick bundle."""
    return main([*map(str, arguments), "--bundle", str(bundle)])


def rows_of(path: Path) -> list[dict[str, Any]]:
    """The rows of an output file."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_a_folder_is_scored_in_order(quick_bundle: Path, folder: Path, tmp_path: Path) -> None:
    """Texts are cut into passages with offsets, lines are passages, files of other types in a folder are left alone."""
    out = tmp_path / "out.jsonl"
    assert run(quick_bundle, folder, "-o", out) == 0
    rows = rows_of(out)
    assert [Path(row["document"]).name for row in rows] == ["a.txt"] * 2 + ["c.jsonl"] * 2 + ["b.md"] * 5
    for row in rows[4:]:
        assert DOCUMENT[row["start"] : row["end"]] == row["text"]
    assert rows[6]["context"] == "We urge the council to:"
    assert (rows[2]["id"], rows[2]["line"], rows[3]["line"]) == (7, 1, 3)
    assert quick_bundle.name == rows[0]["model"]


def test_scores_are_those_of_http(quick_bundle: Path, folder: Path, tmp_path: Path, client: TestClient) -> None:
    """Every passage of a document has over HTTP the very scores that batch wrote."""
    out = tmp_path / "out.jsonl"
    run(quick_bundle, folder / "deep", "-o", out)
    passages = [{"text": passage.text, "context": passage.context} for passage in split_passages(DOCUMENT)]
    answer = client.post("/v1/tag", json={"passages": passages}).json()
    assert [(result["tags"], result["scores"]) for result in answer["results"]] == [
        (row["tags"], row["scores"]) for row in rows_of(out)
    ]


def test_standard_output(quick_bundle: Path, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Without -o the rows are printed and nothing else."""
    assert run(quick_bundle, folder / "a.txt") == 0
    assert [json.loads(line)["text"] for line in capsys.readouterr().out.splitlines()] == ["One passage.", "Another."]


def test_every_bad_input_is_a_row_and_the_run_goes_on(quick_bundle: Path, folder: Path, tmp_path: Path) -> None:
    """What cannot be read or scored is told where it stood; the status is 1."""
    bad = folder / "bad.jsonl"
    bad.write_bytes(
        b'{\n[]\n{"txt": "a"}\n{"text": "a", "context": 5}\n{"text": ""}\n{"text": "\\ud800"}\n\xff\n{"text": "fine"}\n'
    )
    (folder / "latin.txt").write_bytes(b"\x01\x02\x03" * 3000)
    links, out = folder / "links", tmp_path / "out.jsonl"
    links.mkdir()
    for name in ("none.txt", "none.jsonl"):
        (links / name).symlink_to(tmp_path / "nowhere")
    assert run(quick_bundle, bad, folder / "latin.txt", links, folder / "d.png", "-o", out) == 1
    details = [row["error"]["detail"] if "error" in row else None for row in rows_of(out)]
    expected = [
        "line 1 is not JSON",
        "line 2 is not a JSON object",
        "line 3: `text` is NoneType",
        "line 4: `context` is int",
        "holds no text",
        "character 0 is a lone surrogate",
        "line 7 is not JSON",
        None,
        "full of control characters",
        "cannot be read: No such file",
        "cannot be read: No such file",
        "a file of type '.png' (known: .csv, .docx, .eml, .epub, .htm, .html, .jsonl, .markdown, .md, .ndjson, .parquet",
    ]
    assert len(expected) == len(details)
    for want, found in zip(expected, details, strict=True):
        assert found is None if want is None else want in (found or ""), (want, found)


def test_devices_and_links_are_never_replaced(quick_bundle: Path, folder: Path, tmp_path: Path) -> None:
    """A pipe is written to, a link is followed; both are there afterwards as they were."""
    pipe, link, real = tmp_path / "pipe", tmp_path / "link.jsonl", tmp_path / "real.jsonl"
    os.mkfifo(pipe)
    link.symlink_to(real)
    received: list[str] = []
    reader = threading.Thread(target=lambda: received.append(pipe.read_text(encoding="utf-8")))
    reader.start()
    assert run(quick_bundle, folder / "a.txt", "-o", pipe) == 0
    reader.join()
    assert pipe.is_fifo()
    assert len(received[0].splitlines()) == 2
    assert run(quick_bundle, folder / "a.txt", "-o", link) == 0
    assert link.is_symlink()
    assert len(rows_of(real)) == 2


def test_an_output_is_never_an_input(quick_bundle: Path, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """In a folder the output of the last run and hidden files are left alone; named as an input it is refused."""
    (folder / ".git").mkdir()
    (folder / ".git" / "x.txt").write_text("hidden", encoding="utf-8")
    out = folder / "out.jsonl"
    for more in ([], ["--restart"]):
        assert run(quick_bundle, folder, "-o", out, *more) == 0
        assert len(rows_of(out)) == 9
    assert run(quick_bundle, folder / "c.jsonl", "-o", folder / "c.jsonl") == 2
    assert "is an input and the output" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        run(quick_bundle, folder, "-o", "")


@pytest.mark.parametrize("name", ["many.jsonl", "many.documents.jsonl"])
def test_a_file_that_is_there_is_not_replaced_unasked(
    quick_bundle: Path,
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    name: str,
) -> None:
    """Neither the output nor the documents beside it, whoever wrote them, not even for standard input; `--restart` does."""
    monkeypatch.chdir(tmp_path)
    there = tmp_path / name
    there.write_text("mine", encoding="utf-8")
    before = sorted(tmp_path.iterdir())
    for inputs in (folder, "-"):
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BufferedReader(io.BytesIO(b"A text."))))
        assert run(quick_bundle, inputs, "-o", "many.jsonl") == 2
        assert f"{name} exists already; --restart replaces it, or name another output" in capsys.readouterr().err
        assert there.read_text(encoding="utf-8") == "mine"
        assert sorted(tmp_path.iterdir()) == before
    assert run(quick_bundle, folder, "-o", "many.jsonl", "--restart") == 0
    done = (tmp_path / "many.jsonl").read_bytes()
    assert run(quick_bundle, folder, "-o", "many.jsonl") == 2
    assert "many.jsonl exists already" in capsys.readouterr().err
    assert (tmp_path / "many.jsonl").read_bytes() == done


def test_an_input_that_is_not_there_is_a_mistake(
    quick_bundle: Path, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A path that was named and names nothing: said before anything is scored, status 2."""
    out = tmp_path / "out.jsonl"
    for name in ("nosuch.txt", "no/such/folder", "a.txt/below"):
        assert run(quick_bundle, folder / "a.txt", folder / name, "-o", out) == 2
        assert f"{folder / name}: no such file or folder" in capsys.readouterr().err
    (folder / "leads nowhere.txt").symlink_to(tmp_path / "nowhere")
    assert run(quick_bundle, folder / "leads nowhere.txt", "-o", out) == 2
    assert not out.exists()


def test_odd_names_and_ids_are_rows(quick_bundle: Path, tmp_path: Path) -> None:
    """A file name that is no UTF-8, a byte order mark, an id that no file can hold, a number that is no JSON."""
    odd = Path(os.fsdecode(bytes(tmp_path) + b"/caf\xe9.txt"))
    odd.write_text("\ufeffOne.", encoding="utf-8")
    lines, out = tmp_path / "a.jsonl", tmp_path / "out.jsonl"
    lines.write_bytes(b'\xef\xbb\xbf{"text": "a"}\n{"text": "a", "id": "\\ud800"}\n{"text": "a", "id": Infinity}\n')
    assert run(quick_bundle, odd, lines, "-o", out) == 1
    rows = rows_of(out)
    assert rows[0]["document"].endswith("caf\ufffd.txt")
    assert (rows[0]["start"], rows[0]["text"]) == (1, "One.")
    assert "tags" in rows[1]
    assert ["lone surrogate" in rows[2]["error"]["detail"], "Infinity is no JSON" in rows[3]["error"]["detail"]] == [True, True]


def test_a_long_passage_is_split_unless_told_otherwise(quick_bundle: Path, tmp_path: Path) -> None:
    """By default nothing of a passage is lost."""
    lines, out = tmp_path / "a.jsonl", tmp_path / "out.jsonl"
    lines.write_text(json.dumps({"text": "We urge the council to act. " * 100}), encoding="utf-8")
    assert run(quick_bundle, lines, "-o", out) == 0
    assert not rows_of(out)[0]["truncated"]
    assert run(quick_bundle, lines, "-o", out, "--long", "error", "--restart") == 1
    assert rows_of(out)[0]["error"]["code"] == "too_long"


def test_no_bundle_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing is done without a model."""
    assert run(tmp_path / "none", tmp_path) == 2
    assert "there is no bundle" in capsys.readouterr().err


def test_an_output_that_cannot_be_written_is_told(
    quick_bundle: Path, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A folder that is not there: the path and the reason, status 2."""
    assert run(quick_bundle, folder, "-o", tmp_path / "none" / "out.jsonl") == 2
    assert "cannot be written: No such file or directory" in capsys.readouterr().err


def test_a_failed_run_leaves_the_old_output(
    quick_bundle: Path, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The output is moved to its place only when it is whole."""
    out = tmp_path / "out.jsonl"
    out.write_text("old", encoding="utf-8")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    assert run(quick_bundle, folder, "-o", out, "--restart") == 2
    assert out.read_text(encoding="utf-8") == "old"
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_a_terminal_sees_progress(quick_bundle: Path, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a terminal the number of passages and their rate are shown."""

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    assert run(quick_bundle, folder, "-o", tmp_path / "out.jsonl") == 0
    assert "9 passages" in terminal.getvalue()
