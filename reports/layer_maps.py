"""Heat-maps of a quantity by layer and step, one panel per variant, one colour scale for all."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from reports.drawing import (
    MUTED,
    Theme,
    divergence_marks,
    hide_unused,
    panel_axes,
    plain,
    power_of_ten,
)
from reports.frame import StudyResults
from reports.style import Grid, grid_of
from studies.metrics import DIVERGED_AT_STEP
from studies.records import Outcome

MAX_STEPS = 120


@dataclass(frozen=True)
class LayerMaps:
    """The maps of all variants, and where their runs diverged."""

    label: str
    layer_label: str
    means: pd.DataFrame
    """variant, label, layer, step, geometric_mean (over the runs alive), runs."""
    divergences: dict[str, tuple[float, ...]]
    """Steps at which runs of a variant diverged."""
    unfinished: dict[str, str]
    """Why a variant has no map."""
    grid: Grid
    limits: tuple[float, float]
    """Colour limits in log10, shared by all panels."""


def collect_layer_maps(
    results: StudyResults, family: str, tap: str, *, label: str, layer_label: str
) -> LayerMaps | None:
    """Geometric means over seeds by variant, layer and step; None where nothing was recorded."""
    curves = results.layer_curves(family, tap)
    curves = curves[curves["value"] > 0]  # drift to the start is 0 at the start
    if curves.empty:
        return None
    steps = np.sort(curves["step"].unique())
    curves = curves[curves["step"].isin(steps[::-1][:: math.ceil(len(steps) / MAX_STEPS)])]
    curves = curves.assign(logarithm=np.log10(curves["value"]))
    means = (
        curves.groupby(["variant", "layer", "step"])["logarithm"].agg(["mean", "count"])
    ).reset_index()
    low, high = (float(q) for q in np.quantile(means["mean"], [0.005, 0.995]))
    diverged = results.runs[results.runs["outcome"] == Outcome.DIVERGED]
    last = curves.groupby("run_key")["step"].max()
    divergences: dict[str, tuple[float, ...]] = dict.fromkeys(results.variants, ())
    for run in diverged.to_dict("records"):
        step = run.get(DIVERGED_AT_STEP, math.nan)
        step = float(last.get(run["run_key"], 0)) if pd.isna(step) else float(step)
        divergences[run["variant"]] += (step,)
    return LayerMaps(
        label=label,
        layer_label=layer_label,
        means=pd.DataFrame(
            {
                "variant": means["variant"],
                "label": means["variant"].map(results.labels),
                "layer": means["layer"],
                "step": means["step"],
                "geometric_mean": 10 ** means["mean"],
                "runs": means["count"],
            }
        ),
        divergences=divergences,
        unfinished={v: _why_empty(results, v) for v in results.variants},
        grid=grid_of(results),
        limits=(low, high) if high > low else (low - 0.5, high + 0.5),
    )


def _why_empty(results: StudyResults, variant: str) -> str:
    counts = results.outcomes(variant)
    return ", ".join(f"{n} {o.value}" for o, n in counts.items() if n) or "no run"


def draw_layer_maps(data: LayerMaps, theme: Theme) -> Figure:
    """Draw the grid of maps with one colour bar."""
    grid = data.grid
    row_height = theme.width_in / grid.columns * (0.72 if grid.columns > 2 else 0.45)
    height = (row_height + 0.004 * theme.font_size_pt) * len(grid.rows)
    height += 0.09 * theme.font_size_pt
    mesh: QuadMesh | None = None
    figure, axes = panel_axes(theme, len(grid.rows), grid.columns, height)
    for row, variants in enumerate(grid.rows):
        for ax, variant in zip(axes[row], variants, strict=False):
            mesh = _draw_map(ax, data, variant, theme) or mesh
            if row == 0 or not grid.row_titles[row]:
                ax.set_title(plain(grid.titles[variant]), fontsize=theme.font_size_pt * 0.92)
        axes[row][0].set_ylabel(plain(grid.row_titles[row]))
    hide_unused(axes, sum(map(len, grid.rows)))
    figure.supxlabel("step", fontsize=theme.font_size_pt)
    figure.supylabel(data.layer_label, fontsize=theme.font_size_pt)
    if mesh is not None:
        bar = figure.colorbar(
            mesh, ax=[ax for line in axes for ax in line], pad=0.01, aspect=40, extend="both",
            format=FuncFormatter(lambda v, _: power_of_ten(v)),
        )  # fmt: skip
        bar.locator = MaxNLocator(integer=data.limits[1] - data.limits[0] > 1.5, nbins=6)
        bar.set_label(data.label)
        bar.outline.set_linewidth(0.4)
    return figure


def _draw_map(ax: Axes, data: LayerMaps, variant: str, theme: Theme) -> QuadMesh | None:
    frame = data.means[data.means["variant"] == variant]
    ax.spines[:].set_linewidth(0.4)
    ax.xaxis.set_major_locator(MaxNLocator(2, integer=True, steps=[1, 2, 5, 10]))
    ax.yaxis.set_major_locator(MaxNLocator(4, integer=True))
    ax.patch.set(hatch="///", edgecolor=MUTED, alpha=0.4)  # seen where there is no map
    if frame.empty:
        ax.text(
            0.5, 0.5, data.unfinished[variant].replace(", ", "\n"), transform=ax.transAxes,
            ha="center", va="center", fontsize=theme.font_size_pt * 0.8,
        )  # fmt: skip
        return None
    table = frame.pivot(index="layer", columns="step", values="geometric_mean")
    mesh = ax.pcolormesh(
        _edges(table.columns.to_numpy(float)), _edges(table.index.to_numpy(float)),
        np.log10(table.to_numpy(float)), cmap="cividis", rasterized=True,
        vmin=data.limits[0], vmax=data.limits[1],
    )  # fmt: skip
    steps = data.divergences[variant]
    divergence_marks(ax, steps, [float(table.index.max()) + 0.5] * len(steps), theme)
    return mesh


def _edges(centers: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Borders half-way between centres. (n,) -> (n + 1,)."""
    if len(centers) == 1:
        return np.array([centers[0] - 0.5, centers[0] + 0.5])
    middles = (centers[1:] + centers[:-1]) / 2
    return np.concatenate([[2 * centers[0] - middles[0]], middles, [2 * centers[-1] - middles[-1]]])
