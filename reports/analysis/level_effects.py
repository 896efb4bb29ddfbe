"""What single levels of factors do: means over a grid, contrasts, and simple effects."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product

import pandas as pd

from reports.analysis.anova import Losses
from reports.analysis.factor_grid import FactorGrid
from reports.analysis.power import first_holm_step, smallest_detectable_difference
from reports.analysis.statistics import (
    PairedDifference,
    Summary,
    holm,
    paired_difference,
    summarize,
    t_quantile,
    two_sided_p,
)


@dataclass(frozen=True)
class Contrast:
    """A level of a factor against the factor's reference level, paired by seed."""

    factor: str
    level: str
    reference: str
    within: str
    """Levels of other factors that both sides have; empty for means over all of the grid."""
    difference: PairedDifference
    """Of the means over cells, seed by seed."""
    p: float
    """Of the paired t test, two-sided; NaN with one seed, and while seeds are missing."""
    variants: tuple[str, ...]
    """Of both sides."""
    edges: tuple[bool, bool]
    """Whether a search of the level's cells, and one of the reference's, ended at an edge."""
    holm_p: float = math.nan
    """Adjusted over all contrasts of the table."""
    detectable: float = math.nan
    """Smallest difference that the seeds could have shown (80 % power), in Holm's first step."""

    def is_significant(self, alpha: float) -> bool:
        """Whether the adjusted p reaches the level."""
        return self.holm_p <= alpha

    @property
    def may_turn(self) -> bool:
        """Whether the side of higher loss ended a search at its edge: beyond it may be lower."""
        of, against = self.edges
        return against if self.difference.mean < 0 else of


@dataclass(frozen=True)
class LevelMean:
    """The mean final loss at a level, over all cells of the grid that have it."""

    factor: str
    level: str
    variants: tuple[str, ...]
    """Of the cells."""
    loss: Summary
    """Over seeds: one value per seed, the mean of its cells."""
    low: float
    high: float
    contrast: Contrast | None
    """To the reference level; None for that level itself."""


@dataclass(frozen=True)
class GridLosses:
    """The losses of all cells of a grid, at the same seeds."""

    grid: FactorGrid
    losses: Losses
    """(levels of factor 0, ..., levels of factor k-1, seeds), nats per token."""
    references: tuple[int, ...]
    """Place of each factor's level that the others are compared with."""
    confidence: float
    at_edge: frozenset[str] = frozenset()
    """Variants whose search ended at an edge."""
    is_final: bool = True
    """Whether all planned seeds have run; a test while they run would stop when it likes."""

    def level_means(self) -> tuple[LevelMean, ...]:
        """The mean at every level of the factors that vary, and its contrast to the reference.

        Holm's family is the levels of all factors.
        """
        rows = [
            self._level_mean(axis, place)
            for axis, factor in enumerate(self.grid.factors)
            if len(factor.levels) > 1
            for place in range(len(factor.levels))
        ]
        contrasts = iter(adjusted([r.contrast for r in rows if r.contrast], self.confidence))
        return tuple(replace(r, contrast=next(contrasts)) if r.contrast else r for r in rows)

    def simple_effects(self, interacting: Sequence[tuple[int, ...]]) -> tuple[Contrast, ...]:
        """Each factor's levels within each combination of the factors that it interacts with.

        Args:
            interacting: axes of the interactions that are not negligible.
        """
        rows: list[Contrast] = []
        for axis, factor in enumerate(self.grid.factors):
            involved = {other for axes in interacting if axis in axes for other in axes}
            if involved:
                for within in self._combinations(sorted(involved - {axis})):
                    rows += [
                        self._contrast(axis, place, within)
                        for place in range(len(factor.levels))
                        if place != self.references[axis]
                    ]
        return tuple(adjusted(rows, self.confidence))

    def _combinations(self, axes: Sequence[int]) -> Iterator[dict[int, int]]:
        for places in product(*(range(len(self.grid.factors[axis].levels)) for axis in axes)):
            yield dict(zip(axes, places, strict=True))

    def _level_mean(self, axis: int, place: int) -> LevelMean:
        factor, at = self.grid.factors[axis], {axis: place}
        loss = summarize(self._by_seed(at))
        half = t_quantile(loss.n, self.confidence) * loss.standard_error
        return LevelMean(
            factor=factor.label,
            level=factor.level_label(factor.levels[place]),
            variants=self._variants(at),
            loss=loss,
            low=loss.mean - half,
            high=loss.mean + half,
            contrast=None if place == self.references[axis] else self._contrast(axis, place, {}),
        )

    def _contrast(self, axis: int, place: int, within: Mapping[int, int]) -> Contrast:
        factor, reference = self.grid.factors[axis], self.references[axis]
        of, against = {**within, axis: place}, {**within, axis: reference}
        difference = paired_difference(self._by_seed(of), self._by_seed(against), self.confidence)
        others = [self.grid.factors[other] for other in within]
        return Contrast(
            factor=factor.label,
            level=factor.level_label(factor.levels[place]),
            reference=factor.level_label(factor.levels[reference]),
            within=" · ".join(
                other.level_label(other.levels[at])
                for other, at in zip(others, within.values(), strict=True)
            ),
            difference=difference,
            p=two_sided_p(difference) if self.is_final else math.nan,
            variants=(*self._variants(of), *self._variants(against)),
            edges=(self._is_at_edge(of), self._is_at_edge(against)),
        )

    def _by_seed(self, at: Mapping[int, int]) -> pd.Series[float]:
        """Mean over the cells with some levels, one value per seed."""
        chosen = self.losses[self._index(at)]
        return pd.Series(chosen.reshape(-1, chosen.shape[-1]).mean(axis=0))

    def _variants(self, at: Mapping[int, int]) -> tuple[str, ...]:
        return tuple(map(str, self.grid.variants[self._index(at)].ravel()))

    def _is_at_edge(self, at: Mapping[int, int]) -> bool:
        return not self.at_edge.isdisjoint(self._variants(at))

    def _index(self, at: Mapping[int, int]) -> tuple[slice, ...]:
        places = [at.get(axis) for axis in range(len(self.grid.factors))]
        return tuple(slice(None) if p is None else slice(p, p + 1) for p in places)


def adjusted(contrasts: Sequence[Contrast], confidence: float) -> list[Contrast]:
    """The contrasts of one family with Holm's p and what they could have shown."""
    holm_p = holm([1.0 if math.isnan(contrast.p) else contrast.p for contrast in contrasts])
    level = first_holm_step(confidence, max(1, len(contrasts)))
    pairs = {contrast.difference.n for contrast in contrasts}
    of_sd_1 = {n: smallest_detectable_difference(1.0, n, level) for n in pairs}
    return [
        replace(
            contrast,
            holm_p=p if math.isfinite(contrast.p) else math.nan,
            detectable=of_sd_1[contrast.difference.n] * contrast.difference.sd,
        )
        for contrast, p in zip(contrasts, holm_p, strict=True)
    ]
