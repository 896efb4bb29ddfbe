"""Differences to the baselines of several studies: a panel per study and a row per cell."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from reports.figures.dot_plot import LOST
from reports.figures.drawing import LETTER, MUTED, Theme, edge_mark, plain
from reports.figures.panel_grid import wrapped
from reports.figures.style import COLORS, MARKERS
from studies.records import Outcome

PITCH = 1.6
"""Distance of rows over the size of the font."""
LABEL_SHARE = 0.3
"""Share of the width that labels of rows may take."""
LEAST_PANEL_IN = 0.95
"""Width of a panel below which panels stand in several rows."""


@dataclass(frozen=True)
class Estimate:
    """A difference to the baseline."""

    n: int
    """Pairs; with none there is no difference, with one no interval."""
    mean: float
    low: float
    high: float
    detected: bool
    """Whether the study says that there is a difference."""
    lost: tuple[Outcome, ...]
    """Outcomes of runs that left no final loss."""
    planned: bool
    """Whether the study compares the cell with its baseline."""
    at_edge: bool = False
    """Whether the search of the cell chose a value at the edge of what was tried."""


@dataclass(frozen=True)
class ForestPanel:
    """The differences of one study, in the order of the rows."""

    letter: str
    study: str
    estimates: tuple[Estimate, ...]


@dataclass(frozen=True)
class Forest:
    """Rows and panels."""

    labels: tuple[str, ...]
    panels: tuple[ForestPanel, ...]
    one_scale: bool
    """Whether panels share their axis."""


def draw_forest_plot(data: Forest, theme: Theme) -> Figure:
    """Draw a panel per study, side by side as far as the width goes."""
    font = theme.font_size_pt
    label_in = theme.width_in * LABEL_SHARE
    columns = min(len(data.panels), max(1, int((theme.width_in - label_in) / LEAST_PANEL_IN)))
    bands = math.ceil(len(data.panels) / columns)
    labels = [
        plain(wrapped(label, " · ", label_in * 72 / (font * LETTER))) for label in data.labels
    ]
    places = _places(labels)
    title_lines = 1 + max(_title(panel, theme, columns).count("\n") for panel in data.panels)
    height = bands * ((places[-1] + 1.4) * PITCH + 4.4 + 1.2 * title_lines) * font / 72
    figure = Figure(figsize=(theme.width_in, height), layout="constrained")
    axes = figure.subplots(bands, columns, sharey=True, squeeze=False)
    flat = [ax for row in axes for ax in row]
    limits = [_limits(panel) for panel in data.panels]
    if data.one_scale:
        limits = [(min(low for low, _ in limits), max(high for _, high in limits))] * len(limits)
    for number, (ax, panel) in enumerate(zip(flat, data.panels, strict=False)):
        _draw_panel(ax, panel, number, places, limits[number], theme)
        ax.set_title(plain(_title(panel, theme, columns)), linespacing=1.0)
        ax.xaxis.set_major_locator(MaxNLocator(max(2, _ticks(theme, columns)), symmetric=False))
    for ax in flat[len(data.panels) :]:
        ax.set_axis_off()
    axes[0][0].set_ylim(places[-1] + 0.7, -0.7)
    for row in axes:
        row[0].set_yticks(places, labels=labels, linespacing=1.0)
    figure.supxlabel("difference to the study's baseline (nats/token)", fontsize=font)
    return figure


def _places(labels: list[str]) -> list[float]:
    """Heights of the rows; a label of more lines of text has more room."""
    found: list[float] = []
    below = 0.0
    for label in labels:
        half = 0.35 * label.count("\n")
        found.append(below + half if found else 0.0)
        below = found[-1] + half + 1
    return found


def _ticks(theme: Theme, columns: int) -> int:
    panel_pt = theme.width_in * 72 * (1 - LABEL_SHARE) / columns
    return int(panel_pt / (theme.font_size_pt * 4.5))


def _title(panel: ForestPanel, theme: Theme, columns: int) -> str:
    """Letter and name, broken at hyphens where the panel is narrow."""
    letters = theme.width_in * 72 * (1 - LABEL_SHARE) / columns / (theme.font_size_pt * LETTER)
    lines = [""]
    for part in f"{panel.letter}: {panel.study}".replace("-", "-\0").split("\0"):
        if lines[-1] and len(lines[-1]) + len(part) > letters:
            lines.append("")
        lines[-1] += part
    return "\n".join(lines)


def _limits(panel: ForestPanel) -> tuple[float, float]:
    """All means and 0, and of the intervals what is near them."""
    known = [e for e in panel.estimates if e.n]
    means = [0.0, *(e.mean for e in known)]
    halves = [e.high - e.mean for e in known if e.n > 1]
    room = float(np.median(halves)) if halves else 0.0
    low = max(min(means) - room, min([*means, *(e.low for e in known if e.n > 1)]))
    high = min(max(means) + room, max([*means, *(e.high for e in known if e.n > 1)]))
    pad = 0.06 * (high - low) or 0.01
    marks = 0.1 * (high - low) * max((len(e.lost) for e in panel.estimates), default=0)
    return low - pad, high + pad + marks


def _draw_panel(
    ax: Axes,
    panel: ForestPanel,
    number: int,
    places: list[float],
    limits: tuple[float, float],
    theme: Theme,
) -> None:
    size, color = theme.font_size_pt, COLORS[number % len(COLORS)]
    ax.set_xlim(limits)
    ax.axvline(0, color=MUTED, linewidth=0.8, zorder=1)
    ax.grid(axis="x", color=MUTED, alpha=0.25, linewidth=0.5)
    ax.set_axisbelow(True)
    ax.spines[["top", "right", "left"]].set_visible(False)
    ax.tick_params(axis="y", length=0)
    for y, estimate in zip(places, panel.estimates, strict=True):
        if estimate.n > 1:
            _draw_interval(ax, estimate, y, color, theme, limits)
        if estimate.n:
            ax.plot(
                estimate.mean, y, marker=MARKERS[number % len(MARKERS)], color=color, zorder=4,
                markersize=size * 0.55, markeredgewidth=theme.line_pt * 0.8,
                fillstyle="full" if estimate.detected else "none",
            )  # fmt: skip
            if estimate.at_edge:
                edge_mark(ax, estimate.mean, y, theme)
        elif not estimate.planned:
            ax.annotate(
                "not in study", (0.5, y), xycoords=("axes fraction", "data"), ha="center",
                va="center", fontsize=size * 0.85, color=MUTED, fontstyle="italic",
            )  # fmt: skip
        for place, outcome in enumerate(estimate.lost):
            ax.plot(
                1 - 0.03 - 0.08 * place, y, transform=ax.get_yaxis_transform(), linestyle="none",
                markersize=size * 0.5, markeredgewidth=theme.line_pt * 0.7, **LOST[outcome],
            )  # fmt: skip


def _draw_interval(
    ax: Axes, estimate: Estimate, y: float, color: str, theme: Theme, limits: tuple[float, float]
) -> None:
    low, high = max(estimate.low, limits[0]), min(estimate.high, limits[1])
    ax.plot([low, high], [y, y], color=color, linewidth=theme.line_pt, zorder=3)
    ends = (("<", low, low > estimate.low), (">", high, high < estimate.high))
    for marker, end, is_cut in ends:
        if is_cut:
            ax.plot(
                end, y, marker=marker, color=color, markersize=theme.font_size_pt * 0.45,
                markeredgewidth=0, clip_on=False, zorder=4,
            )  # fmt: skip
