"""`tagger labels promote`: reviewed labels of the store into the base in git, as rows that the corpus reads."""

import json
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from labels.codebook import load_codebook
from labels.corpus import LABELS, load_corpus
from labels.database import open_database
from labels.documents import SEEDS
from labels.problems import CorpusError
from labels.store import LabelStore, NewLabel
from serving.settings import Settings
from tests.conftest import TAGGER

CALL = NewLabel(document="report/1", text="We urge the Council to act.", tags={"advocacy_call": True}, annotator="maria")
ALL = {"advocacy_call": True, "sanctions_demand": False, "victim_support_measure": False, "historical_case": False}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[LabelStore]:
    """The store of a state folder."""
    engine = open_database(Settings(state=tmp_path).database_url)
    yield LabelStore(engine, load_codebook())
    engine.dispose()


@pytest.fixture
def base(tmp_path: Path) -> Path:
    """A copy of the committed labels."""
    folder = tmp_path / "labels"
    (folder / "annotations").mkdir(parents=True)
    for path in (*LABELS.glob("annotations/*.jsonl"), LABELS / "tags.toml", LABELS / "adjudications.jsonl"):
        (folder / path.relative_to(LABELS)).write_bytes(path.read_bytes())
    return folder


def promote(state: Path, base: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    """The command, into the copy."""
    into = base / "annotations" / "reviewed"
    command = [
        *TAGGER,
        "labels",
        "promote",
        "--reviewer",
        "ana",
        "--state",
        str(state),
        "--into",
        str(into),
        *map(str, arguments),
    ]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_what_annotators_agree_on_becomes_gold(store: LabelStore, tmp_path: Path, base: Path) -> None:
    """A further document's passage is gold after those of the seeds; doing it again changes no byte."""
    store.add([replace(CALL, tags=ALL), replace(CALL, tags=ALL, annotator="li")])
    done = promote(tmp_path, base)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "1 new, 0 changed, 0 as before, 0 disputed, left out\n"
    [path] = (base / "annotations" / "reviewed").iterdir()
    written = path.read_bytes()
    assert path.name.startswith("report_1-")
    corpus = load_corpus(SEEDS, base)
    assert len(corpus.gold) == 585
    row = corpus.gold[-1]
    assert (row.document, row.text, row.tags, row.sources, row.method) == (
        "report/1",
        CALL.text,
        ALL,
        ["li", "maria"],
        "agreed",
    )
    assert promote(tmp_path, base).stdout == "0 new, 0 changed, 1 as before, 0 disputed, left out\n"
    assert path.read_bytes() == written


def test_a_seeds_passage_takes_what_was_reviewed(store: LabelStore, tmp_path: Path, base: Path) -> None:
    """Only the tags that were judged change; no passage is added."""
    before = load_corpus().gold[10]
    store.add(
        [
            NewLabel(
                document=before.document,
                text=before.text,
                context=before.context,
                tags={"historical_case": True},
                annotator="li",
            )
        ]
    )
    assert promote(tmp_path, base).returncode == 0
    gold = load_corpus(SEEDS, base).gold
    assert len(gold) == 584
    assert gold[10].tags == {**before.tags, "historical_case": True}
    assert gold[10].passage == before.passage


def test_a_dispute_waits_for_a_decision_with_a_reason(store: LabelStore, tmp_path: Path, base: Path) -> None:
    """Left out and listed; written to be decided; refused without a decision or a reason, with file, line and field."""
    store.add([replace(CALL, tags=ALL), replace(CALL, tags={**ALL, "advocacy_call": False}, annotator="li")])
    file = tmp_path / "decide.jsonl"
    done = promote(tmp_path, base, "--disputes", file)
    assert "1 disputed, left out" in done.stdout
    assert "disputed: report/1: 'We urge the Council to act.'" in done.stderr
    row = json.loads(file.read_text())
    assert row["votes"] == {"maria": ALL, "li": {**ALL, "advocacy_call": False}}
    refused = promote(tmp_path, base, "--decisions", file)
    assert refused.returncode == 1
    assert f"{file}:1: reason: '' is no text" in refused.stderr
    assert f"{file}:1: tags: advocacy_call: None is not true or false: decide it" in refused.stderr
    file.write_text(json.dumps({**row, "tags": ALL, "reason": "an urge is a call"}) + "\n")
    assert promote(tmp_path, base, "--decisions", file, "--dry-run").stdout.startswith("1 new")
    assert not (base / "annotations" / "reviewed").exists()
    assert promote(tmp_path, base, "--decisions", file).returncode == 0
    gold = load_corpus(SEEDS, base).gold[-1]
    assert (gold.tags, gold.method, gold.unsure) == (ALL, "adjudicated", ["advocacy_call"])


def test_documents_can_be_chosen_and_must_be_known(store: LabelStore, tmp_path: Path, base: Path) -> None:
    """Only the named one is promoted; one that the store does not know is an error."""
    store.add([CALL, replace(CALL, document="other")])
    assert promote(tmp_path, base, "--document", "other").stdout.startswith("1 new")
    refused = promote(tmp_path, base, "--document", "nobody")
    assert (refused.returncode, refused.stderr) == (1, "tagger labels promote: the store holds no labels of nobody\n")


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("text_sha256", "0", "is not that of the text"),
        ("codebook", "0.9", "judged by version '0.9'"),
        ("tags", {"advocacy_call": True}, "is not true, false or null for each of"),
        ("disputed", ["advocacy_call"], "what was disputed needs a reason"),
        ("created", "today", "is no day"),
        ("reviewer", 7, "7 is not a string"),
    ],
)
def test_a_reviewed_row_that_is_wrong_is_named(
    store: LabelStore, tmp_path: Path, base: Path, field: str, value: object, message: str
) -> None:
    """File, line, field and what is wrong, like every other row of the base."""
    store.add([replace(CALL, tags=ALL)])
    promote(tmp_path, base)
    [path] = (base / "annotations" / "reviewed").iterdir()
    path.write_text(json.dumps({**json.loads(path.read_text()), field: value}) + "\n")
    with pytest.raises(CorpusError) as caught:
        load_corpus(SEEDS, base)
    [problem] = caught.value.problems
    assert problem.line == 1
    assert message in problem.message


