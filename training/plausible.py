"""Do added labels contradict everything that was learned so far? Then a person should look before they train a model.

A label owner who inverts a tag, or imports a file whose columns have moved, gives labels that the champion contradicts more
often than not, or, where the tag is neither rare nor common, worse than chance; honest labels of a new kind of document it
merely misses. Looked at document by document, and all added passages together, since many small documents hide as much.
"""

import math
from collections import defaultdict

from labels.near_copies import near_copies
from serving.classifier import Classifier
from serving.results import Options, PassageIn
from training.snapshot import Snapshot

MIN_JUDGED = 10
"""Passages of a document that a tag was judged in before its labels are doubted."""
MIN_AGREEMENT = -0.1
"""Cohen's kappa of labels and champion under which a tag's labels of a document are doubted; 0 is chance."""
MIN_AGREED = 0.5
"""Share of the labels that the champion agrees with under which they are doubted when they give the tag more often than it
does: a champion that tags too much contradicts honest labels too."""
TOGETHER = "all documents added"
MOST_TIED = 0.1
"""Share of the passages added whose votes may be tied."""


def problems_of(snapshot: Snapshot) -> list[str]:
    """What makes labels unfit to train on: a tag without positives or without negatives."""
    found: list[str] = []
    for name in snapshot.names:
        judged = [tags[name] for tags in [*snapshot.taught, *(row.tags for row in snapshot.added)] if tags[name] is not None]
        if all(judged) or not any(judged):
            found.append(f"{name}: {sum(map(bool, judged))} of {len(judged)} judged passages carry it, so it cannot be learned")
    return found


def doubts_of(champion: Classifier, snapshot: Snapshot) -> list[str]:
    """What a person should look at: added labels that contradict the champion, or the reviewed labels of near copies."""
    found: list[str] = []
    if len(snapshot.ties) > MOST_TIED * max(1, len(snapshot.added)) and len(snapshot.ties) > MIN_JUDGED:
        found.append(f"the votes on {len(snapshot.ties)} passages are tied")
    results = champion.score(
        [PassageIn(text=row.text, context=row.context) for row in snapshot.added], Options(long="truncate")
    )
    pairs: dict[tuple[str, str], list[tuple[bool, bool]]] = defaultdict(list)
    for row, result in zip(snapshot.added, results, strict=True):
        for name in snapshot.names:
            if (holds := row.tags[name]) is not None and not result.error:
                for place in (row.document, TOGETHER):
                    pairs[place, name].append((holds, name in result.tags))
    for (place, name), some in pairs.items():
        agreed = sum(one == other for one, other in some) / len(some)
        kappa = _kappa(some)
        more = sum(one for one, _ in some) > sum(other for _, other in some)
        if len(some) >= MIN_JUDGED and ((agreed < MIN_AGREED and more) or kappa < MIN_AGREEMENT):
            said = f"the champion agrees with {agreed:.0%} of {len(some)} labels (kappa {kappa:.2f})"
            found.append(f"{name} in {place}: {said}")
    copies = near_copies([row.text for row in snapshot.added], [row.text for row in snapshot.reviewed])
    for name in snapshot.names:
        looked = [
            (snapshot.added[at].tags[name], snapshot.reviewed[other].tags[name])
            for at, others in copies.items()
            for other in others
        ]
        both = [(one, other) for one, other in looked if one is not None and other is not None]
        against = sum(one != other for one, other in both)
        if len(both) >= MIN_JUDGED and against > len(both) / 2:
            found.append(f"{name}: {against} of {len(both)} added labels contradict the reviewed labels of near copies")
    return found


def _kappa(pairs: list[tuple[bool, bool]]) -> float:
    """Cohen's kappa; 0 when both say one and the same of all, which says nothing."""
    total = len(pairs)
    agreed = sum(one == other for one, other in pairs) / total
    first, second = sum(one for one, _ in pairs) / total, sum(other for _, other in pairs) / total
    chance = first * second + (1 - first) * (1 - second)
    return 0.0 if math.isclose(chance, 1.0) else (agreed - chance) / (1 - chance)
