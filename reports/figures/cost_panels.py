"""Loss against cost: every run faint, each variant with its interval, and the front."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from reports.figures.drawing import MUTED, Theme, edge_mark, run_marks
from reports.figures.panel_grid import PanelGrid
from reports.figures.style import INK, Layout


class Unit(NamedTuple):
    """A unit of few digits: what a value is multiplied by, and what an axis calls it."""

    factor: float
    label: str


PAD = 0.12
"""Space around the points, as a share of their range."""


@dataclass(frozen=True)
class CostPanels:
    """Everything that one figure of losses against a cost shows."""

    measure: str
    """`flops` or `hours`."""
    y_label: str
    points: pd.DataFrame
    """One row per completed run: variant, label, run_key, seed, x (FLOPs or hours), y."""
    means: pd.DataFrame
    """One row per variant: variant, x, y, half (of the t interval of the mean, NaN for one run),
    ranked, at_edge (whether its search chose a value at the edge of what was tried)."""
    front: pd.DataFrame
    """The ranked variants that no other beats at their cost, by cost: variant, x, y."""
    layout: Layout
    notes: dict[str, str]
    """What did not complete in the panel of this title."""

    @property
    def y_limits(self) -> tuple[float, float]:
        """The losses of all runs: an interval of few seeds may run off."""
        return padded(self.points["y"])

    @property
    def cut(self) -> bool:
        """Whether an interval runs off the axis."""
        low, high = self.y_limits
        return bool(
            ((self.means["y"] - self.means["half"] < low)
             | (self.means["y"] + self.means["half"] > high)).any()
        )  # fmt: skip


def unit_for(measure: str, most: float) -> Unit:
    """The unit in which the largest cost has few digits before its point.

    Args:
        measure: `flops`, or `hours`.
        most: the largest cost, in FLOPs or hours.
    """
    if measure == "hours":
        if most >= 2:
            return Unit(1.0, "hours of training steps")
        minutes = Unit(60.0, "minutes of training steps")
        return minutes if most * 60 >= 2 else Unit(3600.0, "seconds of training steps")
    power = min(6, max(0, int(math.log10(max(1.0, most)) // 3)))
    return Unit(10.0 ** (-3 * power), f"training {('', *'kMGTPE')[power]}FLOPs")


def _scaled(data: CostPanels, unit: Unit) -> CostPanels:
    points, means, front = (
        frame.assign(x=frame["x"] * unit.factor) for frame in (data.points, data.means, data.front)
    )
    return replace(data, points=points, means=means, front=front)


def padded(values: pd.Series[float]) -> tuple[float, float]:
    """Limits of an axis that leave space around the points."""
    low, high = float(values.min()), float(values.max())
    pad = PAD * (high - low) or 0.1 * abs(high) or 1.0
    return low - pad, high + pad


def draw_costs(data: CostPanels, theme: Theme) -> Figure:
    """Draw the panels, those of the learning curves."""
    unit = unit_for(data.measure, float(data.points["x"].max()))
    data = _scaled(data, unit)
    shown = set(data.means["variant"])
    panels = [p for p in data.layout.panels if shown & {*p.variants}]
    notes = [data.notes.get(panel.title, "") for panel in panels]
    grid = PanelGrid([panel.title for panel in panels], theme, notes=notes)
    for ax, panel in zip(grid.axes, panels, strict=True):
        _draw_panel(ax, data, panel.variants, theme)
    return grid.labelled(f"{unit.label} of a run", data.y_label, data.layout, diverged=False)


def _draw_panel(ax: Axes, data: CostPanels, variants: tuple[str, ...], theme: Theme) -> None:
    left, right = padded(data.points["x"])
    ax.set_xlim(left, right)
    ax.set_ylim(*data.y_limits)
    ax.xaxis.set_major_locator(MaxNLocator(2 if theme.width_in < 5 else 3))
    _draw_front(ax, data, right, theme)
    for variant in variants:
        style = data.layout.styles[variant]
        runs = data.points[data.points["variant"] == variant]
        run_marks(ax, runs["x"].tolist(), runs["y"].tolist(), style.color, theme, size=0.3)
        for mean in data.means[data.means["variant"] == variant].to_dict("records"):
            half = 0.0 if np.isnan(mean["half"]) else mean["half"]
            ax.plot(
                [mean["x"]] * 2, [mean["y"] - half, mean["y"] + half], color=style.color,
                linestyle=style.dash, linewidth=theme.line_pt * 0.8,
            )  # fmt: skip
            ax.plot(
                mean["x"], mean["y"], marker=style.marker or "o", color=style.color,
                markersize=theme.font_size_pt * 0.55, markeredgewidth=theme.line_pt * 0.7,
                markerfacecolor=style.color if mean["ranked"] else "none", linestyle="none",
                zorder=4,
            )  # fmt: skip
            if mean["at_edge"]:
                edge_mark(ax, mean["x"], mean["y"], theme)
    ax.grid(color=MUTED, alpha=0.25, linewidth=0.5)


def _draw_front(ax: Axes, data: CostPanels, right: float, theme: Theme) -> None:
    """The front over all panels' variants, from its cheapest to the end of the axis."""
    if data.front.empty:
        return
    x = [*data.front["x"], right]
    y = [*data.front["y"], data.front["y"].iloc[-1]]
    ax.step(
        x, y, where="post", color=INK, alpha=0.5, linewidth=theme.line_pt * 0.8,
        linestyle=(0, (1, 1)),
    )  # fmt: skip
