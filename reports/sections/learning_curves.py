"""Learning curves: validation and training loss against steps, every seed shown."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import partial

import pandas as pd

from reports.analysis.costs import cost_of
from reports.analysis.loss_by_cost import ALIKE
from reports.exhibits import Exhibits, Figure
from reports.figures.cost_panels import unit_for
from reports.figures.line_panels import (
    LinePanels,
    collect_lines,
    draw_lines,
    lines_caption,
    lines_table,
)
from reports.results.frame import StudyResults
from reports.sections.base import Section
from reports.words import counts_caption
from studies.budgets import tokens_per_step
from studies.metrics import TRAIN_LOSS, VALIDATION_LOSS
from studies.records import Outcome

EARLY = 0.1
"""Share of the steps whose losses do not widen the axis."""


@dataclass(frozen=True)
class LearningCurves:
    """The figures, each there if the study recorded it."""

    panels: dict[str, LinePanels]
    by_flops: LinePanels | None
    """Validation loss against training FLOPs, where variants differ in those of a step; else it
    would be the same picture."""
    outcomes: dict[Outcome, int]
    searching: bool
    """Whether a search may ask for more runs."""
    evaluation_sets: int
    """Distinct sets that validation losses were measured on."""


def collect(results: StudyResults) -> LearningCurves | None:
    """Curves, means and divergences for validation and training loss."""
    panels: dict[str, LinePanels] = {}
    for metric in (VALIDATION_LOSS, TRAIN_LOSS):
        found = collect_lines(results, metric)
        if found:
            panels[metric] = replace(found, y_limits=_limits(found.lines))
    if not panels:
        return None
    by_flops = _by_flops(results, panels.get(VALIDATION_LOSS))
    return LearningCurves(
        panels=panels,
        by_flops=by_flops,
        outcomes=results.outcomes(),
        searching=not results.plan.is_settled,
        evaluation_sets=len(results.evaluation_sets(results.variants)),
    )


def _by_flops(results: StudyResults, panels: LinePanels | None) -> LinePanels | None:
    """The curves with each step at the FLOPs of training up to it."""
    if panels is None:
        return None
    recorded = set(panels.lines["variant"].unique())
    of_step = {
        cell.variant: cost_of(results, cell.variant).flops_per_token
        * tokens_per_step(cell.configuration)
        for cell in results.plan.cells
        if cell.variant in recorded
    }
    if not all(map(math.isfinite, of_step.values())):
        return None
    if max(of_step.values()) <= min(of_step.values()) * (1 + ALIKE):
        return None
    moved = (
        frame.assign(x=frame["x"] * frame["variant"].map(of_step).astype(float))
        for frame in (panels.lines, panels.means, panels.crosses)
    )
    lines, means, crosses = moved
    return replace(panels, lines=lines, means=means, crosses=crosses, y_limits=_limits(lines))


def _limits(lines: pd.DataFrame) -> tuple[float, float] | None:
    """Loss axis: all of the later training of completed runs; the fall at the start is cut."""
    done = lines[lines["outcome"] == Outcome.COMPLETED]
    later = done[done["x"] >= EARLY * done["x"].max()]["y"] if len(done) else done["y"]
    if later.empty:
        return None
    low, high = float(later.min()), float(later.max())
    pad = 0.04 * (high - low) or 0.1
    return low - pad, high + pad


def render(data: LearningCurves) -> Exhibits:
    """A figure per kind of loss."""
    names = {VALIDATION_LOSS: "learning_curves", TRAIN_LOSS: "training_curves"}
    figures = []
    for metric, panels in data.panels.items():
        what = {VALIDATION_LOSS: "Validation", TRAIN_LOSS: "Training"}[metric]
        caption = (
            f"{what} loss against optimiser steps. {lines_caption(panels)} Losses of the first "
            f"steps run off the axis. {counts_caption(data.outcomes, searching=data.searching)}"
        )
        table = lines_table(panels, "loss")
        draw = partial(draw_lines, panels)
        figures.append(Figure(names[metric], caption, table, draw, panels.runs))
    if data.by_flops is not None:
        figures.append(_flops_figure(data, data.by_flops))
    sets = data.evaluation_sets
    apart = (f"The runs were evaluated on {sets} different sets: validation losses of variants "
             "that do not share one do not compare.",) if sets > 1 else ()  # fmt: skip
    return Exhibits(sentences=apart, figures=tuple(figures))


def _flops_figure(data: LearningCurves, panels: LinePanels) -> Figure:
    counts = counts_caption(data.outcomes, searching=data.searching)
    caption = (
        "Validation loss against training FLOPs (tokens × FLOPs per token, forward and backward), "
        f"in which variants differ. {lines_caption(panels)} Losses of the first tenth run off the "
        f"axis. {counts}"
    )
    return Figure(
        "learning_curves_by_flops",
        caption,
        lines_table(panels, "loss", x_name="training_flops"),
        partial(draw_lines, _in_unit(panels)),
        runs=panels.runs,
    )


def _in_unit(panels: LinePanels) -> LinePanels:
    """The panels with FLOPs in a unit of few digits."""
    unit = unit_for("flops", float(panels.lines["x"].max()))
    lines, means, crosses = (
        frame.assign(x=frame["x"] * unit.factor)
        for frame in (panels.lines, panels.means, panels.crosses)
    )
    return replace(panels, lines=lines, means=means, crosses=crosses, x_label=unit.label)


SECTION = Section(
    "Learning curves", collect, render, absent="No losses were recorded along the way."
)
