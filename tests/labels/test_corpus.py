"""Checks of the corpus: each thing that can be wrong is found, named with file, line and field, and none hides another."""

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from labels.corpus import check_corpus, gold_jsonl, load_corpus, write_gold
from labels.problems import CorpusError

if TYPE_CHECKING:
    from tests.labels.conftest import TinyCorpus

Row = dict[str, Any]


def test_a_right_corpus_has_no_problem_once_gold_is_built(tiny_corpus: "TinyCorpus") -> None:
    """Without gold.jsonl that is the one problem; built, there is none."""
    assert [problem.message for problem in check_corpus(tiny_corpus.seeds, tiny_corpus.labels)] == [
        "is not what the annotations say; run `tagger labels build`"
    ]
    write_gold(load_corpus(tiny_corpus.seeds, tiny_corpus.labels), tiny_corpus.labels)
    assert check_corpus(tiny_corpus.seeds, tiny_corpus.labels) == []


def _set(field: str, value: object) -> Callable[[Row], None]:
    def change(row: Row) -> None:
        row[field] = value

    return change


def _drop(field: str) -> Callable[[Row], None]:
    def change(row: Row) -> None:
        del row[field]

    return change


def _tag(**changes: object) -> Callable[[Row], None]:
    def change(row: Row) -> None:
        row["tags"] = row["tags"] | changes

    return change


def _holding(row: Row) -> None:
    row["tags"] = row["tags"] | {"advocacy_call": True}
    row["evidence"] = {"advocacy_call": [[row["start"], row["end"]]]}
    row["rule"] = {"advocacy_call": "advocacy_call.yes.2"}


def _holding_with(**changes: object) -> Callable[[Row], None]:
    def change(row: Row) -> None:
        _holding(row)
        row.update(changes)

    return change


WRONG: list[tuple[Callable[[Row], None], str, str]] = [
    (_set("document", "nine"), "document", "unknown document 'nine' (known: one, two)"),
    (_set("end", 999), "passage", "is not 'one:0-999'"),
    (_set("end", 999), "start", "0-999 lies outside the text"),
    (_set("text_sha256", "0"), "text_sha256", "'0' is not the passage's"),
    (_set("created", "yesterday"), "created", "'yesterday' is no day"),
    (_set("supersedes", "x"), "supersedes", "'x': there is no earlier row of a for one:0-15"),
    (_set("tags", dict.fromkeys(["advocacy_call"], 1)), "tags", "is not an object of true, false or null"),
    (_set("kind", "cat"), "kind", "'cat' is none of human, llm, rule"),
    (_set("codebook", "0.9"), "codebook", "judged by version '0.9'"),
    (_set("segmenter", "0"), "segmenter", "cut by version '0'"),
    (_set("unsure", ["nice"]), "tags", "unknown tag 'nice' (known: advocacy_call,"),
    (_set("tags", {"advocacy_call": False}), "tags", "sanctions_demand is missing"),
    (_tag(sanctions_demand=True), "tags", "sanctions_demand holds, so advocacy_call must hold too"),
    (_tag(advocacy_call=True), "evidence", "advocacy_call holds and has no span"),
    (_tag(advocacy_call=True), "rule", "advocacy_call: None is none of advocacy_call.yes.1"),
    (_holding_with(tags={}), "evidence", "advocacy_call has a span and does not hold"),
    (_holding_with(evidence={"advocacy_call": [[0, 400]]}), "evidence", "0-400 lies outside the passage"),
    (_holding_with(rule={"advocacy_call": "advocacy_call.no.1"}), "rule", "'advocacy_call.no.1' is none of"),
    (_set("rule", {"historical_case": "historical_case.yes.1"}), "rule", "is none of historical_case.no.1"),
    (_drop("created"), "created", "is missing"),
    (_set("colour", "red"), "colour", "unknown field (known: passage,"),
    (_set("start", "0"), "start", "'0' is not an integer"),
    (_set("start", value=True), "start", "True is not an integer"),
    (_set("tags", {"advocacy_call": "yes"}), "tags", "is not an object of true, false or null"),
    (_set("evidence", {"advocacy_call": [[1]]}), "evidence", "is not an object of lists of [start, end]"),
    (_set("unsure", "advocacy_call"), "unsure", "is not a list of strings"),
    (_set("supersedes", 3), "supersedes", "is not a string or null"),
    (_set("rule", {"advocacy_call": 1}), "rule", "is not an object of strings"),
]


@pytest.mark.parametrize(("spoil", "field", "message"), WRONG, ids=[f"{field}: {message[:40]}" for _, field, message in WRONG])
def test_a_wrong_row_is_named(tiny_corpus: "TinyCorpus", spoil: Callable[[Row], None], field: str, message: str) -> None:
    """File, line and field, the bad value and the allowed one."""
    spoil(tiny_corpus.rows[0])
    tiny_corpus.write()
    found = [str(problem) for problem in check_corpus(tiny_corpus.seeds, tiny_corpus.labels)]
    assert any(line.startswith(f"{tiny_corpus.file}:1: {field}: ") and message in line for line in found), found


def test_a_row_that_holds_a_tag_with_evidence_and_rule_is_right(tiny_corpus: "TinyCorpus") -> None:
    """The row that the table above spoils is right before it is spoilt."""
    _holding(tiny_corpus.rows[0])
    tiny_corpus.write()
    assert load_corpus(tiny_corpus.seeds, tiny_corpus.labels).gold[0].tags["advocacy_call"]


