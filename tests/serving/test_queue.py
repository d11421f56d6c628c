"""What to label next: `tagger score --to-queue`, `tagger labels queue` and `GET /v1/labels/queue`."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine
from starlette.testclient import TestClient

from labels.codebook import load_codebook
from labels.database import open_database
from labels.seen import SeenPassage, count_waiting, keep, waiting
from labels.store import LabelStore, NewLabel
from labels.uncertainty import NEAR, nearest
from serving.app import create_app
from serving.batch.command import main as score
from serving.bundle import read_bundle
from serving.keys import create_key
from serving.labelling.queue import main
from serving.settings import Settings

LINES = [
    "We urge the Council to act.",
    "Page 3",
    "Victims were heard, it is said, in a way that some call support.",
    "Perhaps sanctions should one day be thought of.",
    "Something happened in 1963.",
]


@pytest.fixture
def environment(quick_bundle: Path, tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """A state folder and a database for the commands, and the quick bundle as the champion."""
    state = tmp_path / "state"
    for name, value in (("STATE", str(state)), ("DATABASE", database_url), ("BUNDLE", str(quick_bundle))):
        monkeypatch.setenv(f"TAGGER_{name}", value)
    return Settings(canary_seconds=0.05, hang_seconds=60, drain_seconds=0, threads=2)


@pytest.fixture
def engine(environment: Settings) -> Iterator[Engine]:
    """The database of these settings."""
    found = open_database(environment.database_url)
    yield found
    found.dispose()


@pytest.fixture
def inputs(tmp_path: Path, root: Path) -> Path:
    """Two documents and a table."""
    folder = tmp_path / "inputs"
    folder.mkdir()
    for name in ("000", "003"):
        [seed] = (root / "seeds").glob(f"{name}_*.txt")
        (folder / f"{name}.txt").write_bytes(seed.read_bytes())
    (folder / "t.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in LINES), encoding="utf-8")
    return folder


def near_rows(out: Path, bundle: Path) -> dict[tuple[str, str, str], float]:
    """(document, text, context) of the rows that are worth a label, with their uncertainty."""
    manifest = read_bundle(bundle)
    thresholds = dict(zip(manifest.tags, manifest.decisions.thresholds, strict=True))
    found = {}
    for line in out.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        near = nearest(row["scores"], thresholds)
        if near and near.uncertainty >= NEAR:
            found[row["document"], row["text"], row["context"]] = near.uncertainty
    return found


def kept(engine: Engine) -> dict[tuple[str, str, str], float]:
    """What is kept for labelling, in the shape of `near_rows`."""
    rows = list(waiting(engine, most=10**6, of_document=10**6))
    found = {(one.document, one.text, one.context): one.uncertainty for one in rows}
    assert len(found) == len(rows)
    return found


def test_scoring_keeps_what_is_near_a_threshold(
    quick_bundle: Path, engine: Engine, inputs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Only when that is asked for; the texts of those passages and no other, once however often it is run."""
    out = tmp_path / "out.jsonl"
    assert score([str(inputs), "-o", str(out)]) == 0
    assert kept(engine) == {}
    expected = near_rows(out, quick_bundle)
    assert len(expected) > 10
    for options in (
        ("-o", str(out), "--restart"),
        ("-o", str(out), "--restart", "--no-text", "--tag", "sanctions_demand"),
        ("-o", "-"),
    ):
        assert score([str(inputs), "--to-queue", *options]) == 0
        assert kept(engine) == expected
        assert f"{len(expected)} passages wait for a label" in capsys.readouterr().err


def test_thresholds_of_a_run_are_not_those_of_labelling(
    quick_bundle: Path, engine: Engine, inputs: Path, tmp_path: Path
) -> None:
    """What a caller chose decides about the rows, not about what the model should learn."""
    out = tmp_path / "out.jsonl"
    assert score([str(inputs), "-o", str(out), "--to-queue", "--threshold", "advocacy_call:0.999"]) == 0
    assert kept(engine) == near_rows(out, quick_bundle)


