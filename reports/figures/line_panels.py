"""Lines of all variants in panels: thin for each run, thick for the mean."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from reports.figures.drawing import MUTED, Theme, divergence_marks, seed_lines
from reports.figures.panel_grid import PanelGrid
from reports.figures.style import Layout, layout_of
from reports.results.frame import StudyResults
from reports.words import with_unit
from studies.metrics import DIVERGED_AT_STEP
from studies.records import Outcome

MAX_POINTS = 300
"""Points per curve; more of them only make files larger."""
MOST_VECTOR_POINTS = 50_000
"""Points of thin lines, from which on they are an image in a figure whose rest is vectors.

Every run is drawn all the same. 28 cells of 5 runs stay below; as vectors the lines of 10,000 runs
are 25 MB in each file.
"""


@dataclass(frozen=True)
class LinePanels:
    """Everything that one figure of lines shows."""

    metric: str
    y_label: str
    lines: pd.DataFrame
    """One row per point: variant, label, run_key, seed, outcome, x, y."""
    means: pd.DataFrame
    """Mean over completed runs, at each x that all of them have: variant, x, y, n."""
    crosses: pd.DataFrame
    """Where runs diverged: variant, x, y."""
    layout: Layout
    notes: dict[str, str]
    """What did not complete in the panel of this title."""
    uncommon: bool
    """Whether a step of some completed run is not one of all runs of its variant."""
    thinned: int
    """Of how many recorded points one is drawn."""
    y_limits: tuple[float, float] | None = None
    x_label: str = "step"

    @property
    def runs(self) -> tuple[str, ...]:
        """Keys of the runs that have lines."""
        return tuple(self.lines["run_key"].unique())


def collect_lines(results: StudyResults, metric: str) -> LinePanels | None:
    """Curves against steps, means and divergences of a metric; None where no run recorded it."""
    curves = results.curves(metric)
    if curves.empty:
        return None
    steps = np.sort(curves["step"].unique())
    stride = math.ceil(len(steps) / MAX_POINTS)
    # Counted from the end, so that the last step is kept.
    curves = curves[curves["step"].isin(steps[::-1][::stride])]
    lines = curves.rename(columns={"step": "x", "value": "y"})
    lines = lines.assign(label=lines["variant"].map(results.labels))
    lines = lines.sort_values(["run_key", "x"], kind="stable")
    means = _means_of(lines)
    drawn = lines.loc[lines["outcome"] == Outcome.COMPLETED, ["variant", "x"]].drop_duplicates()
    return LinePanels(
        metric=metric,
        y_label=with_unit(results.definition(metric)),
        lines=lines,
        means=means.sort_values(["variant", "x"], kind="stable"),
        uncommon=len(means) < len(drawn),
        crosses=_divergences(results, lines),
        layout=_layout(results, set(lines["variant"].unique())),
        notes=panel_notes(results),
        thinned=stride,
    )


def _layout(results: StudyResults, recorded: set[str]) -> Layout:
    """The study's layout, without panels whose runs recorded much, but nothing of this."""
    layout = layout_of(results)
    runs = results.runs[results.runs["run_key"].isin(results.histories["run_key"].unique())]
    silent = set(runs["variant"]) - recorded
    shown = [p for p in layout.panels if recorded & {*p.variants} or not silent & {*p.variants}]
    return replace(layout, panels=tuple(shown))


def _divergences(results: StudyResults, lines: pd.DataFrame) -> pd.DataFrame:
    """A cross per diverged run, at the step of the divergence and the last value before it."""
    rows = []
    last = lines.drop_duplicates("run_key", keep="last").set_index("run_key")[["x", "y"]]
    ends = {str(key): (x, y) for key, x, y in last.itertuples()}
    for run in results.runs[results.runs["outcome"] == Outcome.DIVERGED].to_dict("records"):
        x, y = ends.get(run["run_key"], (0, math.nan))
        step = run.get(DIVERGED_AT_STEP, math.nan)
        rows.append((run["variant"], x if pd.isna(step) else step, y))
    return pd.DataFrame(rows, columns=["variant", "x", "y"])


