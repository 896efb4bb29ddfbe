"""What the interaction plot shows: a final loss per run, over the levels of the factors."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import pandas as pd

from reports.analysis.factor_grid import Factor, Level
from reports.figures.style import layout_of
from reports.results.frame import StudyResults
from reports.words import ABSENT, LEAK_MARKS, factor_label
from studies.metrics import FINAL_LOSS
from studies.plan import Cell
from studies.records import Leak, Outcome

NULL: Level = (None,)
"""Level of a factor that means nothing."""


@dataclass(frozen=True)
class PlotCell:
    """One cell of the plot."""

    variant: str
    color: str
    place: int
    """Of its level of the first factor on the x axis."""
    losses: tuple[float, ...]
    """Final losses of the completed runs, nats per token."""
    outcomes: dict[Outcome, int]
    at_edge: bool
    """Whether its search chose a value at the edge of what was tried."""

    @property
    def mean(self) -> float:
        """Over completed runs; NaN where there is none."""
        return math.fsum(self.losses) / len(self.losses) if self.losses else math.nan

    @property
    def is_of_survivors(self) -> bool:
        """Whether runs diverged or were pruned beside those of the mean."""
        return bool(self.outcomes[Outcome.DIVERGED] or self.outcomes[Outcome.PRUNED])


@dataclass(frozen=True)
class PlotLine:
    """The cells of one level of the second factor."""

    label: str
    style: int
    """Place of the level, which dash and marker go by."""
    cells: tuple[PlotCell, ...]


@dataclass(frozen=True)
class PlotPanel:
    """The lines of one combination of the other factors."""

    title: str
    lines: tuple[PlotLine, ...]


@dataclass(frozen=True)
class FactorPlot:
    """First factor on the x axis, a line per level of the second, a panel per level of the rest.

    A cell in which a factor of the panels means nothing stands in all of them.
    """

    factors: tuple[str, ...]
    """Labels, in the order of the study."""
    x_levels: tuple[str, ...]
    panels: tuple[PlotPanel, ...]
    lines: tuple[str, ...]
    """Labels of all lines; empty with one factor."""
    in_every_panel: tuple[str, ...]
    """Factors of the panels that mean nothing in cells, which are in every panel therefore."""
    leaks_in_training: bool
    """Whether a label has the mark of it."""
    table: pd.DataFrame
    """One row per run: variant, label, one column per factor, seed, outcome, final_loss."""
    runs: tuple[str, ...]
    """Run keys."""


def collect_plot(results: StudyResults, factors: Sequence[Factor]) -> FactorPlot:
    """The runs of all cells by their levels."""
    first, second, rest = factors[0], next(iter(factors[1:]), None), factors[2:]
    panels = []
    for levels in product(*([v for v in factor.levels if v != NULL] for factor in rest)):
        at = list(zip(rest, levels, strict=True))
        members = [
            cell
            for cell in results.plan.cells
            if all(factor.level_of(cell) in (level, NULL) for factor, level in at)
        ]
        title = " · ".join(factor.level_label(level) for factor, level in at)
        if members:
            panels.append(PlotPanel(title, _lines(results, first, second, members)))
    labels = [_label(results, second, level) for level in second.levels] if second else []
    on_axis = f"{factor_label(first.keys[0])} "
    return FactorPlot(
        factors=tuple(factor.label for factor in factors),
        x_levels=tuple(
            _label(results, first, level).removeprefix(on_axis) for level in first.levels
        ),
        panels=tuple(panels),
        lines=tuple(labels),
        in_every_panel=tuple(f.label for f in rest if NULL in f.levels) if panels[1:] else (),
        leaks_in_training=Leak.IN_TRAINING in results.leaks.values(),
        table=_table(results, factors),
        runs=tuple(results.runs["run_key"]),
    )


def _lines(
    results: StudyResults, first: Factor, second: Factor | None, cells: Sequence[Cell]
) -> tuple[PlotLine, ...]:
    """The cells of a panel by their level of the second factor; all in one where there is none."""
    styles = layout_of(results).styles
    levels = dict.fromkeys(second.levels) if second else {NULL: None}
    by_level: dict[Level, list[PlotCell]] = {level: [] for level in levels}
    for cell in cells:
        by_level[second.level_of(cell) if second else NULL].append(
            PlotCell(
                variant=cell.variant,
                color=styles[cell.variant].color,
                place=first.levels.index(first.level_of(cell)),
                losses=tuple(float(loss) for loss in results.values(FINAL_LOSS, cell.variant)),
                outcomes=results.outcomes(cell.variant),
                at_edge=cell.variant in results.plan.at_edge,
            )
        )
    return tuple(
        PlotLine(_label(results, second, level) if second else "", style, tuple(found))
        for style, (level, found) in enumerate(by_level.items())
        if found
    )


def _label(results: StudyResults, factor: Factor, level: Level) -> str:
    """A level, with the mark of a leak where all its cells have it."""
    members = [c.variant for c in results.plan.cells if factor.level_of(c) == level]
    leaks = {results.leaks[variant] for variant in members}
    mark = LEAK_MARKS[Leak.IN_TRAINING] if leaks == {Leak.IN_TRAINING} else ""
    return (factor.level_label(level) or f"{factor.label} {ABSENT}") + mark


def _table(results: StudyResults, factors: Sequence[Factor]) -> pd.DataFrame:
    keys = [factor.keys[0] for factor in factors]
    runs = results.runs.reindex(columns=["variant", *keys, "seed", "outcome", FINAL_LOSS])
    completed = runs["outcome"] == Outcome.COMPLETED
    runs[FINAL_LOSS] = runs[FINAL_LOSS].astype(float).where(completed)
    runs.insert(1, "label", runs["variant"].map(results.labels))
    names = {key: factor_label(key).replace(" ", "_") for key in keys}
    unique = len(set(names.values())) == len(names)
    return runs.rename(columns={**(names if unique else {}), FINAL_LOSS: "final_loss"})
