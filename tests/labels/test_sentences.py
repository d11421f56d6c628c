import pytest

from labels.sentences import last_sentence, sentence_starts

CASES = [
    ("One. Two.", ["One.", "Two."]),
    ("He said “No.” Then he left.", ["He said “No.”", "Then he left."]),
    ("Dr. Smith met U.S. officials. They agreed.", ["Dr. Smith met U.S. officials.", "They agreed."]),
    ("J. Smith wrote it. Fine.", ["J. Smith wrote it.", "Fine."]),
    ("It grew.¹² We know why.", ["It grew.¹²", "We know why."]),
    ("For political reasons.[14]These findings stand.", ["For political reasons.[14]", "These findings stand."]),
    ("Is it so? Yes! Good.", ["Is it so?", "Yes!", "Good."]),
    ("See para. 4 of No. 7 and so on. next", ["See para. 4 of No. 7 and so on. next"]),
    ("**It is bold.** Next one.", ["**It is bold.**", "Next one."]),
    ("", [""]),
]


@pytest.mark.parametrize(("text", "expected"), CASES)
def test_sentences(text: str, expected: list[str]) -> None:
    """A text is cut where its sentences end and nowhere else."""
    starts = sentence_starts(text)
    assert expected == [text[left:right].strip() for left, right in zip(starts, [*starts[1:], len(text)], strict=True)]


def test_last_sentence_of_one_is_the_text() -> None:
    """A single sentence is its own last."""
    assert last_sentence("States should:") == "States should:"
