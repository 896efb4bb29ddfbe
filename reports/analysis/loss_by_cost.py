"""What each variant costs beside what it reaches, and which none beats at its cost."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import pandas as pd

from reports.analysis.comparison import Comparison, VariantRow, compare
from reports.analysis.spending import run_costs
from reports.analysis.statistics import t_quantile
from reports.figures.cost_panels import CostPanels
from reports.figures.line_panels import panel_notes
from reports.figures.style import layout_of
from reports.results.frame import StudyResults
from studies.metrics import FINAL_LOSS, TRAINING_TIME_S
from studies.records import Outcome

ALIKE = 0.01
"""Relative difference in cost below which variants cost the same, and a figure says nothing."""
BRIEF_S = 60.0
"""Length of a run below which its time says more of the machine than of the variant."""
MEASURES: Mapping[str, str] = {"flops": "training FLOPs", "hours": "time of training steps"}
"""What costs are counted in, to how an axis calls it."""


@dataclass(frozen=True)
class CostComparison:
    """The rows of the main table, and the figures of those costs that differ."""

    comparison: Comparison
    runs: dict[str, tuple[str, ...]]
    """Variant to the keys of its compared runs."""
    figures: dict[str, CostPanels]
    """Loss against what costs differ in, by measure."""
    shortest_s: float
    """Training steps of the shortest completed run; NaN where no time is known."""

    @property
    def is_brief(self) -> bool:
        """Whether runs are too short to rank variants by time."""
        return self.shortest_s < BRIEF_S


def collect(results: StudyResults) -> CostComparison:
    """Costs and losses of the compared runs."""
    comparison = compare(results)
    compared = results.compared
    points = _points(compared)
    shortest_s = float(points["hours"].min()) * 3600
    figures = {}
    for measure in MEASURES:
        if measure == "hours" and comparison.machines != 1:
            continue
        panels = _panels(compared, comparison, points, measure)
        if panels is not None:
            brief = measure == "hours" and shortest_s < BRIEF_S
            figures[measure] = replace(panels, front=panels.front[:0]) if brief else panels
    runs = {variant: tuple(compared.runs_of(variant)["run_key"]) for variant in compared.variants}
    return CostComparison(comparison, runs, figures, shortest_s)


def _points(results: StudyResults) -> pd.DataFrame:
    """One row per completed run: variant, label, run_key, seed, loss, flops, hours."""
    flops = {cost.run_key: cost.flops for cost in run_costs(results)}
    rows = []
    for run in results.runs.to_dict("records"):
        if run["outcome"] != Outcome.COMPLETED or FINAL_LOSS not in run:
            continue
        hours = float(run.get(TRAINING_TIME_S, math.nan)) / 3600
        rows.append(
            (run["variant"], results.labels[run["variant"]], run["run_key"], run["seed"],
             float(run[FINAL_LOSS]), flops[run["run_key"]], hours)
        )  # fmt: skip
    columns = ["variant", "label", "run_key", "seed", "loss", "flops", "hours"]
    return pd.DataFrame(rows, columns=columns)


def _panels(
    results: StudyResults, comparison: Comparison, points: pd.DataFrame, measure: str
) -> CostPanels | None:
    """The figure of a measure; None where variants cost the same in it, or nobody knows."""
    known = points.dropna(subset=["loss", measure])
    costs = known.groupby("variant")[measure].mean()
    if len(costs) < 2 or costs.max() <= costs.min() * (1 + ALIKE):
        return None
    means = pd.DataFrame(
        [
            (
                row.variant,
                costs[row.variant],
                *_with_interval(row, comparison),
                row.ranked,
                row.variant in results.plan.at_edge,
            )
            for row in comparison.rows
            if row.variant in costs.index and row.loss.n
        ],
        columns=["variant", "x", "y", "half", "ranked", "at_edge"],
    )
    return CostPanels(
        measure=measure,
        y_label="final loss (nats/token)",
        points=known.rename(columns={measure: "x", "loss": "y"}),
        means=means,
        front=_front(means, _common(results, means)),
        layout=layout_of(results),
        notes=panel_notes(results),
    )


def _with_interval(row: VariantRow, comparison: Comparison) -> tuple[float, float]:
    half = t_quantile(row.loss.n, comparison.confidence) * row.loss.standard_error
    return row.loss.mean, half


def _common(results: StudyResults, means: pd.DataFrame) -> pd.Series[float]:
    """Mean loss of the ranked variants over the seeds that all of them have, by variant."""
    ranked = means["variant"][means["ranked"]]
    return pd.DataFrame({v: results.values(FINAL_LOSS, v) for v in ranked}).dropna().mean()


def _front(means: pd.DataFrame, common: pd.Series[float]) -> pd.DataFrame:
    """The ranked variants whose mean no cheaper or equally dear one goes below, by cost."""
    ranked = means[means["ranked"]]
    ranked = ranked.assign(y=ranked["variant"].map(common)).dropna(subset="y")
    ranked = ranked.sort_values(["x", "y", "variant"], kind="stable")
    best = ranked["y"].cummin().shift(fill_value=math.inf)
    return ranked[ranked["y"] < best][["variant", "x", "y"]]
