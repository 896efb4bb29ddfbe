"""One change at a time: what swapping one level of the baseline does, as papers print it."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd

from reports.analysis.one_change import ChangeRow, OneChange, collect
from reports.exhibits import Cell, Column, Exhibits, Row, Table
from reports.sections.base import Section
from reports.sections.contrast_cells import bar_limit, difference_cell, p_cell
from reports.sections.one_change_words import caption, reading, sentences
from reports.words import ABSENT, LEAK_MARKS, decimals_for, number, outcome_text
from studies.records import Outcome

READING = r">{\raggedright\arraybackslash}p{0.22\linewidth}"
"""LaTeX column with lines of their own length."""


def render(data: OneChange) -> Exhibits:
    """The table, and what it says."""
    spreads = [row.difference.sd for row in data.rows if math.isfinite(row.difference.sd)]
    decimals = decimals_for(float(np.median(spreads)) if spreads else math.nan)
    rows = [Row(_cells(data.baseline, data, decimals), runs=data.baseline.runs)]
    previous = ""
    for row in data.rows:
        gap = row.factor != previous
        rows.append(Row(_cells(row, data, decimals), gap=gap, runs=row.runs))
        previous = row.factor
    table = Table(
        name="one_change",
        caption=caption(data),
        columns=_columns(data, decimals),
        rows=tuple(rows),
        data=pd.DataFrame([_numbers(row, data) for row in (data.baseline, *data.rows)]),
        bar_limit=bar_limit([row.difference for row in data.rows]),
    )
    return Exhibits(sentences=sentences(data, decimals), tables=(table,))


def _columns(data: OneChange, decimals: int) -> tuple[Column, ...]:
    sds = [row.loss.sd for row in (data.baseline, *data.rows) if math.isfinite(row.loss.sd)]
    digits = len(str(round(max(sds, default=0.0) * 10**decimals)))
    level = f"{data.confidence:.0%}"
    return (
        Column("Factor"),
        Column("Change", "from the level of the baseline to another"),
        Column(
            "Final loss",
            "nats/token: mean over completed runs, SD over seeds",
            True,
            f"S[table-format=1.{decimals}({digits})]",
        ),
        Column("Pairs", "seeds that completed with and without the change", True, "r", False),
        Column("Difference", f"to the baseline, paired by seed, {level} t interval", True, "r"),
        Column("p", "of the paired t test, not adjusted", True, "r", False),
        Column("Holm p", "adjusted over all changes of this table", True, "r"),
        Column("Completed", "completed of planned runs; one mark per seed"),
        Column("Reading", "what the numbers allow to say", tex=READING, paper=False),
    )


def _cells(row: ChangeRow, data: OneChange, decimals: int) -> tuple[Cell, ...]:
    is_baseline = row is data.baseline
    mean, sd = row.loss.mean, row.loss.sd
    uncertainty = f"({round(sd * 10**decimals)})" if math.isfinite(sd) else ""
    ended = row.outcomes[Outcome.COMPLETED] / max(1, sum(row.outcomes.values()))
    return (
        Cell("baseline" if is_baseline else row.factor),
        Cell((row.change or row.label) + LEAK_MARKS[row.leak], swatch=row.color),
        Cell(
            number(mean, decimals),
            order=mean,
            tex=f"{mean:.{decimals}f}{uncertainty}" if math.isfinite(mean) else None,
            detail=f"SD {number(sd, decimals)}" if math.isfinite(sd) else "",
        ),
        Cell("" if is_baseline else str(row.difference.n), order=row.difference.n),
        Cell("", order=0.0) if is_baseline else difference_cell(row.difference, decimals),
        Cell("", order=math.nan) if is_baseline else p_cell(row.p),
        Cell("", order=math.nan) if is_baseline else p_cell(row.holm_p),
        Cell(outcome_text(row.outcomes), order=ended, marks=row.marks),
        Cell("" if is_baseline else reading(row, data) or ABSENT),
    )


def _numbers(row: ChangeRow, data: OneChange) -> dict[str, object]:
    """The row of the CSV: every number behind the displayed ones, in full."""
    difference = row.difference
    return {
        "variant": row.variant,
        "label": row.label,
        "factor": row.factor,
        "change": row.change or "baseline",
        "leak": row.leak.value if row.leak else "",
        "n": row.loss.n,
        "final_loss_mean": row.loss.mean,
        "final_loss_sd": row.loss.sd,
        "pairs_with_baseline": difference.n,
        "difference_mean": difference.mean,
        "difference_sd": difference.sd,
        "difference_low": difference.low,
        "difference_high": difference.high,
        "p": row.p,
        "holm_p": row.holm_p,
        "smallest_detectable_difference": row.detectable,
        "reading": "" if row is data.baseline else reading(row, data),
        **{outcome.value: row.outcomes[outcome] for outcome in Outcome},
    }


SECTION = Section("One change at a time", collect, render, absent="")
