"""Learning curves: validation and training loss against steps, every seed shown."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd

from reports.exhibits import Exhibits, Figure
from reports.frame import StudyResults
from reports.line_panels import LinePanels, draw_lines, means_of, panel_notes
from reports.sections.base import Section
from reports.style import layout_of
from reports.words import counts_caption
from studies.metrics import DIVERGED_AT_STEP, TRAIN_LOSS, VALIDATION_LOSS
from studies.records import Outcome

MAX_POINTS = 300
"""Points per curve; more of them only make files larger."""
EARLY = 0.1
"""Share of the steps whose losses do not widen the axis."""


@dataclass(frozen=True)
class LearningCurves:
    """The two figures, each there if the study recorded it."""

    panels: dict[str, LinePanels]
    thinned: dict[str, int]
    """Of how many recorded points one is drawn."""
    outcomes: dict[Outcome, int]


def collect(results: StudyResults) -> LearningCurves | None:
    """Curves, means and divergences for validation and training loss."""
    panels: dict[str, LinePanels] = {}
    thinned: dict[str, int] = {}
    for metric in (VALIDATION_LOSS, TRAIN_LOSS):
        curves = results.curves(metric)
        if curves.empty:
            continue
        steps = np.sort(curves["step"].unique())
        stride = math.ceil(len(steps) / MAX_POINTS)
        # Counted from the end, so that the last step is kept.
        curves = curves[curves["step"].isin(steps[::-1][::stride])]
        panels[metric] = _panels(results, metric, curves)
        thinned[metric] = stride
    return LearningCurves(panels, thinned, results.outcomes()) if panels else None


def _panels(results: StudyResults, metric: str, curves: pd.DataFrame) -> LinePanels:
    definition = results.definition(metric)
    lines = curves.rename(columns={"step": "x", "value": "y"})
    lines = lines.assign(label=lines["variant"].map(results.labels))
    lines = lines.sort_values(["run_key", "x"], kind="stable")
    return LinePanels(
        x_label="step",
        y_label=f"{definition.label} ({definition.unit})",
        lines=lines,
        means=means_of(lines).sort_values(["variant", "x"], kind="stable"),
        crosses=_divergences(results, lines),
        layout=layout_of(results),
        notes=panel_notes(results),
        y_limits=_limits(lines),
    )


def _divergences(results: StudyResults, lines: pd.DataFrame) -> pd.DataFrame:
    """A cross per diverged run, at the step of the divergence and the last loss before it."""
    rows = []
    for run in results.runs[results.runs["outcome"] == Outcome.DIVERGED].to_dict("records"):
        curve = lines[lines["run_key"] == run["run_key"]]
        step = run.get(DIVERGED_AT_STEP, math.nan)
        if pd.isna(step):
            step = curve["x"].max() if len(curve) else 0
        rows.append((run["variant"], step, curve["y"].iloc[-1] if len(curve) else math.nan))
    return pd.DataFrame(rows, columns=["variant", "x", "y"])


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
        stride = data.thinned[metric]
        caption = (
            f"{what} loss against optimiser steps. Thin: each run. Thick: mean over completed "
            "runs, not smoothed. Losses of the first steps run off the axis. "
            + ("Crosses: where runs diverged. " if len(panels.crosses) else "")
            + (f"Every {stride}th recorded point is drawn. " if stride > 1 else "")
            + counts_caption(data.outcomes)
        )
        table = panels.lines[["variant", "label", "seed", "outcome", "x", "y"]]
        table = table.rename(columns={"x": "step", "y": "loss"})
        figures.append(Figure(names[metric], caption, table, partial(draw_lines, panels)))
    return Exhibits(figures=tuple(figures))


SECTION = Section(
    "Learning curves", collect, render, absent="No losses were recorded along the way."
)