def test_a_killed_run_keeps_all_and_nothing_twice(quick_bundle: Path, engine: Engine, tmp_path: Path, root: Path) -> None:
    """Kill -9 in the midst, then the same command: what an undisturbed run would have kept; other options are refused."""
    table, out, whole = tmp_path / "t.jsonl", tmp_path / "out.jsonl", tmp_path / "whole.jsonl"
    rows = [{"text": f"Perhaps council number {at} should act, it is said in year {1000 + at}."} for at in range(1500)]
    table.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    command = [sys.executable, "-m", "serving.cli", "score", str(table), "-o", str(out)]
    process = subprocess.Popen([*command, "--to-queue"], cwd=root, stderr=subprocess.DEVNULL)
    progress = tmp_path / ".out.jsonl.run" / "progress.json"
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and not (progress.exists() and json.loads(progress.read_text())["passages"]):
        time.sleep(0.02)
    process.kill()
    process.wait()
    assert not out.exists()
    refused = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    assert (refused.returncode, "to_queue: True then, False now" in refused.stderr) == (2, True)
    again = subprocess.run([*command, "--to-queue"], cwd=root, capture_output=True, text=True, check=False)
    assert "goes on after" in again.stderr
    assert score([str(table), "-o", str(whole)]) == 0
    assert out.read_bytes() == whole.read_bytes()
    assert kept(engine) == near_rows(whole, quick_bundle)


