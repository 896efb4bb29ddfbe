"""The table of scores: variants by tasks."""

from __future__ import annotations

import math

import pandas as pd

from reports.analysis.downstream import (
    Downstream,
    DownstreamRow,
    TaskColumn,
    TaskScore,
)
from reports.analysis.statistics import t_quantile
from reports.exhibits import Cell, Column, Row, Table
from reports.references import cited
from reports.words import ABSENT, any_of, number, percent, plural
from studies.task_metrics import SCORE_METRICS, SCORE_PREFIX
from studies.tasks import TASKS

SCALE, DECIMALS = 100, 1
"""Scores are shown times 100, as papers do."""


def half_width(score: TaskScore, confidence: float) -> float:
    """Of the t interval of a mean over seeds; NaN with fewer than two."""
    return t_quantile(score.scores.n, confidence) * score.scores.standard_error


def metric_label(task: TaskColumn) -> str:
    """How the metric of a task is written."""
    return SCORE_METRICS[SCORE_PREFIX + task.metric].label


def scores_table(data: Downstream) -> Table:
    """A row for each variant and way of fine-tuning, a column for each task."""
    columns = (Column("Variant"), *(_task_column(task) for task in data.tasks))
    rows = tuple(
        Row(
            (Cell(row.label), *(_score_cell(row.by_task.get(t.name), data) for t in data.tasks)),
            runs=_runs(row),
        )
        for row in data.rows
    )
    constant = Row(
        (Cell("constant prediction"), *(_number_cell(task.constant) for task in data.tasks)),
        gap=True,
        runs=tuple(key for row in data.rows for key in _runs(row)),
    )
    return Table(
        "downstream", _caption(data), columns, (*rows, constant), _scores(data), named_by=2
    )


def _runs(row: DownstreamRow) -> tuple[str, ...]:
    return tuple(key for score in row.by_task.values() for key in score.runs)


def _task_column(task: TaskColumn) -> Column:
    metric = metric_label(task)
    return Column(f"{task.label}, {metric}", SCORE_METRICS[SCORE_PREFIX + task.metric].definition)


def _score_cell(score: TaskScore | None, data: Downstream) -> Cell:
    if score is None or not score.scores.n:
        lost = "" if score is None else f"0 of {score.planned}"
        return Cell(ABSENT, order=math.nan, detail=lost)
    mean, half = score.scores.mean, half_width(score, data.confidence)
    text = number(SCALE * mean, DECIMALS)
    if math.isfinite(half):
        text += f" ± {number(SCALE * half, DECIMALS)}"
    n, planned = score.scores.n, score.planned
    count = f"n = {n}" if n == planned else f"n = {n} of {planned}"
    return Cell(text, order=mean, detail=count, tex=_tex(text, count if n < planned else ""))


def _tex(text: str, note: str) -> str:
    maths = text.replace("±", r"\pm").replace("−", "-")
    return f"${maths}$" + (rf" {{\scriptsize ({note})}}" if note else "")


def _number_cell(value: float) -> Cell:
    return Cell(number(SCALE * value, DECIMALS) if math.isfinite(value) else ABSENT, order=value)


def _scores(data: Downstream) -> pd.DataFrame:
    rows = []
    for row in data.rows:
        found: dict[str, object] = {"variant": row.variant, "arm": row.arm or "–"}
        for name, score in row.by_task.items():
            found[f"{name}_score"] = score.scores.mean
            found[f"{name}_half_width"] = half_width(score, data.confidence)
            found[f"{name}_n"] = score.scores.n
            found[f"{name}_planned"] = score.planned
        rows.append(found)
    return pd.DataFrame(rows)


def _caption(data: Downstream) -> str:
    level = percent(data.confidence)
    seeds = plural(data.seeds, "pre-training seed")
    each = (
        f", each the mean of {data.finetuning_seeds} fine-tunings"
        if data.finetuning_seeds > 1
        else ""
    )
    shipped = [cited(TASKS[t.name], t.label) for t in data.tasks if t.name in TASKS]
    of = f" on {any_of(shipped, 'and')}" if shipped else ""
    cut = [
        f"{task.label}: {number(task.truncated_percent, 1)} %"
        for task in data.tasks
        if task.truncated_percent > 0
    ]
    unknown = [
        f"{task.label}: {number(task.unknown_percent, 1)} %"
        for task in data.tasks
        if task.unknown_percent > 0
    ]
    lost = sum(score.lost for row in data.rows for score in row.by_task.values())
    parts = [
        f"Scores (×{SCALE}) of the fine-tuned models{of}, after the last step, higher is better: "
        f"mean over {seeds}{each}, ± half the {level} t interval. Constant prediction: the most "
        "frequent label of the training examples, always."
    ]
    if cut:
        parts.append(f"Examples too long for the context, cut: {'; '.join(cut)}.")
    if unknown:
        parts.append(f"Examples with characters that the tokeniser lacks: {'; '.join(unknown)}.")
    if lost:
        parts.append(
            f"{plural(lost, 'fine-tuning')} diverged, failed or did not run: their seeds are "
            "missing from n."
        )
    return " ".join(parts)
