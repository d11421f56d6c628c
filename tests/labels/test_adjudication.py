"""Two annotators on a tiny corpus: agreement is gold, a dispute needs a decision with its reason."""

import copy
import json
from typing import TYPE_CHECKING, Any

import pytest

from labels.corpus import check_corpus, load_corpus, write_gold

if TYPE_CHECKING:
    from tests.labels.conftest import TinyCorpus


@pytest.fixture
def disputed_corpus(tiny_corpus: "TinyCorpus") -> "TinyCorpus":
    """The second annotator finds an advocacy call in the first passage, and is unsure of a tag in the last."""
    second = copy.deepcopy(tiny_corpus.rows)
    for row in second:
        row["annotator"] = "b"
    second[-1]["unsure"] = ["historical_case"]
    second[0]["tags"]["advocacy_call"] = True
    second[0]["evidence"] = {"advocacy_call": [[second[0]["start"], second[0]["end"]]]}
    second[0]["rule"] = {"advocacy_call": "advocacy_call.yes.2"}
    tiny_corpus.rows += second
    tiny_corpus.write()
    return tiny_corpus


def _decide(corpus: "TinyCorpus", **changes: Any) -> None:
    first = corpus.rows[0]
    row = {
        "passage": first["passage"],
        "text_sha256": first["text_sha256"],
        "tags": {"advocacy_call": True},
        "reason": {"advocacy_call": "a bare lead-in opens a recommendation"},
        "adjudicator": "c",
        "codebook": first["codebook"],
    }
    (corpus.labels / "adjudications.jsonl").write_text(json.dumps(row | changes) + "\n", encoding="utf-8")


def _problems(corpus: "TinyCorpus") -> str:
    return "\n".join(map(str, check_corpus(corpus.seeds, corpus.labels)))


def test_a_dispute_needs_a_decision(disputed_corpus: "TinyCorpus") -> None:
    """Whose row wins is never decided by the order of files."""
    first = disputed_corpus.rows[0]["passage"]
    assert f"{first}: the annotators differ on advocacy_call; settle it in adjudications.jsonl" in _problems(disputed_corpus)


def test_the_decision_is_gold_and_doubts_are_kept(disputed_corpus: "TinyCorpus") -> None:
    """Agreed passages take the annotators' tags, the disputed one the adjudicator's; both are marked as what they are."""
    _decide(disputed_corpus)
    corpus = load_corpus(disputed_corpus.seeds, disputed_corpus.labels)
    assert [row.method for row in corpus.gold] == ["adjudicated", "agreed", "agreed", "agreed"]
    assert corpus.gold[0].tags["advocacy_call"] is True
    assert [row.unsure for row in corpus.gold] == [["advocacy_call"], [], [], ["historical_case"]]
    assert corpus.gold[0].sources == ["a", "b"]
    write_gold(corpus, disputed_corpus.labels)
    assert not _problems(disputed_corpus)


def test_a_tag_that_one_did_not_judge_is_no_dispute(disputed_corpus: "TinyCorpus") -> None:
    """Null is no opinion: the other annotator's counts."""
    disputed_corpus.rows[0]["tags"]["advocacy_call"] = None
    disputed_corpus.write()
    gold = load_corpus(disputed_corpus.seeds, disputed_corpus.labels).gold[0]
    assert (gold.method, gold.tags["advocacy_call"]) == ("agreed", True)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"tags": {"historical_case": True}}, "adjudicated are historical_case, in dispute are advocacy_call"),
        ({"tags": {}}, "adjudicated are no tags, in dispute are advocacy_call"),
        ({"reason": {}}, "each adjudicated tag needs a reason"),
        ({"reason": {"advocacy_call": " "}}, "each adjudicated tag needs a reason"),
        ({"text_sha256": "0"}, "text_sha256 '0' is not that of the passage"),
        ({"codebook": "0.9"}, "adjudicated by codebook '0.9', it is"),
        ({"passage": "one:0-1"}, "one:0-1: is no passage of the segmentation"),
        (
            {"tags": {"advocacy_call": None}},
            "adjudications.jsonl:1: tags: {'advocacy_call': None} is not an object of true or false",
        ),
        ({"extra": 1}, "adjudications.jsonl:1: extra: unknown field"),
    ],
)
def test_a_wrong_decision_is_named(disputed_corpus: "TinyCorpus", changes: dict[str, Any], message: str) -> None:
    """Each with the passage or line, the bad value and the allowed one."""
    _decide(disputed_corpus, **changes)
    assert message in _problems(disputed_corpus)


def test_a_decision_without_a_dispute_is_refused(tiny_corpus: "TinyCorpus") -> None:
    """A row that was left behind when annotators came to agree would overrule them in silence."""
    _decide(tiny_corpus)
    assert "adjudicated are advocacy_call, in dispute are none" in _problems(tiny_corpus)


def test_damaged_files_are_named(disputed_corpus: "TinyCorpus") -> None:
    """Not JSON, not an object, twice the same passage, not UTF-8."""
    path = disputed_corpus.labels / "adjudications.jsonl"
    _decide(disputed_corpus)
    line = path.read_text(encoding="utf-8")
    path.write_text("{\n[]\n\n" + line + line, encoding="utf-8")
    problems = _problems(disputed_corpus)
    assert "adjudications.jsonl:1: not JSON" in problems
    assert "adjudications.jsonl:2: a row is a JSON object, this is list" in problems
    assert f"adjudications.jsonl:5: passage: '{disputed_corpus.rows[0]['passage']}' stands there twice" in problems
    path.write_bytes(b"\xff")
    assert "adjudications.jsonl: cannot be read" in _problems(disputed_corpus)


def test_a_decision_may_not_break_what_tags_imply(disputed_corpus: "TinyCorpus") -> None:
    """A sanctions demand is always an advocacy call, also when the two were disputed apart."""
    second = disputed_corpus.rows[len(disputed_corpus.rows) // 2]
    second["tags"]["sanctions_demand"] = True
    second["evidence"]["sanctions_demand"] = second["evidence"]["advocacy_call"]
    second["rule"]["sanctions_demand"] = "sanctions_demand.yes.1"
    disputed_corpus.write()
    decided = {"sanctions_demand": True, "advocacy_call": False}
    _decide(disputed_corpus, tags=decided, reason=dict.fromkeys(decided, "because"))
    assert "sanctions_demand holds, so advocacy_call must hold too" in _problems(disputed_corpus)
