"""Interaction plot: final loss over the levels of one factor, a line per level of another."""

from __future__ import annotations

import math
from functools import partial

from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing

from reports.analysis.factor_plot import FactorPlot, PlotCell, PlotLine
from reports.exhibits import Figure
from reports.figures.drawing import (
    LETTER,
    MUTED,
    Theme,
    divergence_marks,
    edge_mark,
    plain,
    run_marks,
)
from reports.figures.panel_grid import PANELS_PER_ROW, PanelGrid
from reports.figures.style import DASHES, INK, MARKERS, Layout, VariantStyle
from reports.words import EDGE_NOTE, LEAK_MARKS, any_of, counts_caption
from studies.records import Leak, Outcome

LANE = 0.6
"""Width, between two levels of the x axis, over which the lines are set apart."""
CROSS_STEP = 0.05
"""Distance of the crosses of one cell, of the height of the axes."""
MOST_CROSSES = 0.3
"""Height that crosses take at most, of that of the axes."""


def interaction_figure(data: FactorPlot, counts: dict[Outcome, int], *, searching: bool) -> Figure:
    """The figure; `counts` and `searching` as of `counts_caption`."""
    first, *others = data.factors
    parts = [
        f"Final loss by {first}" + (f", a line per level of {others[0]}" if others else ""),
        f", a panel per level of {any_of(others[1:], 'and')}" if others[1:] else "",
        ". Small: each completed run. Large, joined: their mean.",
    ]
    if data.in_every_panel:
        parts.append(
            f" Cells in which {any_of(data.in_every_panel, 'and')} means nothing are in each panel."
        )
    if any(cell.is_of_survivors for cell in _cells(data)):
        parts.append(
            " Hollow, with completed of ended runs: mean over the survivors of a cell whose other "
            "runs diverged or were pruned."
        )
    if _most_diverged(data):
        parts.append(" Crosses at the top: diverged runs.")
    if data.leaks_in_training:
        parts.append(f" {LEAK_MARKS[Leak.IN_TRAINING]} later tokens leak in training.")
    if any(cell.at_edge for cell in _cells(data)):
        parts.append(f" {EDGE_NOTE}")
    parts.append(f" {counts_caption(counts, searching=searching)}")
    wide = len(data.panels) > 1 or len(data.x_levels) * len(data.lines) > 8
    return Figure(
        "effects", "".join(parts), data.table, partial(_draw, data), runs=data.runs, wide=wide
    )


def _cells(data: FactorPlot) -> list[PlotCell]:
    return [cell for panel in data.panels for line in panel.lines for cell in line.cells]


def _most_diverged(data: FactorPlot) -> int:
    """Diverged runs of the cell that has most of them."""
    return max(cell.outcomes[Outcome.DIVERGED] for cell in _cells(data))


def _draw(data: FactorPlot, theme: Theme) -> Drawing:
    font = theme.font_size_pt
    letter_in = font * LETTER / 72
    free_in = theme.width_in - 5 * letter_in
    label_in = (max(map(len, data.x_levels)) + 1.5) * letter_in * len(data.x_levels)
    panels = len(data.panels)
    columns = max(1, min(PANELS_PER_ROW, panels, int(free_in / (label_in + letter_in))))
    columns = math.ceil(panels / math.ceil(panels / columns))  # no row with a single panel left
    is_tilted = label_in > free_in / columns
    height = max(1.6, theme.width_in * (0.5 if columns == 1 else 1.0 / columns))
    height = min(height, 3.6 * font / 9.5) + (0.3 if is_tilted else 0.0)
    titles = [panel.title for panel in data.panels]
    grid = PanelGrid(titles, theme, columns=columns, panel_in=height)
    limits = _limits(data)
    for ax, panel in zip(grid.axes, data.panels, strict=True):
        for line in panel.lines:
            _draw_line(ax, line, max(1, len(data.lines)), theme)
        ax.set_xticks(range(len(data.x_levels)), [plain(level) for level in data.x_levels])
        if is_tilted:
            ax.tick_params(axis="x", labelrotation=35)
            for label in ax.get_xticklabels():
                label.set(ha="right", rotation_mode="anchor")
        ax.set_xlim(-0.5, len(data.x_levels) - 0.5)
        ax.set_ylim(*limits)
        _draw_crosses(ax, panel.lines, max(1, len(data.lines)), theme)
        ax.grid(color=MUTED, alpha=0.25, linewidth=0.5, axis="y")
    legend = tuple((label, _style(place)) for place, label in enumerate(data.lines))
    return grid.labelled(
        data.factors[0], "final loss (nats/token)", Layout((), {}, legend),
        diverged=_most_diverged(data) > 0,
    )  # fmt: skip


