"""What several studies say of the cells that they share, each by its own test.

A cell is compared within each study: with the baseline, paired by seed, adjusted for the
comparisons of that study. Losses of different studies are neither pooled nor ranked together.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import combinations
from typing import Any, NamedTuple

from reports.analysis.against_baseline import UNTESTED, BaselineTest, Reading
from reports.analysis.comparison import Comparison, VariantRow, compare
from reports.results.frame import StudyResults
from reports.results.joined import JoinedCell, JoinedResults, qualified
from studies.configuration import flatten
from studies.records import Outcome

TEXT_KEYS = ("data.corpus", "data.corpus_digest", "data.subset", "data.revision",
             "data.text_column", "data.tokenizer", "data.tokenizer_digest",
             "data.vocabulary_size", "data.end_documents")  # fmt: skip
"""What the text of a run is."""
SIZE_KEYS = (
    "model.n_layers", "model.n_heads", "model.d_model", "model.d_ff", "model.context_length",
)  # fmt: skip
"""What the size of the built-in model is."""

Values = tuple[Any, ...]


class JoinedReading(Enum):
    """What the tests of all studies allow to say of a cell, the reasons against any verdict first.

    Of the first that applies; `LOWER` and `HIGHER` need the test of every study of the report.
    """

    UNTESTED = "no study has a test, or one has no verdict on what its test shows"
    UNDETECTED = "no study that has a test shows a difference"
    OPPOSITE = "significant, with different signs"
    PARTLY = "significant in some studies, with one sign; the test of another shows no difference"
    OPEN = "significant in some studies, with one sign; no other one has a verdict"
    ABSENT = "significant in every study that has the cell, with one sign; some have it not"
    REPEATED = "significant in every study, with one sign, on the same text, size and seeds"
    LOWER = "significantly lower in every study"
    HIGHER = "significantly higher in every study"

    @property
    def is_consistent(self) -> bool:
        """Whether every study says the same of it, on evidence of its own."""
        return self in (JoinedReading.LOWER, JoinedReading.HIGHER)


@dataclass(frozen=True)
class JoinedRow:
    """A shared cell: what each study knows of it."""

    cell: JoinedCell
    sides: tuple[VariantRow | None, ...]
    """By study; None where it has no such cell."""
    same_evaluation: bool
    """Whether all losses of the cell are on one evaluation set, so that they may stand together."""
    alike: tuple[tuple[int, int], ...]
    """Pairs of studies whose runs of this cell are no separate evidence."""
    reading: JoinedReading | None
    """None for the baseline, and where studies have different ones."""
    runs: tuple[str, ...]
    """The runs behind it, as `qualified` calls them."""


@dataclass(frozen=True)
class JoinedComparison:
    """The shared cells, in the order of the report."""

    rows: tuple[JoinedRow, ...]
    studies: tuple[str, ...]
    letters: tuple[str, ...]
    comparisons: tuple[Comparison, ...]
    """Of each study by itself."""
    baseline: str | None
    """Label of the baseline of all studies; None where they have different ones."""
    baselines: tuple[str, ...]
    """Label of the baseline of each study."""
    outcomes: dict[Outcome, int]
    searching: bool


def compare_joined(joined: JoinedResults) -> JoinedComparison:
    """Every shared cell by the tests of each study."""
    comparisons = tuple(compare(results) for results in joined.studies)
    by_variant = [{row.variant: row for row in found.rows} for found in comparisons]
    baseline = joined.baseline
    rows = []
    for cell in joined.shared:
        sides = tuple(
            rows_of.get(variant) if variant else None
            for rows_of, variant in zip(by_variant, cell.variants, strict=True)
        )
        alike = tuple(_alike(joined, cell))
        tests = [side.test if side else None for side in sides]
        is_read = baseline is not None and cell is not baseline
        rows.append(
            JoinedRow(
                cell,
                sides,
                same_evaluation=_same_evaluation(joined, cell),
                alike=alike,
                reading=joined_reading(tests, separate=not alike) if is_read else None,
                runs=tuple(_behind(joined, cell)),
            )
        )
    return JoinedComparison(
        rows=tuple(rows),
        studies=joined.names,
        letters=joined.letters,
        comparisons=comparisons,
        baseline=baseline.label if baseline else None,
        baselines=joined.baselines,
        outcomes=joined.outcomes(),
        searching=joined.searching,
    )


def joined_reading(tests: Sequence[BaselineTest | None], *, separate: bool) -> JoinedReading:
    """What the tests of a cell allow to say together.

    Args:
        tests: with the baseline, one for each study of the report; None where it has no such cell.
        separate: whether no two studies repeat each other: on the same text and size, with a seed
            in common, the second one is no new evidence.
    """
    readings = {test.reading for test in tests if test is not None}
    signs = {sign_of(reading) for reading in readings}
    if {-1, 1} <= signs:
        return JoinedReading.OPPOSITE
    if not any(signs):
        is_open = Reading.AT_EDGE in readings or readings <= set(UNTESTED)
        return JoinedReading.UNTESTED if is_open else JoinedReading.UNDETECTED
    if not all(signs):
        others = {reading for reading in readings if not reading.is_significant}
        is_partly = any(map(has_verdict, others))
        return JoinedReading.PARTLY if is_partly else JoinedReading.OPEN
    if None in tests:
        return JoinedReading.ABSENT
    if not separate:
        return JoinedReading.REPEATED
    return JoinedReading.LOWER if signs == {-1} else JoinedReading.HIGHER


def has_verdict(reading: Reading) -> bool:
    """Whether a study says something of a difference, be it that none was detected."""
    return reading is not Reading.AT_EDGE and reading not in UNTESTED


def sign_of(reading: Reading) -> int:
    """Sign of a difference that is there by Holm's procedure in its study; 0 without one."""
    if not reading.is_significant:
        return 0
    return -1 if reading in (Reading.LOWER, Reading.BETTER) else 1


