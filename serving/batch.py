"""`tagger score`: documents and JSON lines in, one JSON line a passage out.

    tagger score reports/ notes.md passages.jsonl -o scores.jsonl

Text and Markdown documents are cut into passages; a .jsonl file holds one passage a line: {"text", "context", "id"}.
The output is written beside its place and moved there when it is whole; `-o -` writes to standard output.
"""

import argparse
import json
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, TextIO, get_args

from labels.passages import split_passages
from serving.bundle import BundleError
from serving.classifier import Classifier
from serving.progress import Advance, counter
from serving.results import LongPolicy, Options, PassageIn, Result
from serving.settings import load_settings

DOCUMENT_SUFFIXES = frozenset({".txt", ".text", ".md", ".markdown"})
LINES_SUFFIX = ".jsonl"
_CHUNK = 256
"""Passages in memory at a time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Item:
    """A passage to score with the place it came from, or what is wrong with that place."""

    place: dict[str, Any]
    passage: PassageIn | None = None
    problem: str = ""


def main(arguments: list[str]) -> int:
    """Score inputs; 0 when all went well, 1 when something could not be read or scored, 2 when nothing was done."""
    settings = load_settings()
    parser = argparse.ArgumentParser(prog="tagger score", description="Tag documents and passages, write JSON lines.")
    parser.add_argument("inputs", nargs="+", type=Path, help="text, Markdown and .jsonl files, and folders of them")
    parser.add_argument("-o", "--output", default="-", type=_name, help="the file to write; - for standard output (default)")
    parser.add_argument("--bundle", type=Path, default=settings.champion, help="folder of the bundle (default: %(default)s)")
    parser.add_argument(
        "--long", choices=get_args(LongPolicy), default="split", help="passages too long for the model (default: split)"
    )
    options = parser.parse_args(arguments)
    for path in options.inputs:
        if options.output != "-" and path.is_file() and Path(options.output).exists() and path.samefile(options.output):
            print(f"tagger score: {path} is an input and the output; name another output", file=sys.stderr)
            return 2
    try:
        classifier = Classifier.load(options.bundle, settings.threads)
    except BundleError as error:
        print(f"tagger score: {error}", file=sys.stderr)
        return 2
    try:
        with _output(options.output) as out, counter("scoring", "passages") as advance:
            items = _items(options.inputs, Path(options.output))
            failed = _score_all(classifier, items, options.long, out, advance)
    except BrokenPipeError:
        raise
    except OSError as error:
        print(f"tagger score: {error.filename or options.output}: cannot be written: {error.strerror}", file=sys.stderr)
        return 2
    finally:
        classifier.close()
    if failed:
        print(f"tagger score: {failed} of the inputs or passages failed; their rows say why", file=sys.stderr)
    return 1 if failed else 0


def _score_all(classifier: Classifier, items: Iterator[_Item], long: LongPolicy, out: TextIO, advance: Advance) -> int:
    failed = 0
    while chunk := list(islice(items, _CHUNK)):
        passages = [item.passage for item in chunk if item.passage]
        results = iter(classifier.score(passages, Options(long=long)))
        for item in chunk:
            row = _row(item, next(results) if item.passage else None, classifier.manifest.name)
            failed += "error" in row
            out.write(json.dumps(row, ensure_ascii=False) + "\n")
        advance(len(chunk))
    return failed


def _row(item: _Item, result: Result | None, model: str) -> dict[str, Any]:
    if result is None:
        return {**item.place, "error": {"code": "unreadable", "detail": item.problem}}
    if result.error:
        return {**item.place, "error": {"code": result.error.code, "detail": result.error.detail}}
    return {
        **item.place,
        "tags": result.tags,
        "scores": result.scores,
        "review": result.review,
        "tokens": result.tokens,
        "truncated": result.truncated,
        "model": model,
    }


def _items(inputs: Iterable[Path], output: Path) -> Iterator[_Item]:
    """Passages of all inputs, in order; in folders, hidden files and the output of an earlier run are left alone."""
    for path in inputs:
        if not path.is_dir():
            yield from _items_of(path)
            continue
        for found in sorted(path.rglob("*")):
            hidden = any(part.startswith(".") for part in found.relative_to(path).parts)
            known = found.suffix.lower() in {*DOCUMENT_SUFFIXES, LINES_SUFFIX}
            if known and not hidden and found.is_file() and not (output.exists() and found.samefile(output)):
                yield from _items_of(found)


def _items_of(path: Path) -> Iterator[_Item]:
    if path.suffix.lower() == LINES_SUFFIX:
        yield from _lines_of(path)
    elif path.suffix.lower() in DOCUMENT_SUFFIXES:
        yield from _passages_of(path)
    else:
        known = ", ".join(sorted({*DOCUMENT_SUFFIXES, LINES_SUFFIX}))
        yield _Item(place={"document": _shown(path)}, problem=f"a file of type {path.suffix or 'none'!r} (known: {known})")


def _passages_of(path: Path) -> Iterator[_Item]:
    try:
        text = path.read_bytes().decode("utf-8")
    except OSError as error:
        yield _Item(place={"document": _shown(path)}, problem=f"cannot be read: {error.strerror}")
        return
    except UnicodeDecodeError as error:
        byte = error.object[error.start]
        yield _Item(place={"document": _shown(path)}, problem=f"is not UTF-8: byte {error.start} is {byte:#04x}")
        return
    for passage in split_passages(text):
        place = {
            "document": _shown(path),
            "start": passage.start,
            "end": passage.end,
            "context": passage.context,
            "text": passage.text,
        }
        yield _Item(place=place, passage=PassageIn(text=passage.text, context=passage.context))


def _lines_of(path: Path) -> Iterator[_Item]:
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                if line.strip():
                    yield _line(path, number, line)
    except OSError as error:
        yield _Item(place={"document": _shown(path)}, problem=f"cannot be read: {error.strerror}")


def _line(path: Path, number: int, line: bytes) -> _Item:
    place: dict[str, Any] = {"document": _shown(path), "line": number}
    try:
        data = json.loads(line.decode("utf-8-sig"), parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        return _Item(place=place, problem=f"line {number} is not JSON: {error}")
    if not isinstance(data, dict):
        return _Item(place=place, problem=f"line {number} is not a JSON object with `text`")
    text, context, name = data.get("text"), data.get("context", ""), data.get("id")
    for field, value in (("text", text), ("context", context)):
        if not isinstance(value, str):
            return _Item(place=place, problem=f"line {number}: `{field}` is {type(value).__name__}, not a string")
    if name is not None:
        place["id"] = name
    if _is_broken(name):
        place.pop("id")
        return _Item(place=place, problem=f"line {number}: `id` holds a lone surrogate")
    try:
        f"{text}{context}".encode()
    except UnicodeEncodeError:  # the classifier names the place; the row could not be written with the text in it
        return _Item(place=place, passage=PassageIn(text=str(text), context=str(context)))
    place |= {"context": context, "text": text}
    return _Item(place=place, passage=PassageIn(text=str(text), context=str(context)))


def _is_broken(value: object) -> bool:
    """Whether a value of JSON holds text that no file can hold."""
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return True
    return False


def _refuse_constant(name: str) -> None:
    message = f"{name} is no JSON"
    raise ValueError(message)


def _shown(path: Path) -> str:
    """A path as text; bytes of a file name that are no UTF-8 show as U+FFFD."""
    return os.fsencode(path).decode("utf-8", "replace")


def _name(value: str) -> str:
    if not value:
        message = "an empty name; give a file, or - for standard output"
        raise argparse.ArgumentTypeError(message)
    return value


@contextmanager
def _output(name: str) -> Iterator[TextIO]:
    """Standard output, or a file that appears under its name only when it is whole.

    A link is followed; a device or a pipe is written to as it is, never replaced.
    """
    if name == "-":
        with nullcontext(sys.stdout) as out:
            yield out
            out.flush()
        return
    target = Path(name).resolve()
    if target.exists() and not target.is_file():
        with target.open("w", encoding="utf-8", newline="\n") as out:
            yield out
        return
    temporary = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        with temporary.open("w", encoding="utf-8", newline="\n") as out:
            yield out
            out.flush()
            os.fsync(out.fileno())
        os.replace(temporary, target)  # noqa: PTH105 - the atomic form, named as what it is
    finally:
        temporary.unlink(missing_ok=True)
