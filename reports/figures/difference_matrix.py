"""Differences of final loss between all pairs of variants, as a coloured matrix."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from reports.analysis.pairwise import FinalLosses
from reports.figures.cell_marks import dot_cells, hatch_boxes, minus_cells
from reports.figures.color_bars import add_color_bar
from reports.figures.color_scales import ColorScale, color_scale
from reports.figures.drawing import LETTER, MUTED, Theme, plain
from reports.words import decimals_for, number

PITCH = 1.3
"""Height of a cell over the size of the font, at least."""
LABEL_SHARE = 0.4
"""Share of the width that labels of rows and the colour bar take, about."""
ANNOTATED = 8
"""A matrix of at most so many variants has the numbers in its cells, where they fit."""


def draw_difference_matrix(data: FinalLosses, theme: Theme) -> Figure:
    """Draw row minus column; columns are called by the numbers of the rows."""
    font, n = theme.font_size_pt, len(data.means)
    means = _square(data, data.pairs["mean"], -1)
    known = means[np.isfinite(means)]
    scale = color_scale("diverging", known)
    width_pt = theme.width_in * 72 * (1 - LABEL_SHARE) / n
    cell_pt = max(PITCH * font, min(width_pt, 3.2 * font))
    height_pt = max(n * cell_pt, 9 * font) + 4.5 * font
    figure = Figure(figsize=(theme.width_in, height_pt / 72), layout="constrained")
    ax = figure.subplots()
    borders = np.arange(n + 1, dtype=np.float64) - 0.5
    scale.mesh(ax, borders, borders, means)
    _hatch(ax, data, means)
    _mark(ax, data, scale, means, theme, width_pt)
    _label(ax, data, theme, width_pt)
    add_color_bar(figure, [ax], scale, "row minus column (nats/token)")
    return figure


def _square(data: FinalLosses, values: pd.Series[float], mirrored: int) -> npt.NDArray[np.float64]:
    """Values of pairs as (row, column); below the diagonal those of the mirrored pair, times ±1."""
    place = {variant: index for index, variant in enumerate(data.means)}
    found = np.full((len(place), len(place)), math.nan)
    rows, columns = (data.pairs[side].map(place).to_numpy() for side in ("row", "column"))
    found[rows, columns] = values
    found[columns, rows] = mirrored * values
    return found


def _hatch(ax: Axes, data: FinalLosses, means: npt.NDArray[np.float64]) -> None:
    """Pairs that are not comparable; the diagonal stays empty."""
    rows, columns = np.nonzero(np.isnan(means) & ~np.eye(len(means), dtype=bool))
    boxes = np.column_stack([columns - 0.5, rows - 0.5, columns + 0.5, rows + 0.5])
    ax.patch.set(facecolor=MUTED, alpha=0.15)
    hatch_boxes(ax, boxes.astype(float), np.ones(len(boxes), dtype=bool))


def _mark(
    ax: Axes,
    data: FinalLosses,
    scale: ColorScale,
    means: npt.NDArray[np.float64],
    theme: Theme,
    width_pt: float,
) -> None:
    """Dots where Holm's p reaches the level, and numbers where they fit, else a minus."""
    font = theme.font_size_pt
    reached = _square(data, (data.pairs["holm_p"] <= 1 - data.confidence).astype(float), 1) == 1
    decimals = decimals_for(float(np.nanmedian(np.abs(means))) if np.isfinite(means).any() else 0)
    longest = decimals + 3
    written = len(means) <= ANNOTATED and width_pt > longest * font * LETTER
    light = scale.light(means)
    rows, columns = np.nonzero(reached)
    centers = np.column_stack([columns, rows + (0.3 if written else 0.0)])
    dot_cells(ax, centers, light[rows, columns], font * 0.35)
    if not written:
        rows, columns = np.nonzero(means < 0)
        below = np.column_stack([columns, rows]).astype(float)
        minus_cells(ax, below, light[rows, columns], min(font, width_pt) * 0.6)
        return
    for row, column in zip(*np.nonzero(np.isfinite(means)), strict=True):
        ax.text(
            column, row, number(means[row, column], decimals, sign=True), ha="center",
            va="center", fontsize=font * 0.9,
            color="#000000" if light[row, column] else "#ffffff",
        )  # fmt: skip


def _label(ax: Axes, data: FinalLosses, theme: Theme, width_pt: float) -> None:
    font = theme.font_size_pt
    labels = [
        f"{row.label}{row.marks}  {index}" for index, row in enumerate(data.means.values(), 1)
    ]
    ax.set_yticks(range(len(labels)), labels=[plain(label) for label in labels])
    every = math.ceil(font * 0.9 * LETTER * (len(str(len(labels))) + 0.8) / width_pt)
    places = range(0, len(labels), every)
    ax.set_xticks(places, labels=[str(place + 1) for place in places])
    ax.tick_params(length=0, labelsize=font * 0.9)
    ax.xaxis.tick_top()
    ax.set_ylim(len(labels) - 0.5, -0.5)
    ax.spines[:].set_linewidth(0.4)
