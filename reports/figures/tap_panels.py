"""A quantity in every layer, late in training: a panel per tap, a row per variant."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from reports.analysis.by_construction import fixed_notes, fixed_reasons, foregone
from reports.analysis.late_values import late_values
from reports.figures.cell_marks import dot_cells, hatch_boxes, minus_cells
from reports.figures.color_bars import add_color_bar
from reports.figures.color_scales import ColorScale, Values, color_scale, fitting_kind, mean_of_runs
from reports.figures.drawing import LETTER, MARK_COLOR, MUTED, Theme, plain
from reports.figures.style import MAX_GROUPS, RowGroup, row_groups
from reports.results.frame import StudyResults
from reports.words import tap_label, with_unit
from studies.records import Outcome

ROW_FONT = 0.87
"""Size of the labels of rows, of that of the figure's text."""
DOT, MINUS = 0.28, 0.4
"""Diameter of a dot and length of a minus over the size of the figure's text."""
LAYER_TICKS = 5
DISAGREEMENT = 0.2
"""Share of the colour bar; runs of a cell that lie further apart on it are marked.

A fifth is about the distance of two ticks. Nobody reads the colour of a cell more exactly than
that, so that closer runs read alike, and others are not what the colour of their mean says.
"""
LOWEST = 5.0
"""Height of the lowest panel in lines of text."""


@dataclass(frozen=True)
class TapPanel:
    """Layers of a tap as columns, variants as rows."""

    title: str
    tap: str
    layers: tuple[int, ...]
    groups: tuple[RowGroup, ...]


@dataclass(frozen=True)
class TapPanels:
    """Everything that one figure shows."""

    family: str
    label: str
    cells: pd.DataFrame
    """variant, label, tap, layer, mean (over completed runs; geometric on a logarithmic scale),
    least and most (of these runs), runs, first_step and last_step (of the looks that a run's value
    is a mean of), fixed (why it is so by construction, or empty), disagree (whether least and most
    lie further apart on the scale than `DISAGREEMENT`)."""
    panels: tuple[TapPanel, ...]
    ends: dict[str, dict[Outcome, int]]
    """How the runs of each variant ended."""
    without: tuple[str, ...]
    """Labels of the variants that have no such number; where there are any, also of those that
    have no curves at all, of which nobody knows."""
    scale: ColorScale
    fixed: str
    """What is hatched and why, as sentences; may be empty."""
    runs: tuple[str, ...]
    """Keys of the runs that the means are over."""

    @property
    def foregone(self) -> str:
        """What all of it is if it shows nothing of training; else empty."""
        return foregone(self.cells)

    def completed(self, variant: str) -> int:
        """Runs behind a row."""
        return self.ends[variant][Outcome.COMPLETED]

    @property
    def below_zero(self) -> pd.Series[bool]:
        """Cells below the middle of a scale about 0, whose ends are alike without colour."""
        is_below = (self.cells["mean"] < 0) & (self.cells["fixed"] == "")
        return is_below & (self.scale.kind == "diverging")

    @property
    def partial(self) -> bool:
        """Whether rows are of some of the planned runs only."""
        shown = {v for panel in self.panels for group in panel.groups for v in group.labels}
        return any(0 < self.completed(v) < sum(self.ends[v].values()) for v in shown)

    @property
    def gaps(self) -> bool:
        """Whether a row with completed runs has layers without a value."""
        found = set(zip(self.cells["variant"], self.cells["tap"], self.cells["layer"], strict=True))
        return any(
            (variant, panel.tap, layer) not in found
            for panel in self.panels
            for group in panel.groups
            for variant in group.labels
            if self.completed(variant)
            for layer in panel.layers
        )


