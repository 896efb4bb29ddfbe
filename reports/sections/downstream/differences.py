"""The table of differences in score, paired by seed."""

from __future__ import annotations

import math

import pandas as pd

from reports.analysis.downstream import (
    Downstream,
    DownstreamRow,
    TaskColumn,
    TaskScore,
)
from reports.exhibits import Cell, Column, Row, Table
from reports.references import mark
from reports.sections.contrast_cells import difference_cell, p_words
from reports.sections.downstream.scores import DECIMALS, SCALE, metric_label
from reports.words import ABSENT, p_text, percent
from studies.methods import STATISTICS


def differences_table(data: Downstream) -> Table:
    """A row for each that has a reference, a column for each task."""
    columns = (
        Column("Variant"),
        Column("Against"),
        *(Column(f"{task.label}, {metric_label(task)}") for task in data.tasks),
    )
    compared = [row for row in data.rows if row.reference]
    rows = tuple(
        Row(
            (
                Cell(row.label),
                Cell(row.reference),
                *(_difference(row.by_task.get(task.name)) for task in data.tasks),
            ),
            runs=tuple(key for score in row.by_task.values() for key in score.compared_runs),
        )
        for row in compared
    )
    level = percent(data.confidence)
    caption = (
        f"Differences in score (×{SCALE}), paired by pre-training seed, with the {level} t "
        f"interval, not corrected; p: paired t test{_adjusted(len(tested(data)))}."
    )
    numbers = pd.DataFrame([_difference_numbers(row) for row in compared])
    return Table("downstream_differences", caption, columns, rows, numbers, named_by=2)


def _adjusted(tests: int) -> str:
    """How p was adjusted."""
    if tests < 2:
        return ""
    return f", adjusted by Holm{mark(STATISTICS['holm'].cite)} over all {tests} of the table"


def _difference(score: TaskScore | None) -> Cell:
    if score is None or score.difference is None:
        return Cell(ABSENT, order=math.nan)
    d = score.difference
    scaled = d._replace(**{k: SCALE * getattr(d, k) for k in ("mean", "sd", "low", "high")})
    cell = difference_cell(scaled, DECIMALS)
    p = p_text(score.adjusted_p)
    if not math.isfinite(score.adjusted_p):
        return Cell(cell.text, order=cell.order, detail=cell.detail, tex=cell.tex)
    tex = f"{cell.tex}, $p\\ {p}$" if p.startswith("<") else f"{cell.tex}, $p = {p}$"
    return Cell(
        cell.text, order=cell.order, detail=f"{cell.detail}, {p_words(score.adjusted_p)}", tex=tex
    )


def _difference_numbers(row: DownstreamRow) -> dict[str, object]:
    found: dict[str, object] = {
        "variant": row.variant,
        "arm": row.arm or "–",
        "against": row.reference,
    }
    for name, score in row.by_task.items():
        if score.difference is not None:
            found[f"{name}_difference"] = score.difference.mean
            found[f"{name}_low"], found[f"{name}_high"] = (
                score.difference.low,
                score.difference.high,
            )
            found[f"{name}_n"] = score.difference.n
            found[f"{name}_adjusted_p"] = score.adjusted_p
    return found


def tested(data: Downstream) -> list[tuple[DownstreamRow, TaskColumn, TaskScore]]:
    """The differences that have a p."""
    return [
        (row, task, score)
        for row in data.rows
        for task in data.tasks
        if (score := row.by_task.get(task.name)) is not None and math.isfinite(score.adjusted_p)
    ]
