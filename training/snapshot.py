"""All that a training run reads, frozen: reviewed passages, passages labelled since, authored ones; and their folds.

Training reads the reviewed base and the store's current rows together, a vote an annotator and passage. Evaluation reads the
reviewed labels alone. A seed is one fold; further reviewed documents are packed whole into at most five more. Whatever was
labelled since leaves the training side of a fold when it is of the document that is held out or nearly copies a passage of it.
"""

import hashlib
import json
import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from datasets import Dataset

from labels.adjudication import GoldRow
from labels.authored import AuthoredPassage
from labels.codebook import Codebook
from labels.corpus import Corpus
from labels.near_copies import near_copies
from labels.store import Label, passage_key
from labels.votes import VotedPassage, voted
from serving.model_input import ModelInput, model_input
from serving.whole import whole
from training.dataset import AUTHORED, AddedPassage, build_dataset, dataset_sha256
from training.folds import Fold, document_folds
from training.metrics import Floats

MOST_PACKS = 5
"""Folds that further documents share."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """The labels of one moment."""

    names: tuple[str, ...]
    reviewed: list[GoldRow]
    """Gold: what is evaluated."""
    taught: list[dict[str, bool | None]]
    """Of each reviewed passage the tags to train on: those of the votes, null where they are tied."""
    added: list[AddedPassage]
    """Passages that only the store knows."""
    authored: list[AuthoredPassage]
    ties: list[str]
    """Passages with the tags on which the votes are tied, for people to read."""
    left_out: list[str]
    """Rows of the store that do not vote, and why."""
    codebook: str
    seeds: tuple[str, ...]
    """Ids of the seed documents."""

    def dataset(self) -> Dataset:
        """What is trained on: reviewed passages, then added ones, then authored ones."""
        taught = [replace(row, tags=tags) for row, tags in zip(self.reviewed, self.taught, strict=True)]
        return build_dataset(taught, self.names, self.authored, self.added)

    def gold(self) -> Floats:
        """Reviewed labels, shape (reviewed passages, tags): 1, 0, or NaN where nobody judged."""
        return self._array([row.tags for row in self.reviewed])

    def taught_labels(self) -> Floats:
        """What is trained on of the reviewed passages, in the same shape: NaN also where the votes are tied."""
        return self._array(self.taught)

    def groups(self) -> list[str]:
        """Of each reviewed passage the fold that holds it out: its seed, or the pack of its document."""
        packs = packed(Counter(row.document for row in self.reviewed if row.document not in self.seeds))
        return [packs.get(row.document, row.document) for row in self.reviewed]

    def folds(self) -> list[Fold]:
        """One fold a seed and pack; indices into the dataset."""
        groups = self.groups()
        added = [f"{AUTHORED} since"] * len(self.added)
        mimics = [*[None] * (len(groups) + len(added)), *(row.mimics for row in self.authored)]
        plain = document_folds([*groups, *added, *[AUTHORED] * len(self.authored)], mimics)
        leaves = self._leaving(groups)
        return [
            replace(fold, train=[at for at in fold.train if fold.name not in leaves.get(at, ())])
            for fold in plain
            if fold.name in groups
        ]

    def document(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "names": list(self.names),
            "codebook": self.codebook,
            "seeds": list(self.seeds),
            "ties": self.ties,
            "left_out": self.left_out,
            "reviewed": [asdict(row) for row in self.reviewed],
            "taught": self.taught,
            "added": [asdict(row) for row in self.added],
            "authored": [row.id for row in self.authored],
        }

    def _array(self, rows: Sequence[Mapping[str, bool | None]]) -> Floats:
        values = [[math.nan if (holds := tags[name]) is None else float(holds) for name in self.names] for tags in rows]
        return np.array(values, dtype=np.float64).reshape(-1, len(self.names))

    def _leaving(self, groups: Sequence[str]) -> dict[int, set[str]]:
        """Row of the dataset -> folds whose training side it leaves, beyond those of its own group."""
        reviewed = [row.text for row in self.reviewed]
        later = [at for at, row in enumerate(self.reviewed) if row.document not in self.seeds]
        first_added = len(reviewed)
        rows = [*later, *range(first_added, first_added + len(self.added))]
        texts = [*(reviewed[at] for at in later), *(row.text for row in self.added)]
        packs = {row.document: group for row, group in zip(self.reviewed, groups, strict=True)}
        leaves: dict[int, set[str]] = {at: set() for at in rows}
        for at, row in enumerate(self.added, start=first_added):
            leaves[at].add(packs.get(row.document, row.document))
        for number, copied in near_copies(texts, reviewed).items():
            leaves[rows[number]] |= {groups[at] for at in copied}
        for number, copying in near_copies(reviewed, [reviewed[at] for at in later]).items():
            leaves.setdefault(number, set()).update(groups[later[at]] for at in copying if later[at] != number)
        return leaves


def take(corpus: Corpus, authored: Sequence[AuthoredPassage], rows: Sequence[Label] = ()) -> Snapshot:
    """Join the reviewed base with the current rows of a label store; `rows` of `LabelStore.current()`."""
    names, version = corpus.codebook.names, corpus.codebook.version
    places = {(row.document, passage_key(row.text, row.context)): at for at, row in enumerate(corpus.gold)}
    votes_cast, left_out = _cast(corpus, rows, version)
    given = {(row.document, row.passage, row.annotator): row.tags for row in votes_cast}
    # The base counts as often as it has annotators, but for the tags that these have judged again since.
    base = {
        key: [
            {name: holds for name, holds in corpus.gold[at].tags.items() if given.get((*key, source), {}).get(name) is None}
            for source in corpus.gold[at].sources
        ]
        for key, at in places.items()
    }
    taught: list[dict[str, bool | None]] = [dict(row.tags) for row in corpus.gold]
    added: list[AddedPassage] = []
    votes = [_consistent(vote, corpus.codebook) for vote in voted(votes_cast, names, base)]
    for vote in votes:
        at = places.get((vote.document, vote.passage))
        if at is not None:
            taught[at] = {name: vote.tags[name] for name in names}
        elif any(holds is not None for holds in vote.tags.values()):
            added.append(AddedPassage(document=vote.document, text=vote.text, context=vote.context, tags=vote.tags))
    return Snapshot(
        names=names,
        reviewed=list(corpus.gold),
        taught=taught,
        added=added,
        authored=list(authored),
        ties=[_told(vote) for vote in votes if vote.ties],
        left_out=left_out,
        codebook=version,
        seeds=tuple(document.id for document in corpus.documents),
    )


def _cast(corpus: Corpus, rows: Sequence[Label], version: str) -> tuple[list[Label], list[str]]:
    """The rows that vote, one an annotator and passage, and why others do not.

    A row that gives a reviewed passage without its lead-ins or its marks is a row of that passage, and rows that the model
    reads alike are of one passage. What a review was made from has its say in the review.
    """
    cleaned: dict[tuple[str, str], list[GoldRow]] = defaultdict(list)
    for gold in corpus.gold:
        cleaned[gold.document, model_input(gold.text).text].append(gold)
    sources = {(one.document, passage_key(one.text, one.context)): one.sources for one in corpus.gold}
    first: dict[tuple[str, ModelInput], Label] = {}
    votes: dict[tuple[str, str, str], Label] = {}
    left_out: list[str] = []
    for row in rows:
        text = model_input(row.text).text
        if row.codebook != version or not text:
            why = f"judged by codebook {row.codebook}" if text else "no text but marks"
            left_out.append(f"{row.document} {row.passage[:12]}: {why} ({row.annotator})")
            continue
        same = cleaned.get((row.document, text), [])
        exact = [one for one in same if passage_key(one.text, one.context) == row.passage]
        found = exact or same
        if len(found) == 1:
            one = replace(row, passage=passage_key(found[0].text, found[0].context))
            key = (one.document, one.passage)
            if row.annotator in sources[key] and not _is_after(row.at, corpus.reviewed_at.get(key, "")):
                continue
        else:
            alike = first.setdefault((row.document, model_input(row.text, row.context)), row)
            one = replace(row, passage=alike.passage, text=alike.text, context=alike.context)
        votes[one.document, one.passage, one.annotator] = one
    return list(votes.values()), left_out


def _is_after(at: str, reviewed: str) -> bool:
    """Whether a time is after that of a review, both ISO 8601 in UTC; of a review only the day may be known."""
    return at[: len(reviewed)] > reviewed if reviewed else True


def _consistent(vote: VotedPassage, codebook: Codebook) -> VotedPassage:
    """The vote without a tag that holds while one that it implies does not: people voted tag by tag."""
    broken = [tag.name for tag in codebook.tags if vote.tags[tag.name] and not all(vote.tags[one] for one in tag.implies)]
    if not broken:
        return vote
    return replace(vote, tags={**vote.tags, **dict.fromkeys(broken)}, ties=[*vote.ties, *broken])


def packed(sizes: Counter[str]) -> dict[str, str]:
    """Document -> its pack, of at most five that are about equally large; largest documents first (LPT, Graham 1969)."""
    loads = [0] * min(MOST_PACKS, len(sizes))
    packs: dict[str, str] = {}
    for document, size in sorted(sizes.items(), key=lambda entry: (-entry[1], entry[0])):
        lightest = loads.index(min(loads))
        loads[lightest] += size
        packs[document] = f"further-{lightest + 1}"
    return packs


def write_snapshot(folder: Path, snapshot: Snapshot) -> Path:
    """Keep a snapshot by the hash of its dataset; the file."""
    path = folder / f"{dataset_sha256(snapshot.dataset())[:16]}.json"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        with whole(path) as part:
            part.write_text(json.dumps(snapshot.document(), ensure_ascii=False), encoding="utf-8")
    return path


def snapshot_sha256(snapshot: Snapshot) -> str:
    """Hash of all that a run reads of the labels, gold included."""
    return hashlib.sha256(
        json.dumps([snapshot.document(), dataset_sha256(snapshot.dataset())], sort_keys=True).encode()
    ).hexdigest()


def _told(vote: VotedPassage) -> str:
    return f"{vote.document} {vote.passage[:12]}: {', '.join(vote.ties)} ({', '.join(vote.annotators)})"
