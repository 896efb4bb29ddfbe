"""Which cells the hypotheses of a study compare, and what they differ in."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from typing import NamedTuple

from studies.designs import Combination, matches
from studies.errors import AblationError
from studies.hypotheses import Contrast, LevelSets
from studies.plan import Cell, Plan
from studies.schema import Study
from studies.values import Scalar

MOST_NAMED = 20
"""Variants that an error lists."""

Placed = tuple[Combination, Cell]
"""A combination of the design, and the cell that stands for it."""


def contrasts(study: Study, placed: Sequence[Placed]) -> dict[str, Contrast]:
    """The cells of both sets of each hypothesis.

    Raises:
        AblationError: a set is empty, two sets overlap, or two hypotheses are one contrast.
    """
    found: dict[str, Contrast] = {}
    for name, hypothesis in study.hypotheses.items():
        where = f"study {study.name}: hypothesis {name}"
        contrast = Contrast(
            of=_cells(f"{where}: `of`", hypothesis.of, placed),
            against=_cells(f"{where}: `against`", hypothesis.against, placed),
        )
        both = [variant for variant in contrast.of if variant in contrast.against]
        if both:
            raise AblationError(
                f"{where}: `of` and `against` both match {', '.join(both)}. "
                "Name a factor whose levels tell them apart."
            )
        for other, known in found.items():
            if {known.of, known.against} == {contrast.of, contrast.against}:
                raise AblationError(
                    f"{where} compares the same cells as {other}: one comparison can be counted "
                    "once. Keep one of the two."
                )
        found[name] = contrast
    return found


def _cells(where: str, levels: LevelSets, placed: Sequence[Placed]) -> tuple[str, ...]:
    """Variants that have all the levels, and in which each of the factors means something."""
    matched = [cell for combination, cell in placed if matches(levels, combination)]
    meant = [cell for cell in matched if not _unsaid(levels, cell)]
    if meant:
        return tuple(dict.fromkeys(cell.variant for cell in meant))
    if matched:
        unsaid = dict.fromkeys(key for cell in matched for key in _unsaid(levels, cell))
        raise AblationError(
            f"{where} names {', '.join(unsaid)}, which means nothing in {_variants(matched)}. "
            "Leave it out."
        )
    raise AblationError(
        f"{where} matches no cell of the plan: {dict(levels)}. "
        f"Name levels that one of these has: {_variants([cell for _, cell in placed])}"
    )


def _unsaid(levels: LevelSets, cell: Cell) -> list[str]:
    """Factors that are named, and mean nothing in a cell."""
    return [key for key in levels if cell.levels.get(key) is None]


def _variants(cells: Iterable[Cell]) -> str:
    names = list(dict.fromkeys(cell.variant for cell in cells))
    more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    return ", ".join(names[:MOST_NAMED]) + more


def confounded(plan: Plan, name: str) -> Iterator[str]:
    """Factors that a hypothesis does not name on both sides, and whose levels differ in share.

    Each cell counts the same, so that the effect of such a factor is in the difference.
    """
    hypothesis, contrast = plan.study.hypotheses[name], plan.contrasts[name]
    for key in plan.cells[0].levels:
        sides = [_shares(plan, variants, key) for variants in (contrast.of, contrast.against)]
        named = key in hypothesis.of and key in hypothesis.against
        if not named and all(sides) and sides[0] != sides[1]:
            yield key


def _shares(plan: Plan, variants: Sequence[str], key: str) -> dict[Scalar, Fraction]:
    """Level of a factor to its share of the cells in which it means something."""
    levels = [plan.cell(variant).levels[key] for variant in variants]
    counts = Counter(level for level in levels if level is not None)
    return {level: Fraction(count, counts.total()) for level, count in counts.items()}


class DeclaredPair(NamedTuple):
    """A hypothesis that compares one cell with the baseline."""

    hypothesis: str
    variant: str
    margin: float | None
    """As declared, in nats per token."""


def declared_pairs(plan: Plan) -> tuple[DeclaredPair, ...]:
    """The hypotheses on a pair that each comparison with the baseline is of as well."""
    found = []
    for name, contrast in plan.contrasts.items():
        both = {*contrast.of, *contrast.against}
        if len(both) == 2 and plan.baseline in both:
            (variant,) = both - {plan.baseline}
            margin = plan.study.hypotheses[name].margin
            found.append(DeclaredPair(name, variant, margin))
    return tuple(found)
