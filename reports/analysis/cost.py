"""What each variant costs beside what it reaches, and which none beats at its cost."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from reports.analysis.comparison import Comparison, VariantRow, compare
from reports.analysis.spending import run_costs
from reports.analysis.statistics import Summary, summarize, t_quantile
from reports.figures.cost_panels import CostPanels
from reports.figures.line_panels import panel_notes
from reports.figures.style import layout_of
from reports.results.frame import StudyResults
from studies.budgets import tokens_per_step
from studies.metrics import (
    EARLY_LOSS,
    FINAL_LOSS,
    FLOPS_PER_TOKEN,
    TOKENS_PER_S,
    TRAINING_TIME_S,
)
from studies.plan import Cell
from studies.records import Outcome

ALIKE = 0.01
"""Relative difference in cost below which variants cost the same, and a figure says nothing."""
MEASURES: Mapping[str, str] = {"flops": "training FLOPs", "hours": "time of training steps"}
"""What costs are counted in, to how an axis calls it."""


@dataclass(frozen=True)
class CostRow:
    """One variant: what it costs, and its losses."""

    row: VariantRow
    flops_per_token: float
    steps_per_s: float
    """Median over completed runs."""
    early: Summary
    """Early loss over completed runs."""
    runs: tuple[str, ...]
    """Keys of its compared runs."""


@dataclass(frozen=True)
class CostComparison:
    """The rows in the order of the plan, and the figures of those costs that differ."""

    comparison: Comparison
    rows: tuple[CostRow, ...]
    early_at: str
    """Where the early loss is taken."""
    machines: int
    """Machines (host and device) that the compared runs ran on, as far as they told."""
    figures: dict[str, CostPanels]
    """Loss against what costs differ in, by measure."""


def collect(results: StudyResults) -> CostComparison:
    """Costs and losses of the compared runs."""
    comparison = compare(results)
    compared = results.compared
    rows = tuple(_row(compared, row) for row in comparison.rows)
    machines = _machines(compared)
    points = _points(compared)
    figures = {}
    for measure in MEASURES:
        if measure == "hours" and machines != 1:
            continue
        panels = _panels(compared, comparison, points, measure)
        if panels is not None:
            figures[measure] = panels
    return CostComparison(comparison, rows, _early_at(compared), machines, figures)


def _row(results: StudyResults, row: VariantRow) -> CostRow:
    cell = results.plan.cell(row.variant)
    speeds = results.values(TOKENS_PER_S, row.variant)
    runs = results.runs_of(row.variant)
    return CostRow(
        row=row,
        flops_per_token=flops_per_token(results, cell),
        steps_per_s=float(np.median(speeds)) / tokens_per_step(cell.configuration)
        if len(speeds)
        else math.nan,
        early=summarize(results.values(EARLY_LOSS, row.variant)),
        runs=tuple(runs["run_key"]),
    )


def flops_per_token(results: StudyResults, cell: Cell) -> float:
    """As a run counted it; as estimated in the plan where none has; NaN where neither is known."""
    counted = (
        r.summary[FLOPS_PER_TOKEN]
        for r in results.records_of(cell.variant)
        if FLOPS_PER_TOKEN in r.summary
    )
    value = next(counted, cell.flops_per_token)
    return math.nan if value is None else float(value)


def _machines(results: StudyResults) -> int:
    found = {
        (r.provenance.get("host"), r.facts.get("device"))
        for r in results.records.values()
        if r.outcome is Outcome.COMPLETED
    }
    return len(found)


def _early_at(results: StudyResults) -> str:
    """Where the early loss is taken: a step, or a share where steps differ or are not known."""
    training = [cell.configuration["training"] for cell in results.plan.cells]
    fractions = dict.fromkeys(f"{one['early_step_fraction']:.3g}" for one in training)
    steps = {max(1, round(one["early_step_fraction"] * one["max_steps"])) for one in training}
    if len(steps) == 1 and training[0].get("max_minutes") is None:
        return f"step {steps.pop()}"
    unit = "steps" if training[0].get("max_minutes") is None else "minutes"
    return f"{' or '.join(fractions)} of the {unit} of a run"


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
            (row.variant, costs[row.variant], *_with_interval(row, comparison), row.ranked)
            for row in comparison.rows
            if row.variant in costs.index and row.loss.n
        ],
        columns=["variant", "x", "y", "half", "ranked"],
    )
    return CostPanels(
        measure=measure,
        y_label="final loss (nats/token)",
        points=known.rename(columns={measure: "x", "loss": "y"}),
        means=means,
        front=_front(means),
        layout=layout_of(results),
        notes=panel_notes(results),
    )


def _with_interval(row: VariantRow, comparison: Comparison) -> tuple[float, float]:
    half = t_quantile(row.loss.n, comparison.confidence) * row.loss.standard_error
    return row.loss.mean, half


def _front(means: pd.DataFrame) -> pd.DataFrame:
    """The ranked variants whose mean no cheaper or equally dear one goes below, by cost."""
    ranked = means[means["ranked"]].sort_values(["x", "y", "variant"], kind="stable")
    best = ranked["y"].cummin().shift(fill_value=math.inf)
    return ranked[ranked["y"] < best][["variant", "x", "y"]]
