"""Heat-maps of a quantity by layer and step, one panel per variant, one colour scale for all."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from reports.analysis.by_construction import fixed_notes, fixed_reasons, foregone
from reports.figures.cell_marks import hatch_boxes
from reports.figures.color_bars import add_color_bar
from reports.figures.color_scales import ColorScale, color_scale, fitting_kind, mean_of_runs
from reports.figures.drawing import MUTED, Theme, divergence_marks, hide_unused, plain
from reports.figures.style import Grid, grid_of
from reports.results.frame import StudyResults
from reports.words import with_unit
from studies.metrics import DIVERGED_AT_STEP
from studies.records import Outcome

MAX_STEPS = 120


@dataclass(frozen=True)
class LayerMaps:
    """The maps of all variants, and where their runs diverged."""

    family: str
    tap: str
    label: str
    means: pd.DataFrame
    """variant, label, tap, layer, step, mean (over the runs alive; geometric on a logarithmic
    scale), least and most (of these runs), runs, fixed (why it is so by construction, or empty)."""
    thinned: int
    """Of how many recorded steps one is drawn."""
    divergences: dict[str, tuple[float, ...]]
    """Steps at which runs of a variant diverged."""
    empty: dict[str, str]
    """What stands in place of the map of each variant that has none."""
    grid: Grid
    scale: ColorScale
    fixed: str
    """What is hatched and why, as sentences; may be empty."""
    runs: tuple[str, ...]
    """Keys of the runs that the means are over."""

    @property
    def foregone(self) -> str:
        """What all of it is if it shows nothing of training; else empty."""
        return foregone(self.means)

    @property
    def grey(self) -> bool:
        """Whether a layer of a variant has no number over some of the steps that are drawn."""
        whole = _extent(self.means)
        shown = [frame for _, frame in self.means.groupby("variant")]
        holes = (len(f) < f["step"].nunique() * f["layer"].nunique() for f in shown)
        shorter = (_extent(frame) != whole for frame in shown)
        return len(shown) < len(self.empty) or any(holes) or any(shorter)

    @property
    def step_limits(self) -> tuple[float, float]:
        """Ends of the axis of steps; runs that diverged beyond them are marked there."""
        edges = _step_edges(np.sort(self.means["step"].unique()).astype(float))
        return float(edges[0]), float(edges[-1])

    @property
    def beyond(self) -> bool:
        """Whether a run of a map diverged before the first look, or behind the last one."""
        low, high = self.step_limits
        drawn = set(self.means["variant"])
        return any(not low <= step <= high for v in drawn for step in self.divergences[v])


def _extent(means: pd.DataFrame) -> tuple[float, ...]:
    """First and last step and layer."""
    return tuple(
        float(end) for name in ("step", "layer") for end in means[name].agg(["min", "max"])
    )


def collect_layer_maps(results: StudyResults, family: str, tap: str) -> LayerMaps | None:
    """Means over seeds by variant, layer and step; None where no run recorded such numbers."""
    curves = results.layer_curves(family)
    curves = curves[curves["tap"] == tap]
    if curves.empty:
        return None
    # What compares with the start is 0 there, in every layer: nothing to see.
    moved = curves["value"].ne(0).groupby(curves["step"]).transform("any")
    curves = curves[moved] if moved.any() else curves
    steps = np.sort(curves["step"].unique())
    stride = math.ceil(len(steps) / MAX_STEPS)
    curves = curves[curves["step"].isin(steps[::-1][::stride])]
    definition = results.definition(family)
    kind = fitting_kind(definition.scale, curves["value"].to_numpy())
    means = mean_of_runs(kind, curves["value"], curves[["variant", "tap", "layer", "step"]])
    means.insert(1, "label", means["variant"].map(results.labels))
    layers = means[["variant", "tap", "layer"]].drop_duplicates()
    layers = layers.assign(fixed=fixed_notes(results, family, layers))
    return LayerMaps(
        family=family,
        tap=tap,
        label=with_unit(definition),
        means=means.merge(layers),
        thinned=stride,
        divergences=_divergences(results, curves),
        empty={v: _why_empty(results, v) for v in results.variants},
        grid=grid_of(results),
        scale=color_scale(kind, means["mean"].to_numpy()),
        fixed=fixed_reasons(results, family, layers),
        runs=tuple(curves["run_key"].unique()),
    )


def _divergences(results: StudyResults, curves: pd.DataFrame) -> dict[str, tuple[float, ...]]:
    last = curves.groupby("run_key")["step"].max()
    found: dict[str, tuple[float, ...]] = dict.fromkeys(results.variants, ())
    diverged = results.runs[results.runs["outcome"] == Outcome.DIVERGED]
    for run in diverged.to_dict("records"):
        step = run.get(DIVERGED_AT_STEP, math.nan)
        step = float(last.get(run["run_key"], 0)) if pd.isna(step) else float(step)
        found[run["variant"]] += (step,)
    return found


def _why_empty(results: StudyResults, variant: str) -> str:
    counts = results.outcomes(variant)
    if counts[Outcome.COMPLETED]:
        return "not recorded"
    return ", ".join(f"{n} {o.value}" for o, n in counts.items() if n)


def draw_layer_maps(data: LayerMaps, theme: Theme) -> Figure:
    """Draw the grid of maps with one colour bar."""
    grid = data.grid
    row_height = theme.width_in / grid.columns * (0.72 if grid.columns > 2 else 0.45)
    height = (row_height + 0.004 * theme.font_size_pt) * len(grid.rows)
    height += 0.09 * theme.font_size_pt
    figure = Figure(figsize=(theme.width_in, height), layout="constrained")
    # Each has the limits of all: axes that share them ask all others at every turn.
    axes = [list(row) for row in figure.subplots(len(grid.rows), grid.columns, squeeze=False)]
    frames = dict(iter(data.means.groupby("variant")))
    for place, variants in enumerate(grid.rows):
        for ax, variant in zip(axes[place], variants, strict=False):
            _draw_map(ax, data, variant, frames.get(variant), theme)
            if place == 0 or not grid.row_titles[place]:
                size = theme.font_size_pt * 0.92
                ax.set_title(plain(grid.titles[variant]), fontsize=size, linespacing=1.0, pad=size)
        axes[place][0].set_ylabel(plain(grid.row_titles[place]))
        for ax in axes[place][1:]:
            ax.yaxis.set_visible(False)  # ticks that nobody sees take most of the time
    for row in axes[:-1]:
        for ax in row:
            ax.tick_params(axis="x", labelbottom=False)
    _set_limits([ax for row in axes for ax in row], data)
    hide_unused(axes, sum(map(len, grid.rows)))
    figure.supxlabel("step", fontsize=theme.font_size_pt)
    whose = "block" if data.tap == "block" else "layer"
    figure.supylabel(f"{whose} index", fontsize=theme.font_size_pt)
    add_color_bar(figure, [ax for line in axes for ax in line], data.scale, data.label)
    return figure


def _set_limits(axes: list[Axes], data: LayerMaps) -> None:
    """All steps and layers, for each of the axes."""
    steps = np.sort(data.means["step"].unique()).astype(float)
    low, high = data.means["layer"].min() - 0.5, data.means["layer"].max() + 0.5
    for ax in axes:
        ax.set_xlim(*data.step_limits)
        ax.set_ylim(low, high)
        if len(steps) == 1:
            ax.set_xticks(steps)


def _draw_map(
    ax: Axes, data: LayerMaps, variant: str, frame: pd.DataFrame | None, theme: Theme
) -> None:
    ax.spines[:].set_linewidth(0.4)
    ax.xaxis.set_major_locator(MaxNLocator(2, integer=True, steps=[1, 2, 5, 10]))
    ax.yaxis.set_major_locator(MaxNLocator(4, integer=True))
    ax.patch.set(facecolor=MUTED, alpha=0.15)  # seen where there is no map
    if frame is None:
        ax.text(
            0.5, 0.5, data.empty[variant].replace(", ", "\n"), transform=ax.transAxes,
            ha="center", va="center", fontsize=theme.font_size_pt * 0.8,
        )  # fmt: skip
        return
    table = frame.pivot(index="layer", columns="step", values="mean")
    values = table.to_numpy(float)
    steps = _step_edges(table.columns.to_numpy(float))
    data.scale.mesh(ax, steps, _edges(table.index.to_numpy(float)), values)
    fixed = frame[frame["fixed"] != ""]["layer"].unique()
    boxes = np.array([[steps[0], layer - 0.5, steps[-1], layer + 0.5] for layer in fixed])
    light = data.scale.light(values).mean(1) > 0.5
    hatch_boxes(ax, boxes, light[table.index.get_indexer(pd.Index(fixed))])
    ends = np.clip(data.divergences[variant], *data.step_limits).tolist()
    divergence_marks(ax, ends, [float(table.index.max()) + 0.5] * len(ends), theme)


def _step_edges(steps: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Borders of the looks at ascending steps; none lies behind the last step."""
    edges = _edges(steps)
    return edges if len(steps) == 1 else np.minimum(edges, steps[-1])


def _edges(centers: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Borders half-way between centres. (n,) -> (n + 1,)."""
    if len(centers) == 1:
        return np.array([centers[0] - 0.5, centers[0] + 0.5])
    middles = (centers[1:] + centers[:-1]) / 2
    return np.concatenate([[2 * centers[0] - middles[0]], middles, [2 * centers[-1] - middles[-1]]])
