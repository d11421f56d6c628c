"""Sentence ends: where a long paragraph may be cut, and which sentence of a lead-in is carried.

English prose of the kind the seeds hold: quotes, footnote marks, initials and the usual abbreviations.
"""

import re
from collections.abc import Iterator

# Possessive throughout, and never tried twice within one run of marks: linear in any text.
_BOUNDARY = re.compile(
    r"""
    (?<![.!?…])[.!?…]++                      # the sentence's own end,
    [”"’')\]»]*+                             # closing quotes and brackets,
    (?:\[\d{1,3}\]|[¹²³⁰⁴-⁹]++)*+            # footnote marks,
    [*_]*+                                   # closing emphasis,
    (?:\s++|(?<=\])(?=[A-Z“]))               # then white space (or a "[14]" with none after it)
    (?=[“"‘'(\[«*_]*[A-Z0-9ÀÁÂÄÇÈÉÊËÍÎÓÔÖÚÜ])  # and a sentence's beginning.
    """,
    re.VERBOSE,
)
_LAST_WORD = re.compile(r"([\w.]+)$")
_ABBREVIATIONS = frozenset(
    (  # noqa: SIM905 - a column of quoted words is no easier to read
        "dr mr mrs ms prof st no nos art arts para paras vol pp p ed eds cf vs etc e.g i.e al fig sec ch gen col lt sgt "
        "capt hon rev jr sr inc ltd co corp gov sen rep jan feb mar apr jun jul aug sept sep oct nov dec u.s u.n u.k"
    ).split()
)


def sentence_starts(text: str) -> list[int]:
    """Offsets at which the sentences of `text` begin, the first one 0. Never empty."""
    return [0, *(match.end() for match in _boundaries(text))]


def sentence_spans(text: str, start: int, end: int, most: int) -> list[tuple[int, int]]:
    """Spans of the sentences in `text[start:end]`, white space around them left out; of more than `most`, a few joined."""
    starts = [start + offset for offset in sentence_starts(text[start:end])]
    step = -(-len(starts) // most)
    firsts = starts[::step]
    pairs = zip(firsts, [*firsts[1:], end], strict=True)
    trimmed = [(right - len(text[left:right].lstrip()), left + len(text[left:right].rstrip())) for left, right in pairs]
    return [(left, right) for left, right in trimmed if left < right]


def last_sentence(text: str) -> str:
    """The last sentence of `text`; `text` itself when it holds only one."""
    return text[sentence_starts(text)[-1] :]


def _boundaries(text: str) -> Iterator[re.Match[str]]:
    for match in _BOUNDARY.finditer(text):
        if not re.match(r"\.[\s\[¹²³⁰⁴-⁹]", match.group()):  # "No.” Then" ends a sentence whatever word it is
            yield match
            continue
        word = _LAST_WORD.search(text, max(0, match.start() - 40), match.start())
        stem = word.group(1).lower() if word else ""
        if stem not in _ABBREVIATIONS and not (len(stem) == 1 and stem.isalpha()):
            yield match
