"""What each variant costs and reaches: the table of Narang et al. 2021, and loss against cost."""

from __future__ import annotations

import math
from functools import partial

import numpy as np
import pandas as pd

from reports.analysis.cost import MEASURES, CostComparison, CostRow, collect
from reports.analysis.statistics import Summary
from reports.exhibits import Cell, Column, Exhibits, Figure, Row, Table
from reports.figures.cost_panels import CostPanels, draw_costs
from reports.sections.base import Section
from reports.words import (
    ABSENT,
    LEAK_MARKS,
    any_of,
    counts_caption,
    decimals_for,
    grouped,
    headed,
    number,
    outcome_text,
    si_text,
)
from studies.records import Leak, Outcome


def render(data: CostComparison) -> Exhibits:
    """The table, and a figure for each measure in which costs differ."""
    figures = tuple(_figure(data, panels) for panels in data.figures.values())
    early = any(row.early.n for row in data.rows)
    return Exhibits(
        sentences=tuple(_sentences(data)),
        tables=(_table(data),),
        figures=figures,
        methods=("early-loss",) if early else (),
    )


def _sentences(data: CostComparison) -> list[str]:
    found = []
    if data.machines > 1:
        found.append(
            f"Completed runs ran on {data.machines} machines: their steps/s and hours do not "
            "compare, and no figure shows loss against hours."
        )
    for measure, panels in data.figures.items():
        labels = [row.row.label for v in panels.front["variant"]
                  for row in data.rows if row.row.variant == v]  # fmt: skip
        if labels:
            found.append(
                f"By means alone, no ranked variant is lower at the same or less cost in "
                f"{MEASURES[measure]} than {any_of(labels, 'or')}; the main table tells whether "
                "differences are detected."
            )
    return found


def _table(data: CostComparison) -> Table:
    spreads = [s.sd for row in data.rows for s in (row.row.loss, row.early)
               if math.isfinite(s.sd)]  # fmt: skip
    decimals = decimals_for(float(np.median(spreads)) if spreads else math.nan)
    digits = len(str(round(max(spreads, default=0.0) * 10**decimals)))
    loss = f"S[table-format=1.{decimals}({digits})]"
    columns = (
        Column("Variant", "levels of the factors"),
        Column("Params", "trainable, shared ones once", True, "r"),
        Column("Ops", "FLOPs of a token, forward and backward", True, "r"),
        Column("Step/s", "training steps per second, median over completed runs", True, "r"),
        Column(
            "Early loss",
            f"validation loss at {data.early_at}, nats/token: mean over completed runs, SD",
            True,
            loss,
        ),
        Column("Final loss", "validation loss at the last step, nats/token: mean, SD", True, loss),
        Column("Completed", "of compared runs", False, "l"),
    )
    return Table(
        name="cost",
        caption=_caption(data),
        columns=columns,
        rows=tuple(
            Row(_cells(row, decimals), gap=row.row.starts_group, runs=row.runs) for row in data.rows
        ),
        data=pd.DataFrame([_numbers(row) for row in data.rows]),
    )


def _caption(data: CostComparison) -> str:
    comparison = data.comparison
    parts = [
        "Cost and loss of each variant, in the columns of Narang et al. 2021. Ops: FLOPs per "
        f"token, forward and backward. Early loss: at {data.early_at}. Losses: mean over "
        "completed runs with the SD over seeds, nats/token, lower is better."
    ]
    if any(row.row.strong for row in data.rows):
        parts.append("Bold as in the main table.")
    if any(_lost(row) for row in data.rows):
        parts.append("A mean over survivors is not ranked.")
    if any(row.row.leak is Leak.IN_TRAINING for row in data.rows):
        parts.append("† later tokens leak into earlier ones in training.")
    if any(row.row.leak is Leak.LEAKY for row in data.rows):
        parts.append("‡ later tokens leak into the evaluation: not ranked.")
    if comparison.evaluation_sets > 1:
        parts.append("Losses were measured on different data and do not compare.")
    if comparison.budgets:
        parts.append(comparison.budgets)
    return " ".join([*parts, _counts(data)])


def _counts(data: CostComparison) -> str:
    return counts_caption(data.comparison.outcomes, searching=data.comparison.searching)


def _lost(row: CostRow) -> bool:
    lost = (Outcome.DIVERGED, Outcome.FAILED, Outcome.PRUNED)
    return bool(row.row.loss.n) and any(row.row.outcomes[outcome] for outcome in lost)


def _cells(cost: CostRow, decimals: int) -> tuple[Cell, ...]:
    row = cost.row
    steps = cost.steps_per_s
    return (
        Cell(row.label + LEAK_MARKS[row.leak], order=row.label, swatch=row.color,
             strong=row.strong),
        Cell(grouped(row.cost.parameters), order=row.cost.parameters),
        Cell(si_text(cost.flops_per_token), order=cost.flops_per_token),
        Cell(f"{steps:.3g}" if math.isfinite(steps) else ABSENT, order=steps),
        _loss_cell(cost.early, decimals),
        _loss_cell(row.loss, decimals, strong=row.strong),
        Cell(outcome_text(row.outcomes), order=row.loss.n),
    )  # fmt: skip


def _loss_cell(loss: Summary, decimals: int, *, strong: bool = False) -> Cell:
    sd = f"({round(loss.sd * 10**decimals)})" if math.isfinite(loss.sd) else ""
    return Cell(
        number(loss.mean, decimals),
        order=loss.mean,
        tex=f"{loss.mean:.{decimals}f}{sd}" if loss.n else None,
        detail=f"SD {number(loss.sd, decimals)}" if loss.n > 1 else "",
        strong=strong,
    )


def _numbers(cost: CostRow) -> dict[str, object]:
    row = cost.row
    return {
        "variant": row.variant,
        "label": row.label,
        "parameters": row.cost.parameters,
        "flops_per_token": cost.flops_per_token,
        "steps_per_s_median": cost.steps_per_s,
        "early_n": cost.early.n,
        "early_loss_mean": cost.early.mean,
        "early_loss_sd": cost.early.sd,
        "n": row.loss.n,
        "final_loss_mean": row.loss.mean,
        "final_loss_sd": row.loss.sd,
        "ranked": row.ranked,
        "bold": row.strong,
        **{outcome.value: row.outcomes[outcome] for outcome in Outcome},
    }


def _figure(data: CostComparison, panels: CostPanels) -> Figure:
    level = f"{data.comparison.confidence:.0%}"
    parts = [
        f"Final loss against {MEASURES[panels.measure]}. Faint: each completed run. Marks: mean, "
        f"with the {level} t interval of the mean where there are two seeds or more, not paired.",
    ]
    if panels.cut:
        parts.append("Some intervals run off the axis.")
    if not panels.means["ranked"].all():
        parts.append("Hollow: not ranked.")
    if not panels.front.empty:
        parts.append(
            "Dotted steps: the lowest mean of ranked variants of all panels at the cost or less."
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
