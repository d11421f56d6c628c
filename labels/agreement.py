"""How far annotators agree: per tag Cohen's kappa and positive agreement, for the set of tags Krippendorff's alpha.

Sources: Cohen 1960, "A Coefficient of Agreement for Nominal Scales"; Cicchetti and Feinstein 1990, "High agreement but
low kappa" (positive agreement); Krippendorff 2011, "Computing Krippendorff's Alpha-Reliability"; Passonneau 2006,
"Measuring Agreement on Set-valued Items (MASI)".
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations

from labels.adjudication import current_rows
from labels.annotations import Annotation

Tags = frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class TagAgreement:
    """Two annotators on one tag: counts of passages, and what follows from them."""

    tag: str
    both: int
    only_first: int
    only_second: int
    neither: int

    @property
    def kappa(self) -> float:
        """Cohen's kappa; nan when chance alone would make them agree everywhere."""
        total = self.both + self.only_first + self.only_second + self.neither
        if not total:
            return float("nan")
        first, second = self.both + self.only_first, self.both + self.only_second
        chance = (first * second + (total - first) * (total - second)) / total**2
        return ((self.both + self.neither) / total - chance) / (1 - chance) if chance < 1 else float("nan")

    @property
    def positive(self) -> float:
        """Share of agreement among the positive judgements: the F1 of one annotator against the other."""
        judgements = 2 * self.both + self.only_first + self.only_second
        return 2 * self.both / judgements if judgements else float("nan")


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """Two annotators on the passages that both have judged whole."""

    first: str
    second: str
    passages: int
    tags: list[TagAgreement]
    alpha: float
    """Krippendorff's alpha over sets of tags, with the MASI distance."""
    unsure: dict[str, int]
    """Annotator -> passages with an unsure mark."""


def agreements(annotations: Sequence[Annotation], names: Sequence[str]) -> list[Agreement]:
    """Every pair of annotators that share a passage; passages with a tag that one did not judge are left out."""
    by_passage = current_rows(annotations)
    annotators = sorted({row.annotator for row in annotations})
    found = [_pair(first, second, by_passage, names) for first, second in combinations(annotators, 2)]
    return [one for one in found if one.passages]


def agreement_table(pair: Agreement) -> str:
    """The figures of a pair as a Markdown table, as `tagger labels agree` and the dataset card show them."""
    lines = [
        (
            f"{pair.first} and {pair.second} on {pair.passages} passages; "
            f"Krippendorff's alpha over sets of tags (MASI): {pair.alpha:.3f}"
        ),
        "",
        f"| tag | both | only {pair.first} | only {pair.second} | neither | Cohen's kappa | positive agreement |",
        "| --- | --: | --: | --: | --: | --: | --: |",
    ]
    lines += [
        f"| {one.tag} | {one.both} | {one.only_first} | {one.only_second} | {one.neither} "
        f"| {one.kappa:.3f} | {one.positive:.3f} |"
        for one in pair.tags
    ]
    unsure = ", ".join(f"{count} of {annotator}" for annotator, count in pair.unsure.items())
    return "\n".join([*lines, "", f"Passages with an unsure mark: {unsure}."])


def masi_distance(one: Tags, other: Tags) -> float:
    """Distance of two sets of tags, 0 to 1.

    One minus Jaccard's index times 1, 2/3, 1/3 or 0 for sets that are equal, nested, crossing or disjoint.
    """
    if one == other:
        return 0.0
    shared = len(one & other)
    if not shared:
        return 1.0
    monotonicity = 2 / 3 if one <= other or other <= one else 1 / 3
    return 1 - shared / len(one | other) * monotonicity


def krippendorff_alpha(units: Sequence[Sequence[Tags]], distance: Callable[[Tags, Tags], float] = masi_distance) -> float:
    """Alpha over units, each the judgements of its annotators; units with fewer than two are left out.

    1 is full agreement, 0 what chance gives. nan when there is no pair, or all judgements are the same.
    """
    pairable = [unit for unit in units if len(unit) > 1]
    values = [value for unit in pairable for value in unit]
    if not values:
        return float("nan")
    observed = sum(
        2 * sum(distance(one, other) for one, other in combinations(unit, 2)) / (len(unit) - 1) for unit in pairable
    ) / len(values)
    counts: dict[Tags, int] = {}
    for value in values:
        counts[value] = counts.get(value, 0) + 1
    expected = sum(2 * counts[one] * counts[other] * distance(one, other) for one, other in combinations(counts, 2)) / (
        len(values) * (len(values) - 1)
    )
    return 1 - observed / expected if expected else float("nan")


def _pair(first: str, second: str, by_passage: dict[str, dict[str, Annotation]], names: Sequence[str]) -> Agreement:
    shared = [(rows[first], rows[second]) for rows in by_passage.values() if first in rows and second in rows]
    whole = [pair for pair in shared if all(row.tags[name] is not None for row in pair for name in names)]
    return Agreement(
        first=first,
        second=second,
        passages=len(whole),
        tags=[_tag(name, whole) for name in names],
        alpha=krippendorff_alpha([[_set(row) for row in pair] for pair in whole]),
        unsure={annotator: sum(bool(pair[place].unsure) for pair in whole) for place, annotator in enumerate((first, second))},
    )


def _tag(name: str, pairs: Sequence[tuple[Annotation, Annotation]]) -> TagAgreement:
    judged = [(bool(one.tags[name]), bool(other.tags[name])) for one, other in pairs]
    return TagAgreement(
        tag=name,
        both=judged.count((True, True)),
        only_first=judged.count((True, False)),
        only_second=judged.count((False, True)),
        neither=judged.count((False, False)),
    )


def _set(row: Annotation) -> Tags:
    return frozenset(name for name, holds in row.tags.items() if holds)