def collect_tap_panels(results: StudyResults, family: str) -> TapPanels | None:
    """Means over completed runs, at the last probe or in the second half; None without any."""
    curves = results.layer_curves(family)
    done = curves[curves["outcome"] == Outcome.COMPLETED]
    if done.empty:
        return None
    definition = results.definition(family)
    kind = fitting_kind(definition.scale, done["value"].to_numpy())
    shown = late_values(definition, done, kind)
    by = ["variant", "tap", "layer"]
    cells = mean_of_runs(kind, shown["value"], shown[by])
    steps = shown.groupby(by).agg(first_step=("first_step", "min"), last_step=("step", "max"))
    cells = cells.merge(steps.reset_index())
    cells.insert(1, "label", cells["variant"].map(results.labels))
    scale = color_scale(kind, cells["mean"].to_numpy())
    apart = scale.distance(cells["least"].to_numpy(), cells["most"].to_numpy())
    cells = cells.assign(fixed=fixed_notes(results, family, cells), disagree=apart > DISAGREEMENT)
    silent = _without(results, set(curves["variant"].unique()))
    layers = done.groupby("tap")["layer"].agg(["min", "max"])
    spans = {
        tap: tuple(range(layers["min"][tap], layers["max"][tap] + 1))
        for tap in results.layered[family]
        if tap in layers.index
    }
    return TapPanels(
        family=family,
        label=with_unit(definition),
        cells=cells,
        panels=_panels(spans, _groups(results, silent)),
        ends={variant: results.outcomes(variant) for variant in results.variants},
        without=tuple(results.labels[variant] for variant in silent),
        scale=scale,
        fixed=fixed_reasons(results, family, cells),
        runs=tuple(done["run_key"].unique()),
    )


def _without(results: StudyResults, recorded: set[str]) -> list[str]:
    """Variants without the family, if any that has curves is without it."""
    runs = results.runs.set_index("run_key")["variant"]
    with_curves = set(runs[runs.index.isin(results.histories["run_key"].unique())])
    if with_curves <= recorded:
        return []
    return [variant for variant in results.variants if variant not in recorded]


def _groups(results: StudyResults, silent: Sequence[str]) -> tuple[RowGroup, ...]:
    groups = []
    for group in row_groups(results):
        labels = {v: label for v, label in group.labels.items() if v not in silent}
        if labels:
            groups.append(RowGroup(group.title, labels))
    return tuple(groups)


def _panels(
    spans: dict[str, tuple[int, ...]], groups: tuple[RowGroup, ...]
) -> tuple[TapPanel, ...]:
    """A panel per tap; the groups of a single tap stand side by side if their rows are alike."""
    rows = [list(group.labels.values()) for group in groups]
    if len(spans) == 1 and len(groups) <= MAX_GROUPS and all(row == rows[0] for row in rows):
        ((tap, layers),) = spans.items()
        return tuple(TapPanel(group.title, tap, layers, (group,)) for group in groups)
    return tuple(TapPanel(tap_label(tap), tap, layers, groups) for tap, layers in spans.items())


@dataclass(frozen=True)
class Rows:
    """Where each row of a panel stands: the top one at 0, titles of groups between."""

    variants: dict[str, int]
    titles: dict[str, int]
    labels: dict[str, str]

    @property
    def count(self) -> int:
        """Rows with those of titles."""
        return len(self.variants) + len(self.titles)


def _rows(groups: Sequence[RowGroup]) -> Rows:
    variants: dict[str, int] = {}
    titles: dict[str, int] = {}
    for group in groups:
        if len(groups) > 1:
            titles[group.title] = len(variants) + len(titles)
        for variant in group.labels:
            variants[variant] = len(variants) + len(titles)
    return Rows(variants, titles, {v: label for g in groups for v, label in g.labels.items()})


def draw_tap_panels(data: TapPanels, theme: Theme) -> Figure:
    """Draw the panels side by side with one colour bar."""
    font = theme.font_size_pt * ROW_FONT
    rows = _rows(data.panels[0].groups)
    longest = max(map(len, [*rows.labels.values(), *rows.titles]))
    widths = [float(len(panel.layers)) for panel in data.panels]
    widths = [max(width, 0.6 * max(widths)) for width in widths]
    free = theme.width_in - longest * font * LETTER / 72
    # A space of two letters between titles, for they are of several words themselves.
    letters = [int(free * w / sum(widths) * 72 / (font * LETTER)) - 2 for w in widths]
    titles = [
        textwrap.fill(panel.title, max(8, fitting), break_long_words=False)
        for panel, fitting in zip(data.panels, letters, strict=True)
    ]
    lines = max(title.count("\n") + 1 for title in titles)
    height = (max(rows.count * 1.22, LOWEST) + lines * 1.2 + 7.5) * font / 72
    layout = ConstrainedLayoutEngine(w_pad=0.01, h_pad=0.02, rect=(0.006, 0, 0.988, 1))
    figure = Figure(figsize=(theme.width_in, height), layout=layout)
    axes = figure.subplots(1, len(data.panels), sharey=True, squeeze=False, width_ratios=widths)[0]
    for ax, panel, title in zip(axes, data.panels, titles, strict=True):
        _draw_panel(ax, data, panel, theme)
        ax.set_title(plain(title), fontsize=font, linespacing=1.0)
        if panel.groups != data.panels[-1].groups or panel is data.panels[-1]:
            _count_survivors(ax, data, panel, font)
    _label_rows(axes[0], rows, font)
    for ax in axes[1:]:
        ax.yaxis.set_visible(False)  # ticks that nobody sees take most of the time
    figure.supxlabel("block" if data.panels[0].tap == "block" else "layer", fontsize=font)
    add_color_bar(figure, list(axes), data.scale, data.label, above=True)
    return figure


