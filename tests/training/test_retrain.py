"""Retraining on the real labels with the quick profile: good labels get in, bad ones do not, a killed run goes on."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import Engine

from labels import tables
from labels.codebook import load_codebook
from labels.corpus import Corpus
from labels.database import open_database
from labels.jobs import DONE, Jobs
from labels.store import LabelStore, NewLabel
from serving.classifier import Classifier
from serving.registry import CHALLENGER, Registry
from serving.settings import Settings
from tests.conftest import ROOT
from training.recipe import QUICK
from training.retrain import Deployment, Retrained, retrain

HELD_BACK = "004"
"""The document whose labels come later: a third of all advocacy calls stands in it, and most of the support measures."""


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    """The database of a state folder."""
    found = open_database(Settings(state=tmp_path).database_url)
    yield found
    found.dispose()


@pytest.fixture
def four(full_corpus: Corpus) -> Corpus:
    """The committed labels without those of one document."""
    return without(full_corpus, HELD_BACK)


def without(corpus: Corpus, document: str) -> Corpus:
    """The corpus as if a document had never been labelled."""
    return replace(
        corpus,
        documents=[one for one in corpus.documents if one.id != document],
        gold=[row for row in corpus.gold if row.document != document],
    )


def run(state: Path, engine: Engine, corpus: Corpus, *, again: bool = False) -> tuple[Retrained, list[str]]:
    """One retraining, and what it told."""
    told: list[str] = []
    settings = Settings(state=state)
    place = Deployment(
        state=state,
        registry=Registry(engine, settings.models),
        store=LabelStore(engine, load_codebook()),
        corpus=corpus,
        authored=[],
    )
    return retrain(place, QUICK, told.append, again=again), told


def verdicts(found: Retrained) -> dict[str, str]:
    """Gate -> what it said."""
    return {gate.name: gate.verdict for gate in found.gates}


def test_good_labels_are_promoted_and_bad_ones_never(tmp_path: Path, engine: Engine, full_corpus: Corpus, four: Corpus) -> None:
    """The first waits for a person; a held-back document's labels raise the figures and are promoted; inverted ones are not.

    Inverted are one tag in the store's document and one in a document of the reviewed base.
    """
    registry, store = Registry(engine, tmp_path / "models"), LabelStore(engine, load_codebook())
    first, _ = run(tmp_path, engine, four)
    assert not first.promoted
    assert (registry.bundle(), registry.bundle(CHALLENGER)) == (None, first.challenger)
    assert verdicts(first)["champion, by its gold"] == "not estimable"
    assert "not estimable" in (tmp_path / first.report).read_text()
    again, said = run(tmp_path, engine, four)
    assert again == first
    [before] = [line for line in said if line.startswith("this very run was made before")]
    assert before.endswith("; `tagger retrain --again` does it anew")
    assert sum(line.startswith("gate ") for line in said) == len(first.gates)
    assert said[-1] == f"{first.challenger} waits: {first.why}; {tmp_path / first.report}"
    [event] = registry.history()
    assert (event.action, event.after, event.who) == ("challenge", first.challenger, "tagger retrain")
    assert event.report is not None
    assert [gate["name"] for gate in event.report["gates"]] == list(verdicts(first))

    with engine.begin() as connection:  # other labels make another challenger meanwhile
        connection.execute(tables.aliases.delete().where(tables.aliases.c.name == CHALLENGER))
    run(tmp_path, engine, four)
    assert registry.bundle(CHALLENGER) == first.challenger, "what is told to wait is what the alias means"

    registry.promote(first.challenger, why="the first")
    good = [
        NewLabel(
            document=HELD_BACK, text=row.text, context=row.context, tags=row.tags, annotator="maria", key=f"good {row.passage}"
        )
        for row in full_corpus.gold
        if row.document == HELD_BACK
    ]
    store.add(good)
    better, told = run(tmp_path, engine, four)
    assert better.promoted, told
    assert better.macro_f1 > first.macro_f1
    assert (registry.bundle(), registry.bundle(CHALLENGER)) == (better.challenger, None)
    assert "Every gate passed" in (tmp_path / better.report).read_text()
    Classifier.load(tmp_path / "models" / better.challenger).close()

    tag = "victim_support_measure"
    store.add([replace(one, tags={**one.tags, tag: not one.tags[tag]}, key=f"bad {one.key}") for one in good])
    gold = [
        replace(row, tags={**row.tags, "advocacy_call": not row.tags["advocacy_call"]}) if row.document == "002" else row
        for row in four.gold
    ]
    worse, _ = run(tmp_path, engine, replace(four, gold=gold))
    assert not worse.promoted
    assert verdicts(worse)["data"] == "person"
    assert verdicts(worse)["changed labels"] == "person"
    assert registry.bundle() == better.challenger


def test_a_worker_asks_for_itself_and_goes_on_after_being_killed(tmp_path: Path, engine: Engine) -> None:
    """Nothing with a label too few; then a job. Killed (-9) in the middle: taken over, and nothing is fitted twice."""
    environment = {**os.environ, "TAGGER_STATE": str(tmp_path)}
    command = [sys.executable, "-m", "serving.cli", "worker", "--once", "--quick", "--every-labels", "2"]
    store, jobs = LabelStore(engine, load_codebook()), Jobs(engine)
    call = NewLabel(document="d", text="We urge you to act on it.", tags={"advocacy_call": True}, annotator="maria")
    store.add([call])
    assert subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode == 0
    assert not jobs.newest()
    store.add([replace(call, annotator="li")])
    process = subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    for line in process.stderr:
        if "evaluating without 001" in line:
            break
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stderr.close()
    fits = {path: path.stat().st_mtime for path in tmp_path.glob("fits/*/quick-*/manifest.json")}
    assert len(fits) >= 2
    [job] = jobs.newest()
    assert (job.state, job.who) == ("running", "tagger worker")
    assert job.step is not None
    assert job.step.startswith("evaluating without")
    with engine.begin() as connection:  # a minute later
        connection.execute(tables.jobs.update().values(heartbeat=time.time() - 100))
    assert subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode == 0
    [ended] = jobs.newest()
    assert ended.state == DONE
    assert ended.result is not None
    assert ended.result["challenger"].startswith("quick-")
    assert all(path.stat().st_mtime == made for path, made in fits.items())
    lines = [line for _, _, line in jobs.lines(job.id)]
    assert any("evaluating without 004 (5 of 5)" in line for line in lines)
    assert jobs.take("nobody") is None  # with no new label nothing is due