def _style(place: int) -> VariantStyle:
    """Dash and marker of a line; its marks have the colours of the variants."""
    dash = place + place // len(MARKERS)  # another one when markers come round
    return VariantStyle(INK, MARKERS[place % len(MARKERS)], DASHES[dash % len(DASHES)])


def _limits(data: FactorPlot) -> tuple[float, float]:
    """Of the loss, with room for crosses above."""
    losses = [loss for cell in _cells(data) for loss in cell.losses] or [0.0, 1.0]
    low, high = min(losses), max(losses)
    pad = 0.06 * (high - low) or 0.01
    count = _most_diverged(data)
    crosses = min(MOST_CROSSES, CROSS_STEP * (count + 0.4)) if count else 0.0
    return low - pad, high + pad + (high - low + 2 * pad) * crosses / (1 - crosses)


def _x(cell: PlotCell, line: PlotLine, lines: int) -> float:
    """Lines stand beside each other at each level, so that their runs do not hide one another."""
    return cell.place + LANE * ((line.style + 0.5) / lines - 0.5)


def _draw_line(ax: Axes, line: PlotLine, lines: int, theme: Theme) -> None:
    style, font = _style(line.style), theme.font_size_pt
    cells = sorted(line.cells, key=lambda cell: cell.place)
    ax.plot(
        [_x(cell, line, lines) for cell in cells], [cell.mean for cell in cells],
        color=INK, linestyle=style.dash, linewidth=theme.line_pt * 0.8, alpha=0.75, zorder=2,
    )  # fmt: skip
    for cell in cells:
        x = _x(cell, line, lines)
        run_marks(
            ax, [x] * len(cell.losses), cell.losses, cell.color, theme, marker=style.marker,
            size=0.32,
        )  # fmt: skip
        face = "none" if cell.is_of_survivors else cell.color
        ax.plot(
            [x], [cell.mean], marker=style.marker, markersize=font * 0.55, zorder=4,
            markerfacecolor=face, markeredgecolor=INK, markeredgewidth=0.6,
        )  # fmt: skip
        if cell.at_edge:
            edge_mark(ax, x, cell.mean, theme)
        if cell.is_of_survivors and cell.losses:
            ended = len(cell.losses) + cell.outcomes[Outcome.DIVERGED]
            ax.annotate(
                f"{len(cell.losses)}/{ended + cell.outcomes[Outcome.PRUNED]}", (x, cell.mean),
                (0, font * 0.45), textcoords="offset points", ha="center", va="bottom",
                fontsize=font * 0.75,
            )  # fmt: skip


def _draw_crosses(ax: Axes, drawn: tuple[PlotLine, ...], lines: int, theme: Theme) -> None:
    """A cross per diverged run, one below the other from the top of the axes."""
    low, high = ax.get_ylim()
    x, y = [], []
    for line in drawn:
        for cell in line.cells:
            count = cell.outcomes[Outcome.DIVERGED]
            step = min(CROSS_STEP, MOST_CROSSES / (count + 0.4)) * (high - low)
            x += [_x(cell, line, lines)] * count
            y += [high - step * (place + 0.4) for place in range(count)]
    divergence_marks(ax, x, y, theme)
