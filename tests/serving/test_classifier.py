"""The classifier on a real bundle: every kind of passage gets its answer, and no passage sees its neighbours."""

import math
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from labels.documents import load_documents
from labels.passages import split_passages
from serving.admission import MAX_PASSAGE_CHARS
from serving.bundle import BundleError, Decisions
from serving.classifier import Classifier, calibrated
from serving.results import Options, PassageIn
from serving.scheduler import DeadlineExceededError, JobCancelledError

TAGS = ["advocacy_call", "sanctions_demand", "victim_support_measure", "historical_case"]
LONG = "We urge the council to act. " * 100


def test_a_passage_gets_scores_in_tag_order(classifier: Classifier) -> None:
    """Scores are probabilities of every tag, tags are those at or over their threshold."""
    [result] = classifier.score([PassageIn(text="We urge the Council to impose an arms embargo on the junta.")])
    assert result.error is None
    assert TAGS == list(result.scores) == classifier.manifest.tags
    assert all(0 <= score <= 1 for score in result.scores.values())
    limits = classifier.manifest.decisions.thresholds
    assert [tag for tag, limit in zip(TAGS, limits, strict=True) if result.scores[tag] >= limit] == result.tags
    assert not result.truncated
    assert result.parts is None


def test_scores_do_not_depend_on_neighbours(classifier: Classifier) -> None:
    """Scored alone, among 584 others and by eight threads at once, a passage has the very same scores."""
    passages = [
        PassageIn(text=passage.text, context=passage.context)
        for document in load_documents()
        for passage in split_passages(document.text)
    ]
    together = classifier.score(passages)
    alone = [classifier.score_one(passage) for passage in passages[::10]]
    assert [result.logits for result in together[::10]] == [result.logits for result in alone]
    with ThreadPoolExecutor(8) as pool:
        halves = list(pool.map(lambda part: classifier.score(passages[part::8]), range(8)))
    assert [result.logits for result in together[3::8]] == [result.logits for result in halves[3]]


def test_context_matters(classifier: Classifier) -> None:
    """The lead-in is read with the item."""
    item = PassageIn(text="ensure access to shelters")
    with_lead_in = replace(item, context="Member States should:")
    assert classifier.score_one(item).logits != classifier.score_one(with_lead_in).logits


def test_no_passages_no_results(classifier: Classifier) -> None:
    """An empty batch is answered by an empty list."""
    assert classifier.score([]) == []


@pytest.mark.parametrize(
    ("text", "code", "detail"),
    [
        ("", "empty", "holds no text"),
        (" \n\u00a0", "empty", "holds no text"),
        ("** **", "empty", "holds no text"),
        ("ab\ud800", "lone_surrogate", "character 2 is a lone surrogate (U+D800)"),
        ("a\0", "nul_character", "character 1 is NUL (U+0000)"),
        (LONG, "too_long", 'at most 382 are allowed; set "long" to "truncate" or "split"'),
        ("a" * (MAX_PASSAGE_CHARS + 1), "too_long", "100001 characters, at most 100000 are allowed"),
    ],
    ids=["empty", "blank", "marks only", "surrogate", "nul", "too long", "far too long"],
)
def test_a_passage_that_cannot_be_scored_says_why(classifier: Classifier, text: str, code: str, detail: str) -> None:
    """The bad one has an error, its neighbour has scores."""
    bad, good = classifier.score([PassageIn(text=text), PassageIn(text="fine")])
    assert bad.error is not None
    assert code == bad.error.code
    assert detail in bad.error.detail
    assert bad.scores == {}
    assert good.error is None


def test_a_bad_context_is_an_error_too(classifier: Classifier) -> None:
    """Context is checked like text."""
    error = classifier.score_one(PassageIn(text="fine", context="\0")).error
    assert error is not None
    assert error.code == "nul_character"


def test_truncate_scores_the_beginning(classifier: Classifier) -> None:
    """The cut is told."""
    result = classifier.score_one(PassageIn(text=LONG), Options(long="truncate"))
    assert result.truncated
    assert result.tokens == 384


