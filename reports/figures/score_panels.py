"""Score on a task against the loss of pre-training: every model faint, each variant in the mean."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from reports.analysis.statistics import summarize, t_quantile
from reports.figures.cost_panels import padded
from reports.figures.drawing import MUTED, Theme, run_marks
from reports.figures.panel_grid import PanelGrid
from reports.figures.style import Layout


@dataclass(frozen=True)
class ScorePanels:
    """Everything that a figure of scores against losses shows."""

    panels: tuple[tuple[str, str, str], ...]
    """Name of a task, title of its panel, and the note below that."""
    points: pd.DataFrame
    """One row per pre-trained model and task: task, variant, label, seed, loss, score (×100)."""
    confidence: float
    """Of the intervals of mean scores."""
    layout: Layout


def draw_scores(data: ScorePanels, theme: Theme) -> Figure:
    """Draw a panel for each task; scores of two tasks have scales of their own."""
    titles, notes = [[panel[i] for panel in data.panels] for i in (1, 2)]
    grid = PanelGrid(titles, theme, notes=notes, share_y=False)
    for ax, (task, *_) in zip(grid.axes, data.panels, strict=True):
        _draw_panel(ax, data, data.points[data.points["task"] == task], theme)
    loss = "final loss before fine-tuning (nats/token)"
    return grid.labelled(loss, "score × 100", data.layout, diverged=False)


def _draw_panel(ax: Axes, data: ScorePanels, points: pd.DataFrame, theme: Theme) -> None:
    ax.set_xlim(*padded(data.points["loss"]))
    ax.set_ylim(*padded(points["score"]))  # an interval of few seeds may run off
    ax.xaxis.set_major_locator(MaxNLocator(3))
    ax.yaxis.set_major_locator(MaxNLocator(4))
    for variant, own in points.groupby("variant", sort=False):
        style = data.layout.styles[str(variant)]
        run_marks(ax, own["loss"].tolist(), own["score"].tolist(), style.color, theme, size=0.3)
        loss, score = own["loss"].mean(), summarize(own["score"])
        if score.n > 1:
            half = t_quantile(score.n, data.confidence) * score.standard_error
            ax.plot(
                [loss] * 2, [score.mean - half, score.mean + half], color=style.color,
                linestyle=style.dash, linewidth=theme.line_pt * 0.8,
            )  # fmt: skip
        ax.plot(
            loss, score.mean, marker=style.marker or "o",
            color=style.color, markersize=theme.font_size_pt * 0.6, linestyle="none", zorder=4,
        )  # fmt: skip
    ax.grid(color=MUTED, alpha=0.25, linewidth=0.5)