def lines_caption(data: LinePanels) -> str:
    """What the lines and marks of the figure are."""
    return (
        "Thin: each run. Thick: mean over completed runs, not smoothed"
        + (", where all have a value." if data.uncommon else ".")
        + (" Crosses: where runs diverged." if len(data.crosses) else "")
        + (f" One in {data.thinned} recorded points is drawn." if data.thinned > 1 else "")
    )


def lines_table(data: LinePanels, name: str, *, x_name: str = "step") -> pd.DataFrame:
    """The points of all runs, for the figure's file."""
    table = data.lines[["variant", "label", "seed", "outcome", "x", "y"]]
    return table.rename(columns={"x": x_name, "y": name})


def panel_notes(results: StudyResults) -> dict[str, str]:
    """For each panel, its runs that did not complete: "3 diverged, 1 missing"."""
    notes = {}
    for panel in layout_of(results).panels:
        runs = results.runs[results.runs["variant"].isin(panel.variants)]
        counts = runs["outcome"].value_counts()
        notes[panel.title] = ", ".join(
            f"{counts[outcome.value]} {outcome.value}"
            for outcome in Outcome
            if outcome is not Outcome.COMPLETED and counts.get(outcome.value, 0)
        )
    return notes


def _means_of(lines: pd.DataFrame) -> pd.DataFrame:
    """Mean over the completed runs at each x that all of them have: variant, x, y, n.

    Runs of minutes end at different steps: a mean over some would jump where a run is missing.
    """
    lines = lines[lines["outcome"] == Outcome.COMPLETED]
    means = lines.groupby(["variant", "x"], sort=False)["y"].agg(["mean", "count"]).reset_index()
    means.columns = pd.Index(["variant", "x", "y", "n"])
    runs = lines.groupby("variant")["run_key"].nunique()
    return means[means["n"] == means["variant"].map(runs)]


def draw_lines(data: LinePanels, theme: Theme) -> Figure:
    """Draw the panels."""
    panels = data.layout.panels
    notes = [data.notes.get(panel.title, "") for panel in panels]
    grid = PanelGrid([panel.title for panel in panels], theme, notes=notes)
    for ax, panel in zip(grid.axes, panels, strict=True):
        _draw_panel(ax, data, panel.variants, theme)
    diverged = not data.crosses.empty
    return grid.labelled(data.x_label, data.y_label, data.layout, diverged=diverged)


def _draw_panel(ax: Axes, data: LinePanels, variants: tuple[str, ...], theme: Theme) -> None:
    # Below all means, so that they are one image.
    as_image = {"rasterized": True, "zorder": 1} if len(data.lines) > MOST_VECTOR_POINTS else {}
    for variant in variants:
        style = data.layout.styles[variant]
        seed_lines(
            ax, _curves(data.lines[data.lines["variant"] == variant]), colors=style.color,
            linewidths=theme.line_pt * 0.45, alpha=0.55, **as_image,
        )  # fmt: skip
        mean = data.means[data.means["variant"] == variant]
        ax.plot(
            mean["x"], mean["y"], color=style.color, linestyle=style.dash, marker=style.marker,
            markevery=max(1, len(mean) // 5),
            markersize=theme.font_size_pt * 0.38, linewidth=theme.line_pt,
        )  # fmt: skip
    if data.y_limits:
        ax.set_ylim(*data.y_limits)
    ax.grid(color=MUTED, alpha=0.25, linewidth=0.5)
    _draw_crosses(ax, data.crosses[data.crosses["variant"].isin(variants)], theme)


def _curves(lines: pd.DataFrame) -> list[npt.NDArray[np.float64]]:
    """Each run as (points, 2): x, y; the rows of a run stand together."""
    if lines.empty:
        return []
    starts = np.flatnonzero(lines["run_key"] != lines["run_key"].shift())
    return np.split(lines[["x", "y"]].to_numpy(float), starts[1:])


def _draw_crosses(ax: Axes, crosses: pd.DataFrame, theme: Theme) -> None:
    top = ax.get_ylim()[1]
    heights = [top if math.isnan(y) else min(y, top) for y in crosses["y"]]
    divergence_marks(ax, list(crosses["x"]), heights, theme)
