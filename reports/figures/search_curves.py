"""Final loss against the learning rate, or another searched key: every run, means, choices."""

from __future__ import annotations

import math
from functools import partial

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing

from reports.analysis.search_results import SearchResults, VariantSearch, trial_means, whole_trials
from reports.exhibits import Figure
from reports.figures.drawing import MUTED, Theme, divergence_marks, edge_mark, run_marks
from reports.figures.panel_grid import PanelGrid
from reports.words import EDGE_NOTE, counts_caption, factor_label
from studies.records import Outcome

REACH = 0.5
"""How far above all runs the loss at initialisation is still drawn, in the range of their losses:
from further up it would press the curves together."""


def search_figure(data: SearchResults) -> Figure | None:
    """The figure; None where no key has an order, or no run has ended."""
    if data.axis is None or data.points.empty:
        return None
    others = [factor_label(key) for key in data.keys if key != data.axis]
    at_best = f", at the best {' and '.join(others)} tried with each" if others else ""
    parts = [
        f"Final loss against the {factor_label(data.axis)} on the search seeds. Small marks: runs.",
        f"Lines: mean over the search seeds{at_best}." if data.is_sweep else "",
        "Rings: what was chosen.",
        *_initial_in_caption(data),
        "Crosses: diverged runs, which count as that, too." if _has_diverged(data) else "",
        "Half circles: pruned runs at their last loss, in no mean." if _has_pruned(data) else "",
        EDGE_NOTE if any(row.choice and row.choice.edges for row in data.rows) else "",
        counts_caption(data.outcomes, searching=data.searching),
    ]
    caption = " ".join(filter(None, parts))
    runs = tuple(data.points["run_key"])
    return Figure("search", caption, data.points, partial(_draw, data), runs)


def _initial_in_caption(data: SearchResults) -> list[str]:
    """What a run counts for at most, and where that is."""
    known = [row.initial for row in data.rows if math.isfinite(row.initial)]
    if not known:
        return []
    if _is_in_reach(data):
        return [
            "Dashed: loss at initialisation, the mean over the variants of a panel; a run above "
            "its own counts as that."
        ]
    ends = " to ".join(dict.fromkeys(f"{end:.2f}" for end in (min(known), max(known))))
    return [
        f"The loss at initialisation ({ends}), which a run counts for at most, lies above the axis."
    ]


def _is_in_reach(data: SearchResults) -> bool:
    """Whether the loss at initialisation is near enough to what is drawn to be a line there."""
    losses = data.points["loss"].dropna()
    known = [row.initial for row in data.rows if math.isfinite(row.initial)]
    if losses.empty or not known:
        return bool(known)
    reach = REACH * float(losses.max() - losses.min())
    return min(known) <= float(losses.max()) + reach


def _draw(data: SearchResults, theme: Theme) -> Drawing:
    panels = data.layout.panels
    grid = PanelGrid([panel.title for panel in panels], theme)
    by_variant = {row.variant: row for row in data.rows}
    for ax, panel in zip(grid.axes, panels, strict=True):
        for variant in panel.variants:
            _draw_variant(ax, data, by_variant[variant], theme)
        initial = [by_variant[v].initial for v in panel.variants]
        known = [loss for loss in initial if math.isfinite(loss)]
        if known and _is_in_reach(data):
            level = sum(known) / len(known)
            ax.axhline(level, color=MUTED, linewidth=0.7 * theme.line_pt, linestyle=(0, (4, 2)))
        ax.grid(color=MUTED, alpha=0.25, linewidth=0.5)
    if (data.points[data.axis] > 0).all():
        grid.axes[0].set_xscale("log")  # axes are shared
    x_label, diverged = factor_label(str(data.axis)), _has_diverged(data)
    return grid.labelled(x_label, "final loss (nats/token)", data.layout, diverged=diverged)


def _draw_variant(ax: Axes, data: SearchResults, row: VariantSearch, theme: Theme) -> None:
    style, axis = data.layout.styles[row.variant], data.axis
    points = data.points[data.points["variant"] == row.variant]
    ended = points[~points["outcome"].isin([Outcome.DIVERGED, Outcome.PRUNED])]
    run_marks(
        ax, ended[axis].tolist(), ended["loss"].tolist(), style.color, theme,
        marker=style.marker or "o", size=0.38,
    )  # fmt: skip
    pruned = points[points["outcome"] == Outcome.PRUNED]
    ax.plot(
        pruned[axis], pruned["loss"], linestyle="none", marker="o", fillstyle="left",
        markersize=theme.font_size_pt * 0.4, color=style.color, markeredgewidth=0.5,
    )  # fmt: skip
    means = trial_means(whole_trials(points), str(axis))
    if data.is_sweep:
        line = means.groupby(axis)["loss"].min()
        line = line.reindex(sorted(points[axis].unique()))  # a gap where all was pruned
        ax.plot(line.index, line, color=style.color, linestyle=style.dash, linewidth=theme.line_pt)
    chosen = _chosen(row, means)
    ax.plot(
        chosen[axis], chosen["loss"], linestyle="none", marker="o", fillstyle="none",
        markersize=theme.font_size_pt * 0.9, color=style.color, markeredgewidth=theme.line_pt,
    )  # fmt: skip
    if row.choice and row.choice.edges:
        for x, y in zip(chosen[axis], chosen["loss"], strict=True):
            edge_mark(ax, x, y, theme)
    lost = points[points["outcome"] == Outcome.DIVERGED]
    divergence_marks(ax, list(lost[axis]), list(lost["loss"]), theme)


def _has_diverged(data: SearchResults) -> bool:
    return bool((data.points["outcome"] == Outcome.DIVERGED).any())


def _has_pruned(data: SearchResults) -> bool:
    return bool((data.points["outcome"] == Outcome.PRUNED).any())


def _chosen(row: VariantSearch, means: pd.DataFrame) -> pd.DataFrame:
    """The mean of the chosen trial."""
    return means[means["trial"] == (row.choice.trial if row.choice else -1)]
