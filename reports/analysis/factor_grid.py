"""Full grids in the cells of a study: every combination of some levels of the factors."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import combinations, product

import numpy as np
import numpy.typing as npt

from reports.words import factor_label, level_label
from studies.plan import Cell
from studies.values import Scalar

EXHAUSTIVE = 4096
"""Choices of levels up to which all are compared; beyond, levels are taken off one by one."""

Level = tuple[Scalar, ...]
"""One level of each key of a factor; null where a key means nothing beside the others."""


@dataclass(frozen=True)
class Factor:
    """A factor, or several joined into one whose levels are the combinations that exist."""

    keys: tuple[str, ...]
    levels: tuple[Level, ...]

    @property
    def label(self) -> str:
        """The factor as a heading: "norm", or "norm and placement"."""
        return " and ".join(map(factor_label, self.keys))

    def level_label(self, level: Level) -> str:
        """A level for a reader: "LayerNorm · pre"."""
        known = zip(self.keys, level, strict=True)
        return " · ".join(level_label(key, value) for key, value in known if value is not None)

    def level_of(self, cell: Cell) -> Level:
        """The level that a cell has."""
        return tuple(cell.levels.get(key) for key in self.keys)


@dataclass(frozen=True)
class FactorGrid:
    """Cells that are all combinations of some levels."""

    factors: tuple[Factor, ...]
    """With the levels that are in the grid; one with a single level does not vary in it."""
    variants: npt.NDArray[np.str_]
    """(levels of factor 0, ..., levels of factor k-1)"""

    @property
    def shape_label(self) -> str:
        """What is crossed: "activation (4) × norm (3)"; a factor that does not vary is left out."""
        return " × ".join(f"{f.label} ({len(f.levels)})" for f in self.factors if len(f.levels) > 1)

    @property
    def held(self) -> tuple[str, ...]:
        """Levels of the factors that do not vary in the grid."""
        return tuple(f.level_label(f.levels[0]) for f in self.factors if len(f.levels) == 1)


def factors_of(cells: Sequence[Cell]) -> tuple[Factor, ...]:
    """The factors of more than one level, null counted, with levels in order of appearance."""
    found = []
    for key in cells[0].levels:
        levels = tuple(dict.fromkeys((cell.levels.get(key),) for cell in cells))
        if len(levels) > 1:
            found.append(Factor((key,), levels))
    return tuple(found)


def joined(factors: Sequence[Factor], cells: Sequence[Cell]) -> tuple[Factor, ...] | None:
    """The factors with each that means nothing in some cells joined to the one that decides it.

    None where there is no such factor, or where no single other factor decides it.
    """
    deciders: dict[int, int] = {}
    for place, factor in enumerate(factors):
        if any(None in level for level in factor.levels):
            decider = _decider(factor, factors, cells)
            if decider is None:
                return None
            deciders[place] = decider
    if not deciders:
        return None
    groups: dict[int, list[int]] = {}
    for place in range(len(factors)):
        root = place
        while root in deciders:
            root = deciders[root]
        groups.setdefault(root, []).append(place)
    found = []
    for root, members in sorted(groups.items()):
        keys = tuple(factors[place].keys[0] for place in (root, *(m for m in members if m != root)))
        levels = dict.fromkeys(tuple(cell.levels.get(key) for key in keys) for cell in cells)
        found.append(Factor(keys, tuple(levels)))
    return tuple(found)


def _decider(factor: Factor, factors: Sequence[Factor], cells: Sequence[Cell]) -> int | None:
    """Place of the first factor, null in no cell, whose level tells whether this one is null."""
    for place, other in enumerate(factors):
        if other is factor or any(None in level for level in other.levels):
            continue
        is_null: dict[Level, set[bool]] = {}
        for cell in cells:
            is_null.setdefault(other.level_of(cell), set()).add(None in factor.level_of(cell))
        if all(len(answers) == 1 for answers in is_null.values()):
            return place
    return None


def largest_grid(
    factors: Sequence[Factor], cells: Sequence[Cell], variants: Collection[str]
) -> FactorGrid | None:
    """The full grid of most cells among some variants, of levels that are not null.

    All subsets of levels are compared where these are few; else the level with the largest share of
    missing cells is taken off until none is missing. Of equally large grids the first has more
    levels in the earlier factors, then the earlier levels.

    Returns:
        None where fewer than two cells are left.
    """
    offered = [
        Factor(f.keys, tuple(v for v in f.levels if len(f.keys) > 1 or None not in v))
        for f in factors
    ]
    places = [{level: place for place, level in enumerate(f.levels)} for f in offered]
    names = np.full([len(f.levels) for f in offered], "", dtype=object)
    for cell in cells:
        levels = [factor.level_of(cell) for factor in offered]
        if cell.variant in variants and all(v in at for v, at in zip(levels, places, strict=True)):
            names[tuple(at[v] for v, at in zip(levels, places, strict=True))] = cell.variant
    present = names != ""
    if not present.any():
        return None
    subsets = math.prod(2**size - 1 for size in sorted(present.shape)[:-1])
    kept = (_exhaustive if subsets <= EXHAUSTIVE else _greedy)(present)
    chosen = names[np.ix_(*kept)]
    if chosen.size < 2:
        return None
    return FactorGrid(
        tuple(
            Factor(factor.keys, tuple(factor.levels[place] for place in chosen_places))
            for factor, chosen_places in zip(offered, kept, strict=True)
        ),
        chosen.astype(np.str_),
    )


Kept = tuple[tuple[int, ...], ...]
"""Places of the levels kept, of each factor."""


def _exhaustive(present: npt.NDArray[np.bool_]) -> Kept:
    """The largest full grid: over all subsets of all factors but the longest, whose follow."""
    free = int(np.argmax(present.shape))
    others = [axis for axis in range(present.ndim) if axis != free]
    found: list[Kept] = []
    for chosen in product(*(_subsets(present.shape[axis]) for axis in others)):
        kept = dict(zip(others, chosen, strict=True))
        part = present
        for axis, places in kept.items():
            part = part.take(places, axis=axis)
        full = part.all(axis=tuple(others))
        kept[free] = tuple(int(place) for place in np.flatnonzero(full))
        if kept[free]:
            found.append(tuple(kept[axis] for axis in range(present.ndim)))
    return min(found, key=_preference)


def _subsets(size: int) -> list[tuple[int, ...]]:
    return [places for n in range(size, 0, -1) for places in combinations(range(size), n)]


def _preference(kept: Kept) -> tuple[int, tuple[int, ...], Kept]:
    lengths = [len(places) for places in kept]
    return -math.prod(lengths), tuple(-n for n in lengths), kept


def _greedy(present: npt.NDArray[np.bool_]) -> Kept:
    """Take off the level with most missing cells by share, of equals the last, until it is full."""
    kept = [list(range(size)) for size in present.shape]
    while not (part := present[np.ix_(*kept)]).all():
        _, axis, place = max(
            (float(1 - part.take(place, axis=axis).mean()), axis, place)
            for axis, places in enumerate(kept)
            if len(places) > 1
            for place in range(len(places))
        )
        kept[axis].pop(place)
    return tuple(map(tuple, kept))