@pytest.mark.parametrize("line", ["{", "[]", "[" * 100_000, '{"passage": 1}'])
def test_a_line_that_is_no_row_is_named(tiny_corpus: "TinyCorpus", line: str) -> None:
    """Broken JSON and other shapes are problems of their line."""
    with tiny_corpus.file.open("a", encoding="utf-8") as file:
        file.write(f"\n{line}\n")
    problems = check_corpus(tiny_corpus.seeds, tiny_corpus.labels)
    assert {6} == {problem.line for problem in problems}


def test_all_problems_are_listed_not_the_first(tiny_corpus: "TinyCorpus") -> None:
    """Two wrong rows, a passage without a row: three places, one run."""
    tiny_corpus.rows[0]["kind"] = "cat"
    tiny_corpus.rows[1]["kind"] = "dog"
    del tiny_corpus.rows[3]
    tiny_corpus.write()
    text = "\n".join(map(str, check_corpus(tiny_corpus.seeds, tiny_corpus.labels)))
    assert "'cat'" in text
    assert "'dog'" in text
    assert "no annotation of passage two:30-52" in text


def test_judging_twice_needs_supersedes(tiny_corpus: "TinyCorpus") -> None:
    """A second row of one annotator must say that it replaces the first; then it counts."""
    again = json.loads(json.dumps(tiny_corpus.rows[0]))
    _holding(again)
    tiny_corpus.rows.append(again)
    tiny_corpus.write()
    assert "on line 1 already" in str(check_corpus(tiny_corpus.seeds, tiny_corpus.labels)[0])
    again["supersedes"] = again["passage"]
    tiny_corpus.write()
    assert load_corpus(tiny_corpus.seeds, tiny_corpus.labels).gold[0].tags["advocacy_call"]


def test_a_broken_codebook_is_a_problem(tiny_corpus: "TinyCorpus") -> None:
    """tags.toml that cannot be read is listed like all else."""
    (tiny_corpus.labels / "tags.toml").write_text("[", encoding="utf-8")
    assert "tags.toml: cannot be read" in str(check_corpus(tiny_corpus.seeds, tiny_corpus.labels)[0])


def test_a_changed_seed_is_refused(tiny_corpus: "TinyCorpus") -> None:
    """Seeds are frozen: another byte, a missing file and a second id are each named."""
    (tiny_corpus.seeds / "one.txt").write_text("Other text", encoding="utf-8")
    (tiny_corpus.seeds / "two.txt").unlink()
    with pytest.raises(CorpusError) as caught:
        load_corpus(tiny_corpus.seeds, tiny_corpus.labels)
    assert [problem.message.split(":")[0] for problem in caught.value.problems] == ["the text has changed", "cannot be read"]


@pytest.mark.parametrize("listing", ["documents = [", "[other]", None])
def test_a_broken_list_of_documents_is_named(tiny_corpus: "TinyCorpus", listing: str | None) -> None:
    """A list that is missing or damaged is one clear problem."""
    path = tiny_corpus.seeds / "documents.toml"
    path.unlink() if listing is None else path.write_text(listing, encoding="utf-8")
    assert [problem.message.split(":")[0] for problem in check_corpus(tiny_corpus.seeds, tiny_corpus.labels)] == [
        "cannot be read"
    ]


def test_a_document_listed_twice_or_with_other_fields_is_named(tiny_corpus: "TinyCorpus") -> None:
    """Ids are unique and fields are fixed."""
    path = tiny_corpus.seeds / "documents.toml"
    listing = path.read_text(encoding="utf-8")
    path.write_text(listing + listing, encoding="utf-8")
    assert "'one' is listed more than once" in str(check_corpus(tiny_corpus.seeds, tiny_corpus.labels)[0])
    path.write_text(listing.replace('genre = "g"', 'colour = "g"'), encoding="utf-8")
    assert "a document has" in str(check_corpus(tiny_corpus.seeds, tiny_corpus.labels)[0])


def test_no_annotations_at_all_is_a_problem(tiny_corpus: "TinyCorpus") -> None:
    """An empty folder is not a corpus of negatives."""
    tiny_corpus.file.unlink()
    problems = check_corpus(tiny_corpus.seeds, tiny_corpus.labels)
    assert "holds no *.jsonl file" in str(problems[0])
    assert len(problems) == 5


def test_an_unreadable_file_is_named(tiny_corpus: "TinyCorpus") -> None:
    """A file that is not UTF-8 is one problem beside those of its passages."""
    tiny_corpus.file.write_bytes(b"\xff\xfe")
    assert "cannot be read" in str(check_corpus(tiny_corpus.seeds, tiny_corpus.labels)[0])


def test_gold_rows_name_their_method_and_source(tiny_corpus: "TinyCorpus") -> None:
    """One column a tag, the method 'single', the annotator; a judgement of null stays null."""
    tiny_corpus.rows[0]["tags"]["historical_case"] = None
    tiny_corpus.write()
    corpus = load_corpus(tiny_corpus.seeds, tiny_corpus.labels)
    rows = [json.loads(line) for line in gold_jsonl(corpus).splitlines()]
    assert tuple(rows[0][key] for key in ("method", "sources", "historical_case", "advocacy_call")) == (
        "single",
        ["a"],
        None,
        False,
    )
    assert rows[1]["context"] == "Members should:"
