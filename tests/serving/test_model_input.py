import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labels.documents import load_documents
from labels.passages import split_passages
from serving.model_input import ModelInput, model_input

CASES = {
    "bullet": ("• We urge the EU", "We urge the EU"),
    "bullet and number": ("- 38.1 ensure access", "ensure access"),
    "number": ("12. The State", "The State"),
    "wiki heading": ("== History ==", "History"),
    "markdown heading": ("### **I. Aim**", "Aim"),
    "emphasis": ("we **call on** the *EU* and ***all***", "we call on the EU and all"),
    "underscores": ("_so_ and __so__ but snake_case", "so and so but snake_case"),
    "a lone star": ("2 * 3 is 6", "2 * 3 is 6"),
    "links and images": ("see [the report](https://a.b/c_(d)) ![logo](x.png)", "see the report logo"),
    "an empty link": ("Available [online](#).", "Available online."),
    "html": ("the 12<sup>th</sup> <b>day</b><br>of <!-- x -->May &amp; June", "the 12th day of May & June"),
    "less than": ("a < b and c > d", "a < b and c > d"),
    "footnote marks": ("It grew.¹² We know[7] why[^3].", "It grew. We know why."),
    "code and strikes": ("`code` ~~gone~~", "code gone"),
    "white space": ("a\u00a0b\n  c\t", "a b c"),
    "NFC": (unicodedata.normalize("NFD", "Ngô Đình Diệm"), "Ngô Đình Diệm"),
    "a quote": ("> We urge you", "We urge you"),
    "nothing but marks": ("** **", ""),
}


@pytest.mark.parametrize(("text", "expected"), CASES.values(), ids=CASES)
def test_marks_come_off(text: str, expected: str) -> None:
    """Marks of the format go, words stay; text and context are treated alike."""
    assert ModelInput(text=expected, context=expected) == model_input(text, text)


def test_no_seed_passage_keeps_a_list_mark() -> None:
    """No passage of the seeds begins with a marker or holds emphasis once it is read."""
    for document in load_documents():
        for passage in split_passages(document.text):
            cleaned = model_input(passage.text, passage.context).text
            assert cleaned
            assert not cleaned.startswith(("•", "- ", "#", "=", "*"))
            assert "**" not in cleaned


def test_runs_of_combining_marks_are_broken_up() -> None:
    """Only texts with runs that no language writes are touched."""
    assert model_input("e\u0301" * 1500).text == "é" * 1500
    assert "\u034f" in model_input("e" + "\u0301" * 3000).text


@given(st.text())
def test_any_text_becomes_normal_text(text: str) -> None:
    """White space is single, ends are bare, the form is NFC, whatever comes in."""
    cleaned = model_input(text).text
    assert cleaned == " ".join(cleaned.split())
    assert unicodedata.is_normalized("NFC", cleaned)


@pytest.mark.parametrize(
    "piece", ["[", "<a", "(", "*", "_", "[x](", "](", "<!--", "`", "&lt;", "¹", "\u0300\u0316", "..", ". "]
)
def test_long_runs_of_marks_take_no_long_time(piece: str) -> None:
    """A hundred thousand characters of an unclosed mark are read in a moment (a quadratic pattern would hang here)."""
    assert isinstance(model_input(piece * (100_000 // len(piece))).text, str)
