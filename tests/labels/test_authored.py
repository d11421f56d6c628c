"""The authored corpus: right rows, no copies, enough of everything, and a reader who checks it."""

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from labels.authored import FOLDER, AuthoredPassage, load_authored
from labels.codebook import load_codebook
from labels.corpus import LABELS
from labels.diversity import distinct, diversity_table, genre_of, likeness
from labels.documents import load_documents
from labels.problems import CorpusError
from labels.shingles import shingles

ROW: dict[str, Any] = {
    "id": "x-1",
    "family": "x",
    "genre": "letter",
    "place": "Peru",
    "context": "",
    "text": "We ask the council to listen.",
    "tags": {"advocacy_call": True, "sanctions_demand": False, "victim_support_measure": False, "historical_case": False},
    "rule": {"advocacy_call": "advocacy_call.yes.1", "sanctions_demand": "sanctions_demand.no.3"},
    "mimics": None,
    "author": "llm",
    "codebook": "1.1",
    "intended": ["advocacy_call"],
    "blind": ["advocacy_call"],
}


def load(folder: Path, *rows: object) -> list[AuthoredPassage]:
    """The rows, written to a file and read back."""
    (folder / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return load_authored(load_codebook(), load_documents(), folder)


@pytest.fixture(scope="module")
def committed() -> list[AuthoredPassage]:
    """The committed passages; loading them checks them."""
    return load_authored(load_codebook(), load_documents())


def test_a_right_row_is_read(tmp_path: Path) -> None:
    """The row that the tables below spoil is right."""
    assert load(tmp_path, ROW)[0].text == ROW["text"]


WRONG = [
    ({"id": 5}, "id", "5 is not a string"),
    ({"tags": {"advocacy_call": True}}, "tags", "is not true or false for each of advocacy_call"),
    (
        {"tags": ROW["tags"] | {"advocacy_call": False, "sanctions_demand": True}, "rule": {}},
        "tags",
        "so advocacy_call must hold too",
    ),
    ({"rule": {"advocacy_call": "advocacy_call.no.1"}}, "rule", "'advocacy_call.no.1' is none of advocacy_call.yes.1"),
    ({"rule": {"sanctions_demand": "sanctions_demand.yes.1"}}, "rule", "is none of sanctions_demand.no.1"),
    ({"rule": []}, "rule", "[] is not an object"),
    ({"rule": {"call": "advocacy_call.yes.1"}}, "rule", "unknown tags call"),
    ({"genre": "newspaper column"}, "mimics", "None; a passage of the genre 'newspaper column' imitates 001"),
    ({"mimics": "009"}, "mimics", "unknown document '009' (known: 000, 001"),
    ({"codebook": "1.0"}, "codebook", "labelled by version '1.0'"),
    ({"text": ""}, "text", "0 words, 1 to 180 are allowed"),
    ({"text": "word " * 181}, "text", "181 words"),
    ({"context": "word " * 61}, "context", "61 words, at most 60"),
    ({"colour": "red"}, "", "a row is an object of"),
]


@pytest.mark.parametrize(("change", "field", "message"), WRONG, ids=[message for _, _, message in WRONG])
def test_a_wrong_row_is_named(tmp_path: Path, change: dict[str, Any], field: str, message: str) -> None:
    """File, line and field, the bad value and the allowed one."""
    with pytest.raises(CorpusError) as caught:
        load(tmp_path, ROW, ROW | {"id": "x-2"} | change)
    [problem] = caught.value.problems
    assert (problem.line, problem.field) == (2, field)
    assert message in problem.message


def test_broken_json_and_a_second_id_are_named(tmp_path: Path) -> None:
    """Both in one run."""
    (tmp_path / "a.jsonl").write_text(f"{{\n{json.dumps(ROW)}\n{json.dumps(ROW)}\n", encoding="utf-8")
    with pytest.raises(CorpusError) as caught:
        load_authored(load_codebook(), load_documents(), tmp_path)
    assert [problem.message[:8] for problem in caught.value.problems] == ["not JSON", "'x-1' st"]


def test_a_copy_of_a_seed_or_of_another_family_is_refused(tmp_path: Path) -> None:
    """Eight words in a row are too many; within a family they are allowed."""
    seed = " ".join(load_documents()[3].text.split()[60:80])
    with pytest.raises(CorpusError, match="with seed 003"):
        load(tmp_path, ROW | {"text": seed})
    text = "one two three four five six seven eight nine"
    with pytest.raises(CorpusError, match="with x-1 of another family"):
        load(tmp_path, ROW | {"text": text}, ROW | {"id": "y-1", "family": "y", "text": f"And {text.upper()}."})
    assert len(load(tmp_path, ROW | {"text": text}, ROW | {"id": "x-2", "text": text})) == 2


def test_the_corpus_holds_enough_of_everything(committed: list[AuthoredPassage]) -> None:
    """Each tag at least 250 times, half without a tag, many genres and places, all lengths, with and without lead-in."""
    counts = Counter(name for row in committed for name, holds in row.tags.items() if holds)
    untagged = sum(not any(row.tags.values()) for row in committed)
    assert len(committed) >= 1000
    assert min(counts[name] for name in load_codebook().names) >= 250
    assert 0.5 <= untagged / len(committed) <= 0.6
    assert len({row.genre for row in committed}) >= 60
    assert len({row.place for row in committed if row.place}) >= 100
    lengths = [len(row.text.split()) for row in committed]
    rules = Counter(rule for row in committed for rule in row.rule.values())
    assert min(rules[rule] for tag in load_codebook().tags for rule in tag.no) >= 20
    assert min(lengths) <= 5
    assert max(lengths) >= 120
    assert 0.1 <= sum(bool(row.context) for row in committed) / len(committed) <= 0.4


def test_no_behavioural_case_shares_words_with_a_seed_or_the_codebook(root: Path) -> None:
    """Eight in a row, context included: the cases ask what the model has not seen."""
    cases = [json.loads(line) for line in (root / "tests" / "model" / "cases.jsonl").read_text(encoding="utf-8").splitlines()]
    kept = set(shingles((LABELS / "CODEBOOK.md").read_text(encoding="utf-8")))
    kept |= {shingle for document in load_documents() for shingle in shingles(document.text)}
    texts = [(case["id"], case.get(key, "")) for case in cases for key in ("context", "text", "changed")]
    assert [number for number, text in texts if not kept.isdisjoint(shingles(text))] == []


def test_no_passage_shares_words_with_the_codebook_or_the_behavioural_cases(
    committed: list[AuthoredPassage], root: Path
) -> None:
    """What evaluates is never what trains."""
    cases = [json.loads(line) for line in (root / "tests" / "model" / "cases.jsonl").read_text(encoding="utf-8").splitlines()]
    kept = set(shingles((LABELS / "CODEBOOK.md").read_text(encoding="utf-8")))
    kept |= {shingle for case in cases for key in ("text", "changed") for shingle in shingles(case.get(key, ""))}
    assert [row.id for row in committed if not kept.isdisjoint(shingles(f"{row.context} {row.text}"))] == []


def test_the_card_states_how_well_the_two_readers_agree(committed: list[AuthoredPassage]) -> None:
    """Positive agreement of intended and blind tags, measured before anything was mended, as the card says it."""
    card = (LABELS / "README.md").read_text(encoding="utf-8")
    assert f"{len(committed)} authored passages" in card
    differing = sum(row.intended != row.blind for row in committed)
    assert f"{differing} kept" in card
    counts = Counter(name for row in committed for name, holds in row.tags.items() if holds)
    counts["none"] = sum(not any(row.tags.values()) for row in committed)
    table = card[card.index("## Authored passages") :]
    assert {name: int(number) for name, number in re.findall(r"^\| (\w+) \| (\d+) \|$", table, re.MULTILINE)} == counts
    assert f"{sum(row.mimics is not None for row in committed)} passages imitate" in card
    assert diversity_table(committed, load_codebook().names) in card
    assert {row.author for row in committed} == {"llm"}
    assert list(FOLDER.glob("*.jsonl"))


def _written(text: str, family: str, genre: str = "letter") -> AuthoredPassage:
    return AuthoredPassage(**ROW | {"text": text, "family": family, "genre": genre})


def test_diversity_is_measured() -> None:
    """A corpus that repeats itself shows it: runs come again, and passages of other families are alike."""
    varied = [_written("one two three four five", "a"), _written("six seven eight nine ten", "b")]
    repeated = [_written("one two three four five", "a"), _written("zero one two three four five", "b")]
    assert (distinct(varied, 2), likeness(varied)) == (1.0, 0.0)
    assert distinct(repeated, 2) == pytest.approx(5 / 9)
    assert likeness(repeated) == pytest.approx((1 + 2 / 3) / 2)
    assert likeness([_written(row.text, "a") for row in repeated]) == 0.0


def test_genres_are_counted_without_their_details() -> None:
    """Wordings of one genre are one line of the table; what is rare is summed up."""
    assert {genre_of(_written("x", "a", genre)) for genre in ("Statutes", "statute, explanatory note", "statute (draft)")} == {
        "statute"
    }
    rows = [_written("we ask you", str(number), f"genre {number}") for number in range(31)]
    assert "| 1 other genres | 1 | 1 | 0 | 0 | 0 | 0 |" in diversity_table(rows, load_codebook().names)
