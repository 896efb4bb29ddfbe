"""What each variant costs and reaches: the table of Narang et al. 2021, and loss against cost."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import partial

import pandas as pd

from reports.analysis.comparison import VariantRow
from reports.analysis.loss_by_cost import BRIEF_S, MEASURES, CostComparison, collect
from reports.exhibits import Cell, Column, Exhibits, Figure, Row, Table
from reports.figures.cost_panels import CostPanels, draw_costs
from reports.references import mark
from reports.sections.base import Section
from reports.sections.contrast_cells import SD_IN_BRACKETS
from reports.sections.main_table.cells import (
    marked_label,
    speed_cell,
    speed_decimals,
    speed_text,
    summary_cell,
)
from reports.tex import escape
from reports.words import (
    EDGE_NOTE,
    OTHER_LOAD,
    any_of,
    counts_caption,
    decimals_of,
    grouped,
    headed,
    outcome_text,
    percent,
    si_text,
    spread_column,
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
    if "hours" in data.figures and data.is_brief:
        found.append(
            f"Variants are not ranked by time: the training steps of the shortest run took "
            f"{data.shortest_s:.2g} s, and times below {BRIEF_S:.0f} s may say more of the machine "
            "than of the variant."
        )
    for measure, panels in data.figures.items():
        by_variant = {row.variant: row.label for row in data.comparison.rows}
        labels = [by_variant[variant] for variant in panels.front["variant"]]
        if labels:
            found.append(
                f"By means alone, no ranked variant is lower at the same or less cost in "
                f"{MEASURES[measure]} than {any_of(labels, 'or')}; the main table tells whether "
                "differences are detected." + f" {OTHER_LOAD}" * (measure == "hours")
            )
    return found


def _table(data: CostComparison) -> Table:
    rows = data.comparison.rows
    spreads = [s.sd for row in rows for s in (row.loss, row.early) if math.isfinite(s.sd)]
    decimals = decimals_of(spreads)
    loss = spread_column(spreads, decimals)
    speed = speed_decimals(rows)
    spread = ", SD" if spreads else ""
    early = f"validation loss {data.comparison.early}, nats/token: mean over completed runs{spread}"
    final = f"validation loss at the last step, nats/token: mean{spread}"
    pace = "training steps per second, median (range) over completed runs"
    columns = (
        Column("Variant", "levels of the factors"),
        Column("Params", "trainable, shared ones once", True, "r"),
        Column("Ops", "FLOPs of a token, forward and backward", True, "r"),
        Column("Step/s", pace, True, "r"),
        Column("Early loss", early, True, loss),
        Column("Final loss", final, True, loss),
        Column("Completed", "of compared runs", False, "l"),
    )
    return Table(
        name="cost",
        caption=_caption(data),
        columns=columns,
        rows=tuple(
            Row(
                _cells(row, decimals, speed),
                gap=row.starts_group,
                runs=data.runs[row.variant],
            )
            for row in rows
        ),
        data=pd.DataFrame([_numbers(row) for row in rows]),
    )


def _caption(data: CostComparison) -> str:
    comparison = data.comparison
    timed = [row.cost for row in comparison.rows if math.isfinite(row.cost.steps_per_s)]
    spread = " (range)" * any(c.least_steps_per_s < c.most_steps_per_s for c in timed)
    speed = f"Step/s: median{spread} over completed runs. {OTHER_LOAD} " if timed else ""
    several = any(row.loss.n > 1 or row.early.n > 1 for row in comparison.rows)
    sds = f" with the SD over seeds{SD_IN_BRACKETS}" if several else ""
    early = f"Early loss: {comparison.early}. " if comparison.early else ""
    parts = [
        "Cost and loss of each variant, in the columns of an earlier comparison"
        f"{mark(STATISTICS['early-loss'].cite)}. Ops: FLOPs per token, forward and backward. "
        f"{speed}{early}Losses: mean over completed runs{sds}, nats/token, lower is better."
    ]
    if any(row.strong for row in comparison.rows):
        parts.append("Bold as in the main table.")
    if any(row.chosen and row.chosen.edges for row in comparison.rows):
        parts.append(EDGE_NOTE)
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


def _speed_cell(row: VariantRow, decimals: int) -> Cell:
    """The median, and where runs differ the slowest and the fastest."""
    cell, least, most = (
        speed_cell(row, decimals), row.cost.least_steps_per_s, row.cost.most_steps_per_s
    )  # fmt: skip
    if not least < most:
        return replace(cell, detail="")
    ends = [speed_text(end, decimals) for end in (least, most)]
    return replace(cell, detail=" to ".join(ends), tex=escape(f"{cell.text} ({'–'.join(ends)})"))


def _cells(row: VariantRow, decimals: int, speed: int) -> tuple[Cell, ...]:
    """With so many decimals of losses, and of steps per second."""
    cost = row.cost
    return (
        Cell(marked_label(row), order=row.label, swatch=row.color,
             strong=row.strong),
        Cell(grouped(cost.parameters), order=cost.parameters),
        Cell(si_text(cost.flops_per_token), order=cost.flops_per_token),
        _speed_cell(row, speed),
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
        "steps_per_s_least": row.cost.least_steps_per_s,
        "steps_per_s_most": row.cost.most_steps_per_s,
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
        f"Final loss against {MEASURES[panels.measure]}. Small dots: completed runs. Marks: mean"
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
    if panels.means["at_edge"].any():
        parts.append(EDGE_NOTE)
    if not panels.front.empty:
        parts.append(
            "Dotted steps: the lowest mean of ranked variants of all panels at the cost or less, "
            "over the seeds that all of them have."
        )
    if panels.measure == "hours":
        parts.append(OTHER_LOAD)
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
