"""The segmentation: a table of cases, properties over generated documents, and the seeds."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labels.documents import load_documents
from labels.passages import MAX_PASSAGE_WORDS, Passage, split_passages

LONG_SENTENCE = " ".join(["word"] * 100)
WRAPPED = """The committee met in the spring of the year and heard from many
people who had come a long way to say what had happened to them
and to their kin."""
CASES: dict[str, tuple[str, list[tuple[str, str]]]] = {
    # name: (document, [(context, text), …])
    "paragraphs": ("One here.\n\nTwo here.", [("", "One here."), ("", "Two here.")]),
    "lines of their own": ("Jane Doe\nMay 2, 2015", [("", "Jane Doe"), ("", "May 2, 2015")]),
    "bullets": ("• one\n- two\n* three\n– four", [("", "one"), ("", "two"), ("", "three"), ("", "four")]),
    "numbered": ("1. One\n2) Two\n(3) Three", [("", "One"), ("", "Two"), ("", "Three")]),
    "number and dash": ("1-Identification of victims\n4- Support", [("", "Identification of victims"), ("", "Support")]),
    "an age is no number": ("9-year-old boy", [("", "9-year-old boy")]),
    "a quantity is no number": ("1.5 million people fled", [("", "1.5 million people fled")]),
    "roman numerals": ("IV. Findings", [("", "Findings")]),
    "an initial is no numeral": ("A. Smith spoke", [("", "A. Smith spoke")]),
    "letters": ("(a) one\n(b) two", [("", "one"), ("", "two")]),
    "sub-paragraphs hang on their paragraph": (
        "38. States should:\n\n38.1 act;\n\n- 38.2 require firms to:\n\n- publish;\n- report;\n\n  - 38.3 review.",
        [
            ("", "States should:"),
            ("States should:", "act;"),
            ("States should:", "require firms to:"),
            ("States should: require firms to:", "publish;"),
            ("States should: require firms to:", "report;"),
            ("States should:", "review."),
        ],
    ),
    "the lead-in is the last sentence": (
        "We met in May. We ask the council to:\n- stay;\n- listen.",
        [
            ("", "We met in May. We ask the council to:"),
            ("We ask the council to:", "stay;"),
            ("We ask the council to:", "listen."),
        ],
    ),
    "a paragraph ends a list": (
        "Causes:\n- one\n\nText.\n\n- two",
        [("", "Causes:"), ("Causes:", "one"), ("", "Text."), ("", "two")],
    ),
    "another numbering ends a list": ("Parts:\n- one\n\nI. Title", [("", "Parts:"), ("Parts:", "one"), ("", "Title")]),
    "a heading ends a list": (
        "Parts:\n- one\n\n## Next\n- two",
        [("", "Parts:"), ("Parts:", "one"), ("", "Next"), ("", "two")],
    ),
    "nested bullets": (
        "We ask:\n  • firms:\n    • to pay;\n  • states to act.",
        [("", "We ask:"), ("We ask:", "firms:"), ("We ask: firms:", "to pay;"), ("We ask:", "states to act.")],
    ),
    "three levels carry two": (
        "A:\n- b:\n  - c:\n    - deep",
        [("", "A:"), ("A:", "b:"), ("A: b:", "c:"), ("b: c:", "deep")],
    ),
    "wiki headings": ("== History ==\nText.\n===Early years===", [("", "History"), ("", "Text."), ("", "Early years")]),
    "markdown headings": ("# Title\n### **Part**", [("", "Title"), ("", "**Part**")]),
    "underlined heading": ("Title\n=====\n\nText.", [("", "Title"), ("", "Text.")]),
    "rules and page numbers": ("One.\n\n---\n\n1 2 3\n\nTwo.", [("", "One."), ("", "Two.")]),
    "footnotes": (
        "See above.¹\n\n¹ Smith, Book.\n\n[12] Jones.",
        [("", "See above.¹"), ("", "Smith, Book."), ("", "Jones.")],
    ),
    "a footnote in the middle of a paragraph": (
        "This long paragraph about many things goes on across\n\n¹ A note.\n\nThe Border of the page.",
        [
            ("", "This long paragraph about many things goes on across"),
            ("", "A note."),
            ("This long paragraph about many things goes on across", "The Border of the page."),
        ],
    ),
    "a page break": (
        "This long paragraph about many things goes on,\n\nacross the page.",
        [
            ("", "This long paragraph about many things goes on,"),
            ("This long paragraph about many things goes on,", "across the page."),
        ],
    ),
    "a short line is no first half": ("Annual report\n\nof the board", [("", "Annual report"), ("", "of the board")]),
    "bibliography": (
        "- Carter, April (eds.), A Guide, Merlin, 2013. ISBN 978.\n- Sharp, G. 2005.",
        [("", "Carter, April (eds.), A Guide, Merlin, 2013. ISBN 978."), ("", "Sharp, G. 2005.")],
    ),
    "hard-wrapped lines": (
        WRAPPED,
        [("", WRAPPED)],
    ),
    "an indented line goes on with its item": (
        "  • one that\n    goes on\n  • two",
        [("", "one that\n    goes on"), ("", "two")],
    ),
    "a hard break": ("*(Adopted in May  \nin Oslo)*", [("", "*(Adopted in May  \nin Oslo)*")]),
    "open emphasis": ("**FIGHTING CRIME IN\n2021 AND AFTER**", [("", "**FIGHTING CRIME IN\n2021 AND AFTER**")]),
    "quoted lines": ("> We urge you\n\n> to act", [("", "We urge you"), ("", "to act")]),
    "table rows": ("| a | b |\n|---|---|\n| c | d |", [("", "| a | b |"), ("", "| c | d |")]),
    "carriage returns": ("One.\r\n\r\n• Two.\r\n", [("", "One."), ("", "Two.")]),
    "a long paragraph is cut into the fewest even pieces": (
        f"{LONG_SENTENCE}. {LONG_SENTENCE.capitalize()}.",
        [("", f"{LONG_SENTENCE}."), ("", f"{LONG_SENTENCE.capitalize()}.")],
    ),
    "a longer sentence stays whole": (
        f"{LONG_SENTENCE} {LONG_SENTENCE}.",
        [("", f"{LONG_SENTENCE} {LONG_SENTENCE}.")],
    ),
    "a byte order mark": ("\ufeff# Title\n- item", [("", "Title"), ("", "item")]),
    "equals signs that are no heading": ("= a ==\n\n== b", [("", "= a =="), ("", "== b")]),
    "nothing": ("", []),
    "no letters": ("1 2 3\n***\n", []),
    "a marker alone is text": ("(a)", [("", "(a)")]),
}


@pytest.mark.parametrize(("document", "expected"), CASES.values(), ids=CASES)
def test_cases(document: str, expected: list[tuple[str, str]]) -> None:
    """Each kind of block becomes the passages and contexts that the table says."""
    assert expected == [(passage.context, passage.text) for passage in split_passages(document)]


def test_context_keeps_the_nearest_sixty_words() -> None:
    """A long lead-in loses its beginning, never its end."""
    lead_in = " ".join(f"w{number}" for number in range(80)) + " should:"
    context = split_passages(f"{lead_in}\n- act")[1].context
    assert len(context.split()) == 60
    assert context.endswith("w79 should:")


LINES = st.sampled_from(
    [
        "Member States should:",
        "ensure that",
        "- ",
        "• ",
        "1. ",
        "38.1 ",
        "== H ==",
        "¹ ",
        "[1] ",
        "\n",
        "\n\n",
        "  ",
        "a",
        "Z. ",
        "I. ",
        "> ",
        "|",
        "**",
        "# T",
        "\r\n",
        "\x0c",
        "(a) ",
        "3-T",
        "\xa0",
        "1.5 million",
        "word. Next",
        "\u2028",
        "�",
        "\x00",
    ]
)
DOCUMENTS = st.one_of(st.text(), st.lists(LINES, max_size=60).map("".join))


@given(DOCUMENTS)
def test_spans_are_ordered_disjoint_and_slice_back(document: str) -> None:
    """Spans never overlap, come in order, slice back to their text and carry no white space at their ends."""
    last = 0
    for passage in split_passages(document):
        assert last <= passage.start < passage.end
        assert passage.text == document[passage.start : passage.end] == passage.text.strip()
        last = passage.end


@given(DOCUMENTS)
def test_every_line_with_a_letter_is_covered(document: str) -> None:
    """No line that holds a letter is left out."""
    spans = [(passage.start, passage.end) for passage in split_passages(document)]
    offset = 0
    for line in document.splitlines(keepends=True):
        if any(map(str.isalpha, line)):
            assert any(start < offset + len(line) and end > offset for start, end in spans), repr(line)
        offset += len(line)


@given(st.sampled_from(["• ", "- ", "12. ", "38.1 ", "- 38.1 ", "(a) ", "IV. ", "¹ ", "[3] ", "## "]), st.text(min_size=1))
def test_spans_start_after_the_marker(marker: str, text: str) -> None:
    """Whatever follows a marker, the passage does not start with it."""
    passages = split_passages(f"{marker}Word {text}")
    assert len(marker) == passages[0].start


@given(st.lists(st.integers(min_value=1, max_value=120), min_size=2, max_size=12))
def test_long_paragraphs_are_cut_at_sentence_ends_into_few_pieces(lengths: list[int]) -> None:
    """No piece is over the limit when no sentence is, and no two neighbours would have fitted into one less piece."""
    document = " ".join(" ".join(["Word", *["word"] * (length - 1)]) + "." for length in lengths)
    pieces = [len(passage.text.split()) for passage in split_passages(document)]
    assert sum(lengths) == sum(pieces)
    assert max(pieces) <= max(MAX_PASSAGE_WORDS, *lengths)
    assert len(pieces) <= _fewest(lengths)


@pytest.mark.parametrize(
    "piece",
    [
        ".",
        "a. ",
        "*",
        "”",
        "[1]",
        "[1] ",
        "¹",
        "\u00a0",
        " ",
        "=",
        "= ",
        ">",
        "- ",
        "**a ",
        "a.”",
        ":",
        "\n  word",
        "a**b\n",
        "x  \n",
        "(",
        "1.",
    ],
)
def test_segmentation_is_linear_in_any_text(piece: str) -> None:
    """A quarter of a million characters of one mark are cut in a moment (a quadratic step would hang here)."""
    for document in (
        f"- a{piece * (250_000 // len(piece))}",
        f"Word {piece * (250_000 // len(piece))}x:",
        f"= {piece * 100_000}a",
    ):
        assert isinstance(split_passages(document), list)


def _fewest(lengths: list[int]) -> int:
    if sum(lengths) <= MAX_PASSAGE_WORDS:
        return 1
    pieces, filled = 1, 0
    for length in lengths:
        if filled and filled + length > MAX_PASSAGE_WORDS:
            pieces, filled = pieces + 1, 0
        filled += length
    return pieces


def test_seed_passages_are_short_and_many() -> None:
    """The five documents give passages of at most 180 words, each with at most 60 words of context."""
    passages: list[Passage] = [passage for document in load_documents() for passage in split_passages(document.text)]
    assert len(passages) == 584
    assert max(len(passage.text.split()) for passage in passages) <= MAX_PASSAGE_WORDS
    assert max(len(passage.context.split()) for passage in passages) <= 60