def test_split_scores_every_piece_and_takes_the_maximum(classifier: Classifier) -> None:
    """Pieces carry offsets into the text; the passage's logit is the highest of a piece."""
    text = LONG + "In 1963 a coup toppled the president after months of protest."
    result = classifier.score_one(PassageIn(text=text), Options(long="split"))
    assert result.parts is not None
    assert len(result.parts) > 1
    assert text == "".join(text[part.start : part.end] + " " for part in result.parts).rstrip()
    for tag in TAGS:
        assert math.isclose(result.scores[tag], max(part.scores[tag] for part in result.parts))


def test_split_of_a_short_passage_has_no_parts(classifier: Classifier) -> None:
    """What fits is scored whole, whatever is asked for."""
    assert classifier.score_one(PassageIn(text="short"), Options(long="split")).parts is None


def test_a_past_deadline_is_told_before_anything_is_computed(classifier: Classifier) -> None:
    """The deadline is looked at for each passage."""
    with pytest.raises(DeadlineExceededError):
        classifier.score([PassageIn(text="a")] * 4, deadline=time.monotonic() - 1)


def test_the_deadline_holds_within_a_long_passage(classifier: Classifier) -> None:
    """A passage of a hundred parts stops at the part at which its time is over."""
    started = time.monotonic()
    with pytest.raises(DeadlineExceededError):
        classifier.score([PassageIn(text="word " * 19_000)], Options(long="split"), deadline=time.monotonic() + 0.2)
    assert time.monotonic() - started < 60


def test_a_score_that_is_no_number_is_an_item_error(classifier: Classifier) -> None:
    """A broken model's NaN reaches nobody as a score."""
    result = classifier._decide(np.array([0.0, np.nan, 0.0, 0.0]), Options(), tokens=1, truncated=False)
    assert result.error is not None
    assert result.error.code == "not_finite"


