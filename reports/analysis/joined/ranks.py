"""Whether two studies order the cells that they share alike."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd
from scipy import stats

from reports.analysis.ranking import ranked_variants
from reports.analysis.statistics import NAN
from reports.results.frame import StudyResults
from reports.results.joined import JoinedResults, qualified
from studies.metrics import FINAL_LOSS

FEWEST = 5
"""Cells from which on an agreement of ranks is worth a number."""


@dataclass(frozen=True)
class RankedCell:
    """A cell that both studies rank."""

    name: str
    label: str
    ranks: tuple[float, float]
    """By mean final loss among the shared cells, 1 is the lowest; ties share the mean rank."""


@dataclass(frozen=True)
class RankAgreement:
    """Two studies, and how far they agree on the order of their shared ranked cells."""

    studies: tuple[int, int]
    """Places in the report."""
    cells: tuple[RankedCell, ...]
    """By rank in the first study."""
    tau: float
    """Kendall's tau-b; NaN for fewer than `FEWEST` cells."""
    agreeing: int
    """Pairs of cells in the same order in both."""
    opposed: int
    """Pairs of cells in the other order."""
    runs: tuple[str, ...]

    @property
    def pairs(self) -> int:
        """Of cells."""
        return len(self.cells) * (len(self.cells) - 1) // 2


def collect_ranks(joined: JoinedResults) -> tuple[RankAgreement, ...]:
    """Every pair of studies."""
    return tuple(
        _agreement(joined, first, second)
        for first, second in combinations(range(len(joined.studies)), 2)
    )


def _agreement(joined: JoinedResults, first: int, second: int) -> RankAgreement:
    both = (first, second)
    sources = [joined.studies[i].compared for i in both]
    ranked = [set(ranked_variants(found)) for found in sources]
    cells = [
        cell
        for cell in joined.cells
        if all(cell.variants[i] in known for i, known in zip(both, ranked, strict=True))
    ]
    means = [
        _means(found, [str(cell.variants[i]) for cell in cells])
        for i, found in zip(both, sources, strict=True)
    ]
    if not all(map(len, means)):  # no seed has all of them
        cells, means = [], [[], []]
    ranks = [stats.rankdata(losses) if losses else np.array([]) for losses in means]
    signs = [
        np.sign((a - b) * (c - d))
        for (a, c), (b, d) in combinations(list(zip(*means, strict=True)), 2)
    ]
    tau = float(stats.kendalltau(*means).statistic) if len(cells) >= FEWEST else NAN
    runs = [
        qualified(joined.names[i], run.run_key)
        for i, found in zip(both, sources, strict=True)
        for run in found.plan.runs
        if run.run_key in found.records and run.variant in {c.variants[i] for c in cells}
    ]
    listed = [
        RankedCell(cell.name, cell.label, (float(one), float(other)))
        for cell, one, other in zip(cells, *ranks, strict=True)
    ]
    return RankAgreement(
        studies=both,
        cells=tuple(sorted(listed, key=lambda cell: cell.ranks)),
        tau=tau,
        agreeing=signs.count(1),
        opposed=signs.count(-1),
        runs=tuple(runs),
    )


def _means(results: StudyResults, variants: list[str]) -> list[float]:
    """Mean final loss of each, on the seeds that all of them have; empty without such a seed."""
    losses = pd.DataFrame({v: results.values(FINAL_LOSS, v) for v in variants}).dropna()
    return [] if losses.empty else losses.mean().tolist()
