"""The order of cells in one study against that in another."""

from __future__ import annotations

from matplotlib.figure import Figure

from reports.analysis.joined_ranks import RankedCell
from reports.figures.drawing import LETTER, MUTED, Theme, plain
from reports.figures.style import COLORS

PITCH = 1.55
"""Distance of ranks over the size of the font."""


def draw_rank_plot(cells: tuple[RankedCell, ...], studies: tuple[str, str], theme: Theme) -> Figure:
    """Draw a point per cell with its label beside it: each has a height of its own.

    Args:
        cells: with both ranks.
        studies: how the axes call the studies.
        theme: size and type.
    """
    font, count = theme.font_size_pt, len(cells)
    height = (count * PITCH + 5) * font / 72
    figure = Figure(figsize=(theme.width_in, height), layout="constrained")
    ax = figure.subplots()
    for place, cell in enumerate(sorted(cells, key=lambda cell: (cell.ranks[1], cell.ranks[0]))):
        x, y = cell.ranks
        if x != y:
            ax.plot(
                y, y, marker="o", color=MUTED, markersize=font * 0.5, markerfacecolor="none",
                markeredgewidth=0.6,
            )  # fmt: skip
            ax.plot([x, y], [y, y], color=MUTED, linewidth=0.6, zorder=1)
        ax.plot(x, y, marker="o", color=COLORS[0], markersize=font * 0.5, markeredgewidth=0)
        to_left = x < y or (x == y and x > (count + 1) / 2)
        ax.annotate(
            plain(cell.label), (x, place + 1), xytext=(-0.6 * font if to_left else 0.6 * font, 0),
            textcoords="offset points", ha="right" if to_left else "left", va="center",
            fontsize=font * 0.85,
        )  # fmt: skip
    room = _room(cells, theme)
    ax.set_xlim(1 - room, count + room)
    ax.set_ylim(count + 0.7, 0.3)
    ticks = sorted({1, *range(5, count + 1, 5), count}) if count > 10 else range(1, count + 1)
    ax.set_xticks(list(ticks))
    ax.set_yticks(list(ticks))
    ax.set_xlabel(plain(f"rank in {studies[0]}"))
    ax.set_ylabel(plain(f"rank in {studies[1]}"))
    ax.spines[["top", "right"]].set_visible(False)
    return figure


def _room(cells: tuple[RankedCell, ...], theme: Theme) -> float:
    """Ranks that the longest label takes beside the outermost points."""
    label = max(len(cell.label) for cell in cells) * theme.font_size_pt * 0.85 * LETTER
    axis = theme.width_in * 72 * 0.9
    share = min(0.42, (label + theme.font_size_pt) / axis)
    return share / (1 - 2 * share) * (len(cells) - 1)
