"""A grid of panels that share their scales: titles, notes, a height that fits, one legend."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from reports.figures.drawing import LETTER, MARK_COLOR, MUTED, Theme, hide_unused, plain
from reports.figures.style import Layout

PANELS_PER_ROW = 4
ASPECTS = (2.2, 1.55, 1.35, 1.15)
"""Width of the axes of a panel over their height, by the number of panels in a row."""
NOTE_FONT = 0.85
"""Size of the notes over panels, of that of the figure's text."""
LEGEND_LETTERS = 28
"""Length from which on an entry of the legend has further lines, so that others stay beside it."""
TITLE_LINE, NOTE_LINE, LEGEND_LINE = 1.3, 1.25 * NOTE_FONT, 1.55
"""Heights of a line of text over the size of the font."""


def wrapped(text: str, separator: str, letters: float) -> str:
    """A text in lines of so many letters, broken behind separators only."""
    behind = separator.rstrip().replace(" ", "\xa0") + " "
    whole = behind.join(part.replace(" ", "\xa0") for part in text.split(separator))
    return textwrap.fill(whole, int(letters), break_long_words=False, break_on_hyphens=False)


class PanelGrid:
    """Axes below their titles, which are drawn into, and then labelled as a whole."""

    def __init__(
        self,
        titles: Sequence[str],
        theme: Theme,
        *,
        notes: Sequence[str] = (),
        columns: int = PANELS_PER_ROW,
        panel_in: float | None = None,
        share_y: bool = True,
    ) -> None:
        """Make the axes.

        Args:
            titles: one for each panel, broken between its levels where it is long.
            theme: size and type.
            notes: a line below each title, if there are any.
            columns: panels in a row, at most.
            panel_in: height of a panel with all that belongs to it; else what fits the number of
                columns.
            share_y: whether all panels have one scale of values.
        """
        font = theme.font_size_pt
        columns = min(columns, len(titles))
        rows = math.ceil(len(titles) / columns)
        free_pt = (theme.width_in * 72 - 4 * font) / columns
        letters = free_pt / (font * LETTER)
        heads = [wrapped(title, " · ", letters) for title in titles]
        below = [wrapped(note, ", ", letters / NOTE_FONT) for note in notes]
        note_lines = _most_lines(below)
        if panel_in is None:
            lines_pt = (TITLE_LINE * _most_lines(heads) + NOTE_LINE * note_lines + 1.5) * font
            panel_in = ((free_pt - 1.5 * font) / ASPECTS[columns - 1] + lines_pt) / 72
        self._theme = theme
        self.figure = Figure((theme.width_in, rows * panel_in), layout="constrained")
        self._rows = self.figure.subplots(rows, columns, sharex=True, sharey=share_y, squeeze=False)
        self.axes: list[Axes] = [ax for row in self._rows for ax in row][: len(titles)]
        pad = font * (0.7 + NOTE_LINE * note_lines)
        for ax, head in zip(self.axes, heads, strict=True):
            ax.set_title(plain(head), linespacing=1.1, pad=pad)
        for ax, note in zip(self.axes, below, strict=False):
            ax.annotate(
                plain(note), (0.5, 1), (0, font * 0.4), xycoords="axes fraction",
                textcoords="offset points", ha="center", va="bottom", color=MUTED,
                fontsize=font * NOTE_FONT, linespacing=1.15,
            )  # fmt: skip

    def labelled(self, x_label: str, y_label: str, layout: Layout, *, diverged: bool) -> Figure:
        """The figure with its axes called, and a legend over the panels.

        Args:
            x_label: below all panels.
            y_label: beside them.
            layout: has the entries of the legend.
            diverged: whether the legend explains the mark of divergence.
        """
        font = self._theme.font_size_pt
        for ax in self.axes:
            ax.spines[["top", "right"]].set_visible(False)
        hide_unused([list(row) for row in self._rows], len(self.axes))
        self.figure.supxlabel(plain(x_label), fontsize=font)
        self.figure.supylabel(plain(y_label), fontsize=font)
        lines = self._add_legend(layout, diverged=diverged)
        height = self.figure.get_figheight() + (LEGEND_LINE * lines + 3.5) * font / 72
        self.figure.set_figheight(height)
        return self.figure

    def _add_legend(self, layout: Layout, *, diverged: bool) -> int:
        """Colours and markers, dashes, and the mark of divergence, in so many lines."""
        theme = self._theme
        labels = [wrapped(label, " · ", LEGEND_LETTERS) for label, _ in layout.legend]
        handles = [
            Line2D(
                [], [], color=style.color, linestyle=style.dash, marker=style.marker or "None",
                markersize=theme.font_size_pt * 0.45, linewidth=theme.line_pt, label=plain(label),
            )
            for label, (_, style) in zip(labels, layout.legend, strict=True)
        ]  # fmt: skip
        if diverged:
            handles.append(
                Line2D([], [], linestyle="none", marker="x", color=MARK_COLOR, label="diverged")
            )
        longest = max((len(line) for label in labels for line in label.split("\n")), default=1)
        # A letter is about half as wide as its height; a handle takes about 6 letters.
        fitting = int(theme.width_in * 144 / theme.font_size_pt / (longest + 7))
        columns = max(1, min(len(handles), fitting))
        self.figure.legend(
            handles=handles, loc="outside upper center", frameon=False, handlelength=2.6,
            ncols=columns, columnspacing=1.4,
        )  # fmt: skip
        return math.ceil(len(handles) / columns) + max(0, _most_lines(labels) - 1)


def _most_lines(texts: Sequence[str]) -> int:
    """Lines of the tallest text; none where all are empty."""
    return max((text.count("\n") + bool(text) for text in texts), default=0)
