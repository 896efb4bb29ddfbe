"""The results of several studies, joined on the cells that they share.

Cells of two studies are one where every key that is a factor in any of the studies has the same
value in both: a factor that one study varies and another holds fixed joins at the fixed value.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from string import ascii_uppercase

from reports.results.frame import StudyResults
from reports.words import any_of, level_label
from studies.configuration import flatten
from studies.errors import AblationError
from studies.plan import Cell, Plan
from studies.records import Outcome, RunRecord
from studies.values import Scalar

LONGEST_NAME = 120
"""Letters of the name of a report; what is longer is cut, and told apart by a digest."""


@dataclass(frozen=True)
class JoinedCell:
    """A cell in one study or in several."""

    name: str
    """Variant in the first study that has it; with the study where that name is of several."""
    label: str
    variants: tuple[str | None, ...]
    """Its variant in each study; None where a study has no such cell."""

    @property
    def is_shared(self) -> bool:
        """Whether at least two studies have it."""
        return sum(variant is not None for variant in self.variants) > 1


@dataclass(frozen=True, eq=False)
class JoinedResults:
    """What is known about several studies that share cells."""

    studies: tuple[StudyResults, ...]
    """In the order in which they were named."""
    cells: tuple[JoinedCell, ...]
    """Of all studies: in the order of the first, then what the next ones add."""

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the studies."""
        return tuple(results.plan.study.name for results in self.studies)

    @property
    def name(self) -> str:
        """Name of the report, and of its folder."""
        return joined_name(self.names)

    @property
    def letters(self) -> tuple[str, ...]:
        """How tables and figures call the studies."""
        return tuple(ascii_uppercase[: len(self.studies)])

    @property
    def shared(self) -> tuple[JoinedCell, ...]:
        """Cells of at least two studies."""
        return tuple(cell for cell in self.cells if cell.is_shared)

    @property
    def baseline(self) -> JoinedCell | None:
        """The cell that is the baseline of every study; None where they have different ones."""
        named = tuple(results.plan.baseline for results in self.studies)
        return next((cell for cell in self.cells if cell.variants == named), None)

    @property
    def baselines(self) -> tuple[str, ...]:
        """Label of the baseline of each study, as the cell is called here."""
        return tuple(
            next(
                cell.label for cell in self.cells if cell.variants[number] == results.plan.baseline
            )
            for number, results in enumerate(self.studies)
        )

    @cached_property
    def records(self) -> dict[str, RunRecord]:
        """Record by run key; of a run that several studies have, that of the best outcome."""
        found: dict[str, RunRecord] = {}
        order = list(Outcome).index
        for results in self.studies:
            for key, record in results.records.items():
                if key not in found or order(record.outcome) < order(found[key].outcome):
                    found[key] = record
        return found

    @property
    def run_keys(self) -> frozenset[str]:
        """Keys of all planned runs, each once."""
        return frozenset[str]().union(*(results.plan.run_keys for results in self.studies))

    @property
    def repeated(self) -> frozenset[str]:
        """Keys of the runs that are planned in more than one study."""
        counts = Counter(key for results in self.studies for key in results.plan.run_keys)
        return frozenset(key for key, count in counts.items() if count > 1)

    def outcomes(self) -> dict[Outcome, int]:
        """How many planned runs ended how; a run of several studies is counted once."""
        ended = Counter(record.outcome for record in self.records.values())
        missing = len(self.run_keys) - len(self.records)
        return {o: ended[o] + (missing if o is Outcome.MISSING else 0) for o in Outcome}

    @property
    def searching(self) -> bool:
        """Whether the search of a study may ask for more runs."""
        return not all(results.plan.is_settled for results in self.studies)


def qualified(study: str, run_key: str) -> str:
    """What the report calls a run: two studies may have runs of one key, with a record each."""
    return f"{study}/{run_key}"


def legend(letters: Sequence[str], studies: Sequence[str]) -> str:
    """Which letter stands for which study: "A: docs; B: code"."""
    return "; ".join(f"{a}: {name}" for a, name in zip(letters, studies, strict=True))


def joined_name(studies: Sequence[str]) -> str:
    """Name of the report of some studies: "A+B"."""
    name = "+".join(studies)
    if len(name) <= LONGEST_NAME:
        return name
    return f"{name[:LONGEST_NAME]}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def join_results(studies: Sequence[StudyResults]) -> JoinedResults:
    """Join studies on their cells.

    Raises:
        AblationError: one is named twice, they are too many, or no two of them share a cell.
    """
    names = [results.plan.study.name for results in studies]
    for name, count in Counter(names).items():
        if count > 1:
            raise AblationError(
                f"the study {name!r} is named {count} times: a joint report compares different "
                "studies. Name each one once."
            )
    if not 2 <= len(names) <= len(ascii_uppercase):
        raise AblationError(
            f"a joint report is of 2 to {len(ascii_uppercase)} studies, not of {len(names)}."
        )
    joined = JoinedResults(tuple(studies), _cells([results.plan for results in studies]))
    if not joined.shared:
        factors = "; ".join(f"{r.plan.study.name}: {_factors_text(r.plan)}" for r in studies)
        raise AblationError(
            f"{any_of(names, 'and')} have no cell in common, so there is nothing to compare "
            f"({factors}). Cells are one where all these factors have the same values; name "
            "studies that share some, or report each one by itself."
        )
    return joined


def _factors(plan: Plan) -> dict[str, list[Scalar]]:
    levels: dict[str, list[Scalar]] = {}
    for cell in plan.cells:
        for key in cell.levels:
            value = flatten(cell.configuration).get(key)
            known = levels.setdefault(key, [])
            if value not in known:
                known.append(value)
    return levels


def _factors_text(plan: Plan) -> str:
    listed = [f"{key} {', '.join(map(str, found))}" for key, found in _factors(plan).items()]
    return " · ".join(listed) or "no factor"


def _cells(plans: Sequence[Plan]) -> tuple[JoinedCell, ...]:
    factors = list(dict.fromkeys(key for plan in plans for key in _factors(plan)))
    places: dict[tuple[Scalar, ...], list[Cell | None]] = {}
    for number, plan in enumerate(plans):
        for cell in plan.cells:
            flat = flatten(cell.configuration)
            at = tuple(flat.get(key) for key in factors)
            places.setdefault(at, [None] * len(plans))[number] = cell
    varied = [key for i, key in enumerate(factors) if len({at[i] for at in places}) > 1]
    found = [next(cell for cell in cells if cell is not None) for cells in places.values()]
    labels = [_label(cell, varied) for cell in found]
    studies = [
        next(plan.study.name for plan, cell in zip(plans, cells, strict=True) if cell)
        for cells in places.values()
    ]
    names = [cell.variant for cell in found]
    own = [f"{study} {name}" for study, name in zip(studies, names, strict=True)]
    return tuple(
        JoinedCell(name, label, tuple(cell.variant if cell else None for cell in cells))
        for name, label, cells in zip(
            _different(names, own), _different(labels, own), places.values(), strict=True
        )
    )


def _different(texts: Sequence[str], instead: Sequence[str]) -> list[str]:
    """The texts, with another one in place of each that stands there more than once."""
    count = Counter(texts)
    return [text if count[text] == 1 else other for text, other in zip(texts, instead, strict=True)]


def _label(cell: Cell, factors: Sequence[str]) -> str:
    """Levels of the factors, left out where they mean nothing in the cell."""
    flat = flatten(cell.configuration)
    levels = {key: cell.levels.get(key, flat.get(key)) for key in factors}
    parts = [level_label(key, level) for key, level in levels.items() if level is not None]
    return " · ".join(parts) or cell.variant