def test_a_seeds_passage_without_its_lead_in_is_that_passage(store: LabelStore, tmp_path: Path, base: Path) -> None:
    """It does not stand in the corpus a second time; what is no passage of the seed is refused."""
    before = next(row for row in load_corpus().gold if row.context and len(row.text) > 60)
    one = NewLabel(document=before.document, text=f"{before.text} ", tags={"historical_case": True}, annotator="li")
    store.add([one])
    done = promote(tmp_path, base)
    assert done.stdout.startswith("1 new, 0 changed"), done.stderr
    gold = load_corpus(SEEDS, base).gold
    assert len(gold) == 584
    assert next(row for row in gold if row.passage == before.passage).tags["historical_case"] is True
    store.add([replace(one, text="A sentence that nobody wrote there.")])
    done = promote(tmp_path, base)
    assert done.returncode == 1
    assert f"{before.document} is a seed, and this is none of its passages: 'A sentence that" in done.stderr


def test_what_another_store_has_not_judged_stays_reviewed(store: LabelStore, tmp_path: Path, base: Path) -> None:
    """A row of one tag, promoted over a whole one, changes that tag."""
    store.add([replace(CALL, tags=ALL)])
    assert promote(tmp_path, base).returncode == 0
    elsewhere = tmp_path / "elsewhere"
    engine = open_database(Settings(state=elsewhere).database_url)
    LabelStore(engine, load_codebook()).add([replace(CALL, tags={"historical_case": True}, annotator="jo")])
    engine.dispose()
    assert promote(elsewhere, base).stdout.startswith("0 new, 1 changed")
    row = load_corpus(SEEDS, base).gold[-1]
    assert row.tags == {**ALL, "historical_case": True}
    assert row.sources == ["jo", "maria"]


def test_decisions_are_not_written_over(store: LabelStore, tmp_path: Path, base: Path) -> None:
    """`--disputes` makes a file and replaces none; with `--dry-run` it makes none; one that is no text is told."""
    store.add([replace(CALL, tags=ALL), replace(CALL, tags={**ALL, "advocacy_call": False}, annotator="li")])
    file = tmp_path / "decide.jsonl"
    assert promote(tmp_path, base, "--disputes", file, "--dry-run").returncode == 0
    assert not file.exists()
    file.write_bytes(b"mine \xff")
    done = promote(tmp_path, base, "--disputes", file)
    assert (done.returncode, file.read_bytes()) == (1, b"mine \xff")
    assert "is there already, and may hold decisions" in done.stderr
    done = promote(tmp_path, base, "--decisions", file)
    assert done.stderr == f"tagger labels promote: {file}: not UTF-8: byte 5 is 0xff\n"
