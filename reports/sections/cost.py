"""What each variant costs and reaches: the table of Narang et al. 2021, and loss against cost."""

from __future__ import annotations

import math
from functools import partial

import numpy as np
import pandas as pd

from reports.analysis.comparison import VariantRow
from reports.analysis.loss_by_cost import MEASURES, CostComparison, collect
from reports.exhibits import Cell, Column, Exhibits, Figure, Row, Table
from reports.figures.cost_panels import CostPanels, draw_costs
from reports.references import mark
from reports.sections.base import Section
from reports.sections.contrast_cells import SD_IN_BRACKETS
from reports.sections.main_table.cells import marked_label, summary_cell
from reports.words import (
    ABSENT,
    EDGE_MARK,
    any_of,
    counts_caption,
    decimals_for,
    grouped,
    headed,
    outcome_text,
    percent,
    si_text,
)
from studies.methods import STATISTICS
from studies.records import Leak, Outcome


def render(data: CostComparison) -> Exhibits:
    """The table, and a figure for each measure in which costs differ."""
    figures = tuple(_figure(data, panels) for panels in data.figures.values())
    early = any(row.early.n for row in data.comparison.rows)
    return Exhibits(
        sentences=tuple(_sentences(data)),
        tables=(_table(data),),
        figures=figures,
        methods=("early-loss",) if early else (),
    )


def _sentences(data: CostComparison) -> list[str]:
    found = []
    machines = data.comparison.machines
    if machines > 1:
        found.append(
            f"Completed runs ran on {machines} machines: their steps/s and hours do not "
            "compare, and no figure shows loss against hours."
        )
    for measure, panels in data.figures.items():
        by_variant = {row.variant: row.label for row in data.comparison.rows}
        labels = [by_variant[variant] for variant in panels.front["variant"]]
        if labels:
            found.append(
                f"By means alone, no ranked variant is lower at the same or less cost in "
                f"{MEASURES[measure]} than {any_of(labels, 'or')}; the main table tells whether "
                "differences are detected."
            )
    return found


def _table(data: CostComparison) -> Table:
    rows = data.comparison.rows
    spreads = [s.sd for row in rows for s in (row.loss, row.early) if math.isfinite(s.sd)]
    decimals = decimals_for(float(np.median(spreads)) if spreads else math.nan)
    digits = len(str(round(max(spreads, default=0.0) * 10**decimals)))
    loss = f"S[table-format=1.{decimals}({digits})]"
    spread = ", SD" if spreads else ""
    early = f"validation loss {data.comparison.early}, nats/token: mean over completed runs{spread}"
    final = f"validation loss at the last step, nats/token: mean{spread}"
    columns = (
        Column("Variant", "levels of the factors"),
        Column("Params", "trainable, shared ones once", True, "r"),
        Column("Ops", "FLOPs of a token, forward and backward", True, "r"),
        Column("Step/s", "training steps per second, median over completed runs", True, "r"),
        Column("Early loss", early, True, loss),
        Column("Final loss", final, True, loss),
        Column("Completed", "of compared runs", False, "l"),
    )
    return Table(
        name="cost",
        caption=_caption(data),
        columns=columns,
        rows=tuple(
            Row(_cells(row, decimals), gap=row.starts_group, runs=data.runs[row.variant])
            for row in rows
        ),
        data=pd.DataFrame([_numbers(row) for row in rows]),
    )


