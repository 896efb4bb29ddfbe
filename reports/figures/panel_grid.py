"""A grid of panels that share their scales: titles, notes, a height that fits, one legend."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from reports.figures.drawing import (
    LETTER,
    MUTED,
    Theme,
    add_legend,
    hide_unused,
    panel_axes,
    plain,
)
from reports.figures.style import Layout

PANELS_PER_ROW = 4
NOTE_FONT = 0.85
"""Size of the notes over panels, of that of the figure's text."""


def wrapped(text: str, separator: str, letters: float) -> str:
    """A text in lines of so many letters, broken at separators only."""
    whole = separator.join(part.replace(" ", "\xa0") for part in text.split(separator))
    return textwrap.fill(whole, int(letters), break_long_words=False, break_on_hyphens=False)


class PanelGrid:
    """Axes below their titles, which are drawn into, and then labelled as a whole."""

    def __init__(
        self,
        titles: Sequence[str],
        theme: Theme,
        *,
        notes: Sequence[str] | None = None,
        columns: int = PANELS_PER_ROW,
        height_in: float | None = None,
    ) -> None:
        """Make the axes.

        Args:
            titles: one for each panel, broken between its levels where it is long.
            theme: size and type.
            notes: a line below each title, if there are any.
            columns: panels in a row, at most.
            height_in: of the whole figure; else what fits the number of columns.
        """
        font = theme.font_size_pt
        columns = min(columns, len(titles))
        rows = math.ceil(len(titles) / columns)
        letters = (theme.width_in * 72 - 4 * font) / columns / (font * LETTER)
        below = [wrapped(note, ", ", letters / NOTE_FONT) for note in notes or ()]
        lines = max((note.count("\n") + bool(note) for note in below), default=0)
        if height_in is None:
            height = theme.width_in * (0.55 if columns == 1 else 1.15 / columns)
            height_in = (height + lines * font / 72) * rows + (0 if notes is None else 0.08 * font)
        self._theme = theme
        self.figure, self._rows = panel_axes(theme, rows, columns, height_in)
        self.axes: list[Axes] = [ax for row in self._rows for ax in row][: len(titles)]
        pad = None if notes is None else font * (0.7 + 1.25 * NOTE_FONT * lines)
        for ax, title in zip(self.axes, titles, strict=True):
            ax.set_title(plain(wrapped(title, " · ", letters)), linespacing=1.1, pad=pad)
        for ax, note in zip(self.axes, below, strict=False):
            ax.annotate(
                note, (0.5, 1), (0, font * 0.4), xycoords="axes fraction",
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
        for ax in self.axes:
            ax.spines[["top", "right"]].set_visible(False)
        hide_unused(self._rows, len(self.axes))
        self.figure.supxlabel(plain(x_label), fontsize=self._theme.font_size_pt)
        self.figure.supylabel(plain(y_label), fontsize=self._theme.font_size_pt)
        add_legend(self.figure, layout, self._theme, diverged=diverged)
        return self.figure