def _same_evaluation(joined: JoinedResults, cell: JoinedCell) -> bool:
    """Whether the digests are known in each study that has the cell, and are one."""
    found = [
        results.compared.evaluation_sets([variant])
        for results, variant in zip(joined.studies, cell.variants, strict=True)
        if variant is not None
    ]
    return all(len(digests) == 1 for digests in found) and len(set.union(*found)) == 1


def _behind(joined: JoinedResults, cell: JoinedCell) -> Iterator[str]:
    """The compared runs of the cell, and those of the baseline of each study that has it."""
    for results, variant in zip(joined.studies, cell.variants, strict=True):
        both = (variant, results.plan.baseline) if variant else ()
        for run in results.compared.plan.runs:
            if run.variant in both and run.run_key in results.records:
                yield qualified(results.name, run.run_key)


def _alike(joined: JoinedResults, cell: JoinedCell) -> list[tuple[int, int]]:
    """Pairs of studies that have runs of the cell on one text, at one size, with common draws."""
    known = [
        (i, _evidence(results, variant))
        for i, (results, variant) in enumerate(zip(joined.studies, cell.variants, strict=True))
        if variant is not None
    ]
    return [(i, j) for (i, one), (j, other) in combinations(known, 2) if one.repeats(other)]


class _Evidence(NamedTuple):
    """What tells whether the compared runs of two variants repeat each other."""

    size: Values
    text: Values
    """As the configuration names it."""
    digests: frozenset[str]
    """Of the text, as runs recorded it."""
    draws: frozenset[tuple[str, int]]
    """Seeds of the start and of the order of the data."""

    def repeats(self, other: _Evidence) -> bool:
        """Whether a common seed means common draws: on one text, whatever it is called."""
        same_text = self.text == other.text or bool(self.digests & other.digests)
        return same_text and self.size == other.size and bool(self.draws & other.draws)


def _evidence(results: StudyResults, variant: str) -> _Evidence:
    compared = results.compared
    flat = flatten(results.plan.cell(variant).configuration)
    draws = set()
    for run in compared.plan.runs:
        if run.variant == variant:
            for key in ("training.initialization_seed", "training.data_seed"):
                seed = flat.get(key)
                draws.add((key, run.seed if seed is None else int(seed)))
    own = sorted((key, str(value)) for key, value in flat.items() if key.startswith("module."))
    return _Evidence(
        size=(*(flat.get(key) for key in SIZE_KEYS), *own),
        text=tuple(flat.get(key) for key in TEXT_KEYS),
        digests=frozenset(
            str(record.facts["data_digest"])
            for record in compared.records.values()
            if record.variant == variant and "data_digest" in record.facts
        ),
        draws=frozenset(draws),
    )