def _caption(data: CostComparison) -> str:
    comparison = data.comparison
    several = any(row.loss.n > 1 or row.early.n > 1 for row in comparison.rows)
    spread = f" with the SD over seeds{SD_IN_BRACKETS}" if several else ""
    early = f"Early loss: {comparison.early}. " if comparison.early else ""
    parts = [
        "Cost and loss of each variant, in the columns of an earlier comparison"
        f"{mark(STATISTICS['early-loss'].cite)}. Ops: FLOPs per token, forward and backward. "
        f"{early}Losses: mean over completed runs{spread}, nats/token, lower is better."
    ]
    if any(row.strong for row in comparison.rows):
        parts.append("Bold as in the main table.")
    if any(row.chosen and row.chosen.edges for row in comparison.rows):
        parts.append(f"{EDGE_MARK} At the edge of what was tried: the best may lie beyond.")
    if any(_lost(row) for row in comparison.rows):
        parts.append("A mean over survivors is not ranked.")
    if any(row.leak is Leak.IN_TRAINING for row in comparison.rows):
        parts.append("† later tokens leak into earlier ones in training.")
    if any(row.leak is Leak.LEAKY for row in comparison.rows):
        parts.append("‡ later tokens leak into the evaluation: not ranked.")
    if comparison.evaluation_sets > 1:
        parts.append("Losses were measured on different data and do not compare.")
    if comparison.budgets:
        parts.append(comparison.budgets)
    return " ".join([*parts, _counts(data)])


def _counts(data: CostComparison) -> str:
    return counts_caption(data.comparison.outcomes, searching=data.comparison.searching)


def _lost(row: VariantRow) -> bool:
    lost = (Outcome.DIVERGED, Outcome.FAILED, Outcome.PRUNED)
    return bool(row.loss.n) and any(row.outcomes[outcome] for outcome in lost)


def _cells(row: VariantRow, decimals: int) -> tuple[Cell, ...]:
    cost = row.cost
    steps = cost.steps_per_s
    return (
        Cell(marked_label(row), order=row.label, swatch=row.color,
             strong=row.strong),
        Cell(grouped(cost.parameters), order=cost.parameters),
        Cell(si_text(cost.flops_per_token), order=cost.flops_per_token),
        Cell(f"{steps:.3g}" if math.isfinite(steps) else ABSENT, order=steps),
        summary_cell(row.early, decimals),
        summary_cell(row.loss, decimals, strong=row.strong),
        Cell(outcome_text(row.outcomes), order=row.loss.n),
    )  # fmt: skip


def _numbers(row: VariantRow) -> dict[str, object]:
    return {
        "variant": row.variant,
        "label": row.label,
        "parameters": row.cost.parameters,
        "flops_per_token": row.cost.flops_per_token,
        "steps_per_s_median": row.cost.steps_per_s,
        "early_n": row.early.n,
        "early_loss_mean": row.early.mean,
        "early_loss_sd": row.early.sd,
        "n": row.loss.n,
        "final_loss_mean": row.loss.mean,
        "final_loss_sd": row.loss.sd,
        "ranked": row.ranked,
        "bold": row.strong,
        **{outcome.value: row.outcomes[outcome] for outcome in Outcome},
    }


def _figure(data: CostComparison, panels: CostPanels) -> Figure:
    level = percent(data.comparison.confidence)
    parts = [
        f"Final loss against {MEASURES[panels.measure]}. Faint: each completed run. Marks: mean"
        + (
            f", with the {level} t interval of the mean where there are two seeds or more, not "
            "paired."
            if any(row.loss.n > 1 for row in data.comparison.rows)
            else "."
        ),
    ]
    if panels.cut:
        parts.append("Some intervals run off the axis.")
    if not panels.means["ranked"].all():
        parts.append("Hollow: not ranked.")
    if not panels.front.empty:
        parts.append(
            "Dotted steps: the lowest mean of ranked variants of all panels at the cost or less, "
            "over the seeds that all of them have."
        )
    if data.comparison.evaluation_sets > 1:
        parts.append("Losses were measured on different data and do not compare.")
    front = set(panels.front["variant"])
    table = panels.points.rename(columns={"x": panels.measure, "y": "final_loss"})
    table = table.assign(on_front=table["variant"].isin(front))
    kept = ["variant", "label", "seed", panels.measure, "final_loss", "on_front"]
    return Figure(
        f"loss_by_{panels.measure}",
        headed(" ".join([*parts, _counts(data)])),
        table[kept],
        partial(draw_costs, panels),
        runs=tuple(panels.points["run_key"]),
    )


SECTION = Section("Cost", collect, render, absent="", whole=True)
