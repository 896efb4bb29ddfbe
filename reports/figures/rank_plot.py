"""The order of cells in one study against that in another."""

from __future__ import annotations

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from reports.analysis.joined.ranks import RankedCell
from reports.figures.drawing import MUTED, Theme, plain
from reports.figures.style import COLORS

PITCH = 1.5
"""Distance of ranks over the size of the font."""


def draw_rank_plot(cells: tuple[RankedCell, ...], studies: tuple[str, str], theme: Theme) -> Figure:
    """Draw a row per cell in the order of the second study, its point at its rank in the first.

    Args:
        cells: with both ranks.
        studies: how the axes call the studies.
        theme: size and type.
    """
    font, count = theme.font_size_pt, len(cells)
    figure = Figure(
        figsize=(theme.width_in, (count * PITCH + 4.5) * font / 72), layout="constrained"
    )
    ax = figure.subplots()
    rows = sorted(cells, key=lambda cell: (cell.ranks[1], cell.ranks[0]))
    for place, cell in enumerate(rows, 1):
        x, y = cell.ranks
        ax.plot([x, y], [place, place], color=MUTED, linewidth=0.7, zorder=1)
        ax.plot(
            y, place, marker="o", color=MUTED, markersize=font * 0.55, fillstyle="none",
            markeredgewidth=0.7,
        )  # fmt: skip
        ax.plot(x, place, marker="o", color=COLORS[0], markersize=font * 0.45, markeredgewidth=0)
    ax.set_xlim(0.4, count + 0.6)
    ax.set_ylim(count + 0.6, 0.4)
    ax.set_yticks(
        range(1, count + 1), labels=[plain(f"{cell.label}   {cell.ranks[1]:g}") for cell in rows]
    )
    ax.tick_params(axis="y", length=0)
    ax.xaxis.set_major_locator(
        MaxNLocator(max(2, min(10, int(theme.width_in * 72 * 0.5 / (font * 2.5)))), integer=True)
    )
    ax.set_xlabel(plain(f"rank in {studies[0]}"))
    ax.set_ylabel(plain(f"rank in {studies[1]}"))
    ax.spines[["top", "right"]].set_visible(False)
    return figure
