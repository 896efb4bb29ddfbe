"""Learning curves: validation and training loss against steps, every seed shown."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial

import pandas as pd

from reports.exhibits import Exhibits, Figure
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
from studies.metrics import TRAIN_LOSS, VALIDATION_LOSS
from studies.records import Outcome

EARLY = 0.1
"""Share of the steps whose losses do not widen the axis."""


@dataclass(frozen=True)
class LearningCurves:
    """The two figures, each there if the study recorded it."""

    panels: dict[str, LinePanels]
    outcomes: dict[Outcome, int]
    searching: bool
    """Whether a search may ask for more runs."""


def collect(results: StudyResults) -> LearningCurves | None:
    """Curves, means and divergences for validation and training loss."""
    panels: dict[str, LinePanels] = {}
    for metric in (VALIDATION_LOSS, TRAIN_LOSS):
        found = collect_lines(results, metric)
        if found:
            panels[metric] = replace(found, y_limits=_limits(found.lines))
    if not panels:
        return None
    return LearningCurves(panels, results.outcomes(), not results.plan.is_settled)


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
    return Exhibits(figures=tuple(figures))


SECTION = Section(
    "Learning curves", collect, render, absent="No losses were recorded along the way."
)