def test_not_on_a_cluster(environment: Settings, inputs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Refused at once, with the way out."""
    assert score([str(inputs), "-o", str(tmp_path / "out.parquet"), "--engine", "ray", "--to-queue"]) == 2
    assert "give the output to `tagger labels queue`" in capsys.readouterr().err


def test_a_database_that_does_not_answer_is_told(
    quick_bundle: Path, inputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """By both commands, in one line."""
    monkeypatch.setenv("TAGGER_DATABASE", f"sqlite:///{tmp_path}")
    assert score([str(inputs), "-o", str(tmp_path / "o.jsonl"), "--to-queue", "--bundle", str(quick_bundle)]) == 2
    assert main([]) == 1
    assert capsys.readouterr().err.count("cannot be opened") == 2


def lines_of(capsys: pytest.CaptureFixture[str], *arguments: object) -> list[dict[str, Any]]:
    """What the command prints."""
    capsys.readouterr()
    assert main([*map(str, arguments)]) == 0
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def waiting_of(capsys: pytest.CaptureFixture[str], *arguments: object) -> int:
    """How many passages the command says are waiting."""
    assert main([*map(str, arguments)]) == 0
    said = capsys.readouterr().err
    return int(said.partition(" to label, ")[2].partition(" wait")[0])


def test_the_command_lists_what_is_kept(
    engine: Engine, inputs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A line a passage with why it is there; what was labelled since is not; a file is written whole; forgetting ends it."""
    score([str(inputs), "-o", str(tmp_path / "out.jsonl"), "--to-queue"])
    rows = lines_of(capsys, "--size", 10)
    assert len(rows) == 10
    first = rows[0]
    assert set(first) == {"document", "text", "context", "tags", "scores", "uncertainty", "why", "model"}
    assert first["scores"][first["why"]["tag"]] == first["why"]["score"]
    assert first["uncertainty"] == max(row["uncertainty"] for row in rows)
    assert first["tags"] == [tag for tag in first["tags"] if first["scores"][tag] >= 0.01]
    new = NewLabel(
        document=first["document"],
        text=first["text"],
        context=first["context"],
        tags={"historical_case": False},
        annotator="anna",
    )
    LabelStore(engine, load_codebook()).add([new])
    out = tmp_path / "queue.jsonl"
    assert main(["--size", "10", "-o", str(out)]) == 0
    written = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
    assert first["text"] not in [row["text"] for row in written]
    assert len(written) == 10
    assert written == lines_of(capsys, "--size", 10)
    assert {row["why"]["tag"] for row in lines_of(capsys, "--tag", "historical_case")} == {"historical_case"}
    document = str(inputs / "003.txt")
    assert {row["document"] for row in lines_of(capsys, "--document", document)} == {document}
    assert main(["--forget"]) == 0
    assert lines_of(capsys) == []
    assert main([]) == 0
    assert "`tagger score … --to-queue` keeps some" in capsys.readouterr().err


@pytest.mark.parametrize("kind", ["jsonl", "csv", "tsv", "parquet"])
def test_files_are_read_and_not_kept(
    engine: Engine, inputs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    """Every format of `tagger score`: the same passages in the same order, with their places; labelled ones left out."""
    if kind == "parquet":
        pytest.importorskip("pyarrow")
    first, out = tmp_path / "first.jsonl", tmp_path / f"out.{kind}"
    assert score([str(inputs), "-o", str(first)]) == 0
    assert score([str(inputs), "-o", str(out)]) == 0
    rows = lines_of(capsys, out, "--size", 20)
    number = waiting_of(capsys, out)
    assert rows == lines_of(capsys, first, "--size", 20)
    assert {"start", "end"} <= set(rows[0])
    assert count_waiting(engine) == 0
    new = NewLabel(
        document=rows[0]["document"],
        text=rows[0]["text"],
        context=rows[0]["context"],
        tags={"advocacy_call": True},
        annotator="anna",
    )
    LabelStore(engine, load_codebook()).add([new])
    assert rows[0]["text"] not in [row["text"] for row in lines_of(capsys, out, "--size", 20)]
    assert waiting_of(capsys, out) == number - 1


def test_mistakes_are_told(
    environment: Settings, inputs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows without text, a tag that there is not, a file that is none, a bundle that is not here: one line each."""
    out = tmp_path / "out.csv"
    assert score([str(inputs), "-o", str(out), "--no-text"]) == 0
    for arguments, said in (
        ([str(out)], "row 1: text: is not there (a run with --no-text?)"),
        (["--tag", "advocacy"], "'advocacy' is no tag of this model (tags: advocacy_call"),
        ([str(tmp_path / "none.csv")], "No such file"),
        ([str(inputs / "t.jsonl")], "line 1 is no row of `tagger score`"),
        (["--forget", str(out)], "of files nothing is kept"),
        (["--bundle", str(tmp_path)], "manifest.json"),
        (["-o", str(tmp_path / "none" / "queue.jsonl")], "No such file"),
    ):
        assert main(arguments) == 1, arguments
        assert said in capsys.readouterr().err
    for arguments in (["--size", "0"], ["--share", "2"]):
        with pytest.raises(SystemExit):
            main(arguments)
    monkeypatch.delenv("TAGGER_BUNDLE")
    written = tmp_path / "written.jsonl"
    bundle = str(environment.bundle)
    assert score([str(inputs), "-o", str(written), "--bundle", bundle]) == 0
    assert main([str(written)]) == 1
    assert "name one with --bundle" in capsys.readouterr().err
    assert main([str(written), "--bundle", bundle]) == 0


def test_many_passages_are_chosen_from_in_time(
    engine: Engine, environment: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    """50,000 kept passages and 2,500 labels: seconds, not minutes, by all tags or by one."""
    words = [f"w{at}" for at in range(4000)]
    rows = [
        SeenPassage(
            document=f"d{at % 40}",
            text=" ".join(words[(at * 31 + step * (at % 97 + 1)) % 4000] for step in range(40)),
            context="",
            scores={"advocacy_call": 0.3 + (at % 400) / 1000, "historical_case": (at % 1000) / 1000},
            uncertainty=0.5 + (at * 7919 % 50_000) / 100_000,
            bundle="",
        )
        for at in range(50_000)
    ]
    for start in range(0, len(rows), 5000):
        keep(engine, rows[start : start + 5000])
    store = LabelStore(engine, load_codebook())
    store.add(
        [NewLabel(document=one.document, text=one.text, tags={"advocacy_call": True}, annotator="anna") for one in rows[:2500]]
    )
    for more in ((), ("--tag", "historical_case")):
        started = time.monotonic()
        assert len(lines_of(capsys, "--size", 50, *more)) == 50
        assert time.monotonic() - started < 15
    assert waiting_of(capsys) == 47_500


@pytest.fixture
def api(environment: Settings) -> Iterator[TestClient]:
    """A client of a service on these settings."""
    with TestClient(create_app(environment), raise_server_exceptions=False) as found:
        yield found


def seen(text: str, document: str = "one", *, advocacy: float = 0.5, case: float = 0.01) -> SeenPassage:
    """A passage that was kept; the order in the queue follows from its scores."""
    scores = {"advocacy_call": advocacy, "historical_case": case}
    return SeenPassage(document=document, text=text, context="We ask:", scores=scores, uncertainty=advocacy, bundle="gone")


def test_the_route_answers_what_to_label(api: TestClient, engine: Engine) -> None:
    """Nothing at first; then the kept passages in the command's words, by tag, by document, as many as asked for."""
    assert api.get("/v1/labels/queue").json() == {"passages": [], "waiting": 0}
    keep(engine, [seen("impose an embargo"), seen("open shelters", advocacy=0.4), seen("in 1963", "two", case=0.5)])
    answer = api.get("/v1/labels/queue").json()
    assert (len(answer["passages"]), answer["waiting"]) == (3, 3)
    one = answer["passages"][0]
    assert set(one) == {"document", "text", "context", "tags", "scores", "uncertainty", "why", "model"}
    assert (one["context"], one["model"], one["why"]["score"]) == ("We ask:", "gone", one["scores"][one["why"]["tag"]])
    [case, *_] = api.get("/v1/labels/queue", params={"tag": "historical_case"}).json()["passages"]
    assert (case["text"], case["why"]["tag"]) == ("in 1963", "historical_case")
    two = api.get("/v1/labels/queue", params={"document": "two"}).json()
    assert ([row["text"] for row in two["passages"]], two["waiting"]) == (["in 1963"], 1)
    assert len(api.get("/v1/labels/queue", params={"size": 1}).json()["passages"]) == 1
    store = LabelStore(engine, load_codebook())
    store.add([NewLabel(document="two", text="in 1963", context="We ask:", tags={"advocacy_call": False}, annotator="a")])
    assert api.get("/v1/labels/queue").json()["waiting"] == 2


@pytest.mark.parametrize(
    ("query", "pointer", "detail"),
    [
        ("size=0", "/size", "greater than or equal to 1"),
        ("size=1000", "/size", "less than or equal to 200"),
        ("size=many", "/size", "valid integer"),
        ("tag=none", "/tag", "'none' is no tag of this model"),
        (f"document={'x' * 301}", "/document", "at most 300 characters"),
        ("document=a%00b", "/document", "NUL"),
    ],
)
def test_a_bad_query_is_a_problem(api: TestClient, query: str, pointer: str, detail: str) -> None:
    """422, with the place and what is wrong with it."""
    answer = api.get(f"/v1/labels/queue?{query}")
    assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json")
    [error] = answer.json()["errors"]
    assert (error["pointer"], detail in error["detail"]) == (pointer, True)


def test_the_route_needs_its_scope(environment: Settings, api: TestClient) -> None:
    """A key to tag is not one to label."""
    tag, label = (create_key(environment.keys_file, scope, [scope]) for scope in ("tag", "label"))
    for key, status in ((tag, 403), (label, 200)):
        assert api.get("/v1/labels/queue", headers={"Authorization": f"Bearer {key}"}).status_code == status
    assert api.get("/v1/labels/queue").status_code == 401