def test_a_broken_engine_fails_the_call_and_not_the_classifier(classifier: Classifier, monkeypatch: pytest.MonkeyPatch) -> None:
    """An exception in a scoring thread reaches the caller; the next call is answered."""
    with monkeypatch.context() as patch:
        patch.setattr(classifier, "_logits", lambda encoded: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            classifier.score([PassageIn(text="a")] * 3)
    assert classifier.score([PassageIn(text="a")])[0].error is None


def test_a_score_in_the_review_band_is_named(classifier: Classifier, monkeypatch: pytest.MonkeyPatch) -> None:
    """`review` lists the tags whose score lies in the bundle's band."""
    everything = replace(classifier.manifest.decisions, review=[[0.0, 1.0]] * 4)
    monkeypatch.setattr(classifier, "manifest", replace(classifier.manifest, decisions=everything))
    assert classifier.score_one(PassageIn(text="a")).review == TAGS


def test_a_canary_that_is_no_number_is_wrong(classifier: Classifier, monkeypatch: pytest.MonkeyPatch) -> None:
    """A score that cannot be compared is no score that is right."""
    decisions = replace(classifier.manifest.decisions, offsets=[math.nan] * 4)
    monkeypatch.setattr(classifier, "manifest", replace(classifier.manifest, decisions=decisions))
    with pytest.raises(BundleError, match="a canary's score differs by nan"):
        classifier.check_canaries()


def test_calibration_is_temperature_and_offset() -> None:
    """Score = sigmoid(logit / temperature + offset), far out too."""
    decisions = Decisions(temperature=2.0, offsets=[1.0, 0.0, 0.0], thresholds=[0.5] * 3, review=[[0, 0]] * 3)
    scores = calibrated([2.0, -4000.0, 4000.0], decisions)
    assert math.isclose(1 / (1 + math.exp(-2)), scores[0])
    assert scores[1:] == [0.0, 1.0]


@given(st.text(max_size=2000))
def test_any_text_is_answered(classifier: Classifier, text: str) -> None:
    """Whatever the text, there are scores or an error, never neither and never an exception."""
    result = classifier.score_one(PassageIn(text=text), Options(long="split"))
    assert bool(result.scores) != (result.error is not None)


def test_a_dropped_job_stops_within_a_long_passage(classifier: Classifier) -> None:
    """Between two parts it is asked whether anybody still waits."""
    asked: list[int] = []

    def dropped() -> bool:
        asked.append(1)
        return len(asked) == 3

    with pytest.raises(JobCancelledError):
        classifier.score_one(PassageIn(text="word " * 19_000), Options(long="split"), None, dropped)
    assert len(asked) == 3


def test_thresholds_of_the_caller_decide(classifier: Classifier) -> None:
    """At nought every tag is given, at one none; such a tag is never listed for review, whatever its score."""
    tags = classifier.manifest.tags
    passage = PassageIn(text="We urge the Council to act. It rained.")
    every = classifier.score_one(passage, Options(thresholds=dict.fromkeys(tags, 0.0)))
    none = classifier.score_one(passage, Options(thresholds=dict.fromkeys(tags, 1.0)))
    assert (every.tags, every.review, none.tags, none.review) == (tags, [], [], [])
    assert every.scores == classifier.score_one(passage).scores
    one = classifier.score_one(passage, Options(thresholds={tags[0]: 0.0}))
    assert set(one.tags) == {*classifier.score_one(passage).tags, tags[0]}


def test_the_sentence_that_carries_a_tag(classifier: Classifier) -> None:
    """Offsets slice back; the sentence is the one with the highest score when it is read alone, with the context."""
    demand = "We urge the Council to freeze their assets."
    text = f"  It rained on Tuesday. {demand} The hall was cold. "
    tags = classifier.manifest.tags
    options = Options(sentences=True, thresholds=dict.fromkeys(tags, 0.0))
    found = classifier.score_one(PassageIn(text=text, context="The meeting:"), options).sentences
    assert found
    assert list(found) == tags
    assert text[found["advocacy_call"].start : found["advocacy_call"].end] == demand
    alone = classifier.score_one(PassageIn(text=demand, context="The meeting:"))
    assert found["advocacy_call"].score == alone.scores["advocacy_call"]


def test_numbered_sentences_are_split_without_losing_any(classifier: Classifier) -> None:
    """A marker is taken off where a sentence stands alone and read where it stands within a part: no part is cut."""
    for marker in ("({})", "{}.2", "{})"):
        text = " ".join(f"{marker.format(number)} The state shall act." for number in range(1, 190))
        found = classifier.score_one(PassageIn(text=text), Options(long="split"))
        assert found.parts
        pieces = [text[part.start : part.end] for part in found.parts]
        assert " ".join(pieces) == text
        for piece, part in zip(pieces, found.parts, strict=True):
            alone = classifier.score_one(PassageIn(text=piece))
            assert (alone.error, alone.tokens) == (None, part.tokens)


def test_only_what_was_read_can_carry_a_tag(classifier: Classifier) -> None:
    """Of a passage that was cut, no sentence beyond the cut; white space before a sentence is not part of it."""
    text = "  \n " + "It rained. " * 300 + "We urge the Council to act."
    options = Options(long="truncate", sentences=True, thresholds={"advocacy_call": 0.0})
    found = classifier.score_one(PassageIn(text=text), options)
    assert found.truncated
    assert found.sentences
    assert text[found.sentences["advocacy_call"].start :].startswith("It rained.")
    assert found.sentences["advocacy_call"].end < 3000


def test_very_many_sentences_are_looked_at_a_few_at_a_time(classifier: Classifier) -> None:
    """A bounded number of passes, whatever a caller sends; what they cost is counted."""
    options = Options(long="truncate", sentences=True, thresholds={"advocacy_call": 0.0})
    context = "The meeting went on and on. " * 300
    found = classifier.score_one(PassageIn(text="Go on. " * 2800, context=context), options)
    assert 0 < found.extra_tokens <= 32 * (384 // 32 + 120)


@pytest.mark.parametrize("text", ["\u200b", "\ufeff", "\x01", " \u200b\n"])
def test_a_text_without_a_token_is_empty(classifier: Classifier, text: str) -> None:
    """Nothing to read is never scored as if it were a passage."""
    error = classifier.score_one(PassageIn(text=text)).error
    assert error
    assert error.code == "empty"


def test_sentences_only_of_tags_that_are_given_and_only_when_asked(classifier: Classifier) -> None:
    """No tag, no sentence; a long passage that is split has them too; a passage with an error has none."""
    none = Options(sentences=True, thresholds=dict.fromkeys(classifier.manifest.tags, 1.0))
    assert classifier.score_one(PassageIn(text="A. B."), none).sentences == {}
    assert classifier.score_one(PassageIn(text="A. B.")).sentences is None
    split = Options(long="split", sentences=True, thresholds={"advocacy_call": 0.0})
    found = classifier.score_one(PassageIn(text="It rained. " * 400), split)
    assert found.parts
    assert found.sentences
    assert classifier.score_one(PassageIn(text=""), none).sentences is None
