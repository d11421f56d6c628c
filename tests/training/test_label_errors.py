"""Labels that are likely wrong: errors planted into the committed labels are found, and other labels are refused."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from labels.adjudication import GoldRow
from labels.corpus import Corpus
from training.label_errors import OtherLabelsError, main, read_scores, suspects
from training.metrics import Floats
from training.standing import EVALUATION

FOLDER = EVALUATION / "accurate"


@pytest.fixture(scope="module")
def scores(full_corpus: Corpus) -> Floats:
    """The committed out-of-document scores."""
    return read_scores(FOLDER, full_corpus.gold, full_corpus.codebook.names)


def with_label(rows: list[GoldRow], at: int, tag: str, *, holds: bool | None) -> list[GoldRow]:
    """The labels with one of them changed."""
    return [replace(row, tags={**row.tags, tag: holds}) if index == at else row for index, row in enumerate(rows)]


def test_planted_errors_are_found(full_corpus: Corpus, scores: Floats) -> None:
    """Ten labels of which the model is sure are turned: each is among the thirty that the command lists."""
    names, gold = full_corpus.codebook.names, full_corpus.gold
    sure = [
        (row, at, name)
        for row, entry in enumerate(gold)
        for at, name in enumerate(names)
        if abs(scores[row, at] - bool(entry.tags[name])) < 0.02 and name not in entry.unsure
    ]
    yes = [place for place in sure if gold[place[0]].tags[place[2]]][:5]
    no = [place for place in sure if not gold[place[0]].tags[place[2]]][:400:80]
    planted = [*yes, *no]
    assert len(planted) == 10
    rows = list(gold)
    for row, _, name in planted:
        rows = with_label(rows, row, name, holds=not gold[row].tags[name])
    found = [(one.passage, one.tag) for one in suspects(rows, scores, names)]
    places = [found.index((gold[row].passage, name)) for row, _, name in planted]
    assert max(places) < 30


def test_each_suspect_says_why(full_corpus: Corpus, scores: Floats) -> None:
    """Label, score and doubt are those of the passage; the least likely label comes first."""
    names = full_corpus.codebook.names
    rows = {row.passage: (at, row) for at, row in enumerate(full_corpus.gold)}
    found = suspects(full_corpus.gold, scores, names)
    assert found
    assert [one.likelihood for one in found] == sorted(one.likelihood for one in found)
    for one in found:
        at, row = rows[one.passage]
        score = scores[at, names.index(one.tag)]
        assert (one.label, one.text, one.unsure) == (row.tags[one.tag], row.text, one.tag in row.unsure)
        assert one.score == pytest.approx(score, abs=1e-4)
        assert one.likelihood == pytest.approx(score if one.label else 1 - score, abs=1e-4)


def test_a_tag_that_was_not_judged_is_no_error(full_corpus: Corpus, scores: Floats) -> None:
    """The least likely "no" is gone when nobody said it; a tag that no passage has suspects nothing."""
    names, gold = full_corpus.codebook.names, full_corpus.gold
    worst = next(one for one in suspects(gold, scores, names) if not one.label)
    at = [row.passage for row in gold].index(worst.passage)
    without = suspects(with_label(gold, at, worst.tag, holds=None), scores, names)
    assert (worst.passage, worst.tag) not in [(one.passage, one.tag) for one in without]
    none = [replace(row, tags={**row.tags, "historical_case": False}) for row in gold]
    assert "historical_case" not in {one.tag for one in suspects(none, scores, names)}


def test_an_evaluation_of_other_labels_is_refused(full_corpus: Corpus) -> None:
    """One passage more or less, another text, another order, one label changed: the message says where."""
    names, gold = full_corpus.codebook.names, full_corpus.gold
    at = next(index for index, row in enumerate(gold) if row.tags["historical_case"])
    document = gold[at].document
    for rows, said in (
        (gold[1:], f"passage {gold[0].passage} has no label now"),
        ([*gold, replace(gold[0], passage="000:1-2")], "passage 000:1-2 was not scored"),
        ([replace(gold[0], text="other"), *gold[1:]], f"passage {gold[0].passage} had another text"),
        ([gold[1], gold[0], *gold[2:]], "another order"),
        (with_label(gold, at, "historical_case", holds=False), f"document {document}, historical_case: positives was"),
        (with_label(gold, at, "historical_case", holds=None), f"document {document}, historical_case: positives was"),
    ):
        with pytest.raises(OtherLabelsError, match="is the evaluation of other labels") as caught:
            read_scores(FOLDER, rows, names)
        assert said in str(caught.value)


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Printed or written, as many as asked for; an evaluation that is missing, broken or of other labels is one line."""
    assert main(["--top", "3"]) == 0
    printed = capsys.readouterr()
    assert [line[:4] for line in printed.out.splitlines()[::2]] == ["  1.", "  2.", "  3."]
    assert printed.err.startswith("3 of ")
    out = tmp_path / "errors.jsonl"
    assert main(["-o", str(out)]) == 0
    rows = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
    assert rows[0]["passage"] in printed.out
    assert {"passage", "tag", "label", "score", "text", "unsure"} <= set(rows[0])
    capsys.readouterr()
    copy = tmp_path / "evaluation"
    assert main(["--evaluation", str(copy)]) == 1
    assert "`tagger evaluate` writes it" in capsys.readouterr().err
    shutil.copytree(FOLDER, copy)
    lines = (copy / "oof.jsonl").read_text(encoding="utf-8").splitlines()
    for content, said in (
        (lines[:-1], "was not scored"),
        ([*lines[:-1], "{"], "is no whole evaluation"),
        ([*lines[:-1], "{}"], "is no whole evaluation"),
    ):
        (copy / "oof.jsonl").write_text("\n".join(content), encoding="utf-8")
        assert main(["--evaluation", str(copy)]) == 1
        assert said in capsys.readouterr().err
    assert main(["-o", str(tmp_path / "none" / "errors.jsonl")]) == 1
    assert "No such file" in capsys.readouterr().err
