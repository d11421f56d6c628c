"""HTML into text: the main content of a web page, or the whole of a chapter, as Markdown with one block a line."""

import logging
import re
import warnings

import trafilatura
from bs4 import BeautifulSoup, MarkupResemblesLocatorWarning, XMLParsedAsHTMLWarning
from markdownify import MarkdownConverter

from serving.extraction.extracted import Extracted, ExtractionError, Source
from serving.extraction.plain import decode

_BOILERPLATE = ("script", "style", "noscript", "template", "nav", "svg", "form", "iframe", "head")
"""Never text of a document."""
_PLAIN_MARKS = ["a", "img", "b", "strong", "i", "em", "u", "s", "del", "sub", "sup", "code", "kbd", "samp", "q"]
_AROUND = ("footer", "aside", "header")
_MIN_CHARACTERS = 200
"""Main content shorter than this may be a wrong guess: then the page is taken without what stands around its text."""
_DEEPEST = 400
"""Elements within elements; the parsers beneath recurse."""
_TAG = re.compile(r"<(/?)([A-Za-z][A-Za-z0-9]*+)([^<>]*+)>")
_VOID = frozenset({"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "p", "li", "source", "td", "tr"})

logging.getLogger("trafilatura").setLevel(logging.CRITICAL)  # it logs what it cannot read, text included


def read_html(source: Source) -> Extracted:
    """The main content of a web page. Raises ExtractionError."""
    html = decode(source.content, declared=True)
    text = page_text(html)
    if not text.strip():
        raise ExtractionError("no_text", "the page holds no text")
    return Extracted(text=text)


def page_text(html: str) -> str:
    """The main content of a page, without menus and the like; of a page that has none, all of it."""
    _check_depth(html)
    found = trafilatura.extract(html, output_format="html", include_comments=False, include_tables=True, favor_recall=True)
    main = block_text(found) if found else ""
    return main if len(main) >= _MIN_CHARACTERS else block_text(html, without=_BOILERPLATE + _AROUND)


def block_text(html: str, without: tuple[str, ...] = _BOILERPLATE) -> str:
    """All text of an HTML document or fragment as Markdown: `#`, `-` and `1.` stand, emphasis and links go.

    Elements named in `without` are left out with all that they hold.
    """
    _check_depth(html)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MarkupResemblesLocatorWarning)
        warnings.simplefilter("ignore", XMLParsedAsHTMLWarning)
        soup = BeautifulSoup(html, "lxml")
    for element in soup(list(without)):
        element.decompose()
    converter = MarkdownConverter(
        heading_style="ATX",
        bullets="-",
        strip=_PLAIN_MARKS,
        escape_asterisks=False,
        escape_underscores=False,
        escape_misc=False,
        wrap=True,
        wrap_width=None,
    )
    text: str = converter.convert_soup(soup)
    lines = (line.rstrip() for line in text.replace("\xa0", " ").splitlines())
    return re.sub(r"\n{3,}", "\n\n", "\n".join(line for line in lines if line != "```")).strip() + "\n"


def _check_depth(html: str) -> None:
    """Raise ExtractionError for markup nested deeper than any real page."""
    opened: list[str] = []
    for closing, name, rest in _TAG.findall(html):
        lowered = name.lower()
        if rest.endswith("/") or lowered in _VOID:
            continue
        if not closing:
            opened.append(lowered)
        elif lowered in opened:  # else it closes nothing
            while opened.pop() != lowered:
                pass
        if len(opened) > _DEEPEST:
            raise ExtractionError("too_deep", f"elements are nested more than {_DEEPEST} deep")