def _label_rows(ax: Axes, rows: Rows, font: float) -> None:
    positions = [*rows.variants.values(), *rows.titles.values()]
    labels = [*(rows.labels[v] for v in rows.variants), *rows.titles]
    ax.set_yticks(positions, [plain(label) for label in labels], fontsize=font)
    for tick in ax.get_yticklabels()[len(rows.variants) :]:
        tick.set_fontweight("bold")
    ax.set_ylim(rows.count - 0.5, -0.5)


def _count_survivors(ax: Axes, data: TapPanels, panel: TapPanel, font: float) -> None:
    """Beside each row of some of the planned runs: how many they are."""
    for variant, y in _rows(panel.groups).variants.items():
        planned = sum(data.ends[variant].values())
        if 0 < data.completed(variant) < planned:
            ax.annotate(
                f"{data.completed(variant)}/{planned}", (panel.layers[-1] + 0.5, y), (2, 0),
                textcoords="offset points", va="center", fontsize=font * 0.85, color=MUTED,
            )  # fmt: skip


def _draw_panel(ax: Axes, data: TapPanels, panel: TapPanel, theme: Theme) -> None:
    rows = _rows(panel.groups)
    cells = data.cells[(data.cells["tap"] == panel.tap) & data.cells["variant"].isin(rows.variants)]
    y = cells["variant"].map(rows.variants).to_numpy(int)
    x = cells["layer"].to_numpy(int)
    values = np.full((rows.count, len(panel.layers)), np.nan)
    values[y, x - panel.layers[0]] = cells["mean"]
    columns = np.arange(panel.layers[0], panel.layers[-1] + 2, dtype=float) - 0.5
    data.scale.mesh(ax, columns, np.arange(rows.count + 1, dtype=float) - 0.5, values)
    light = data.scale.light(cells["mean"].to_numpy(float))
    fixed, disagree = (cells["fixed"] != "").to_numpy(), cells["disagree"].to_numpy()
    hatch_boxes(ax, np.stack([x - 0.5, y - 0.5, x + 0.5, y + 0.5], 1)[fixed], light[fixed])
    dot_cells(ax, np.stack([x, y], 1)[disagree], light[disagree], theme.font_size_pt * DOT)
    below = data.below_zero[cells.index].to_numpy()
    minus_cells(ax, np.stack([x, y], 1)[below], light[below], theme.font_size_pt * MINUS)
    _mark_empty(ax, data, panel, rows, values, theme)
    ax.spines[:].set_visible(False)
    ax.tick_params(length=0, pad=2)
    stride = math.ceil(len(panel.layers) / LAYER_TICKS)
    ax.set_xticks(panel.layers[::stride])


def _mark_empty(
    ax: Axes, data: TapPanels, panel: TapPanel, rows: Rows, values: Values, theme: Theme
) -> None:
    """Crosses and rings for rows without a completed run, dashes for layers without a value."""
    middle = (panel.layers[0] + panel.layers[-1]) / 2
    size = theme.font_size_pt * 0.45
    lost = {v: y for v, y in rows.variants.items() if not data.completed(v)}
    diverged = [y for v, y in lost.items() if data.ends[v][Outcome.DIVERGED]]
    others = [y for v, y in lost.items() if not data.ends[v][Outcome.DIVERGED]]
    absent = [
        (panel.layers[0] + column, y)
        for v, y in rows.variants.items()
        if v not in lost
        for column in np.flatnonzero(np.isnan(values[y]))
    ]
    for marks, marker, color in (
        ([(middle, y) for y in diverged], "x", MARK_COLOR),
        ([(middle, y) for y in others], "o", MUTED),
        (absent, "_", MUTED),
    ):
        if marks:
            ax.plot(
                *zip(*marks, strict=True), linestyle="none", marker=marker, markersize=size,
                markeredgecolor=color, markerfacecolor="none", markeredgewidth=theme.line_pt * 0.7,
            )  # fmt: skip
