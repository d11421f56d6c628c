"""`tagger labels …`: check the labels, say how annotators agree, build the flat file, show the passages of a text."""

import argparse
import json
import sys
from collections import Counter
from dataclasses import asdict
from pathlib import Path

from labels.adjudication import read_adjudications
from labels.agreement import agreement_table, agreements
from labels.authored import load_authored
from labels.corpus import LABELS, check_corpus, load_corpus, write_gold
from labels.diversity import diversity_table
from labels.passages import split_passages
from labels.problems import CorpusError


def main(arguments: list[str]) -> int:
    """Run one labels command; the exit status."""
    parser = argparse.ArgumentParser(prog="tagger labels", description="The labelled corpus.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    commands.add_parser("check", help="list every problem of the committed labels")
    commands.add_parser("agree", help="print how far the annotators agree, and what was adjudicated")
    commands.add_parser("diversity", help="print how varied the authored passages are")
    commands.add_parser("build", help="write labels/gold.jsonl from the annotations")
    # These need the database or the model; serving/cli.py calls them and does not come here.
    commands.add_parser("import", help="labels from a file of a labelling tool into the store")
    commands.add_parser("export", help="labels of the store into a file of a labelling tool")
    commands.add_parser("queue", help="what to label next")
    commands.add_parser("promote", help="reviewed labels of the store into the base in git")
    commands.add_parser("errors", help="labels that are likely wrong (extra `train`)")
    show = commands.add_parser("passages", help="print the passages of a text file as JSON lines")
    show.add_argument("file", type=Path, help="a UTF-8 text or Markdown file")
    options = parser.parse_args(arguments)
    if options.command == "check":
        return _check()
    if options.command == "agree":
        return _agree()
    if options.command == "diversity":
        return _diversity()
    if options.command == "build":
        return _build()
    return _show(options.file)


def _check() -> int:
    problems = check_corpus()
    for problem in problems:
        print(problem, file=sys.stderr)
    if problems:
        print(f"{len(problems)} problems", file=sys.stderr)
        return 1
    corpus = load_corpus()
    counts = Counter(name for row in corpus.gold for name, holds in row.tags.items() if holds)
    tags = ", ".join(f"{name} {counts[name]}" for name in corpus.codebook.names)
    print(f"{len(corpus.gold)} passages of {len(corpus.documents)} documents, no problems: {tags}")
    return 0


def _agree() -> int:
    try:
        corpus = load_corpus()
    except CorpusError as error:
        print(error, file=sys.stderr)
        return 1
    for pair in agreements(corpus.annotations, corpus.codebook.names):
        print(agreement_table(pair))
    methods = Counter(row.method for row in corpus.gold)
    print("\nGold labels: " + ", ".join(f"{count} {method}" for method, count in methods.most_common()))
    decided, _ = read_adjudications(LABELS / "adjudications.jsonl")  # its problems are the corpus's, which has none
    for row in decided:
        for name, holds in row.tags.items():
            print(f"{row.passage} {name}: {'yes' if holds else 'no'}, by {row.adjudicator}: {row.reason[name]}")
    return 0


def _diversity() -> int:
    try:
        corpus = load_corpus()
        authored = load_authored(corpus.codebook, corpus.documents)
    except CorpusError as error:
        print(error, file=sys.stderr)
        return 1
    print(diversity_table(authored, corpus.codebook.names))
    return 0


def _build() -> int:
    try:
        corpus = load_corpus()
    except CorpusError as error:
        print(error, file=sys.stderr)
        return 1
    print(f"wrote {write_gold(corpus)}: {len(corpus.gold)} passages")
    return 0


def _show(path: Path) -> int:
    try:
        text = path.read_bytes().decode("utf-8")
    except OSError as error:
        print(f"{path}: cannot be read: {error.strerror}", file=sys.stderr)
        return 1
    except UnicodeDecodeError as error:
        print(f"{path}: not UTF-8: byte {error.start} is {error.object[error.start]:#04x}", file=sys.stderr)
        return 1
    for passage in split_passages(text):
        print(json.dumps(asdict(passage), ensure_ascii=False))
    return 0
