"""The list of every run that fine-tunes."""

from __future__ import annotations

import dataclasses
from collections import Counter

import pandas as pd

from reports.analysis.downstream import Downstream, FinetuningRow
from reports.exhibits import Cell, Column, Row, Table
from reports.sections.downstream.scores import DECIMALS, SCALE
from reports.words import counts_caption, number
from studies.records import Outcome

SHORT_KEY = 8
"""Digits of a run key that a table shows."""


def runs_table(data: Downstream) -> Table:
    """A row for each, for the page and as CSV."""
    several = data.finetuning_seeds > 1
    columns = (
        Column("Variant"),
        Column("Task"),
        Column("Seed", "of the run that it goes on from", True, "r"),
        *((Column("Fine-tuning seed", "", True, "r"),) if several else ()),
        Column("Outcome"),
        Column(f"Score (×{SCALE})", "", True, "r"),
        Column("Run", "beginning of the run key"),
    )
    ended = Counter(run.outcome for run in data.runs)
    counts = counts_caption({outcome: ended[outcome] for outcome in Outcome})
    return Table(
        "finetuning_runs",
        f"Every run that fine-tunes. {counts}",
        columns,
        tuple(
            Row(_cells(run, several=several), outcome=run.outcome, runs=(run.run_key,))
            for run in data.runs
        ),
        pd.DataFrame([dataclasses.asdict(run) for run in data.runs]),
        paper=False,
    )


def _cells(run: FinetuningRow, *, several: bool) -> tuple[Cell, ...]:
    own = str(run.finetuning_seed)
    return (
        Cell(run.label),
        Cell(run.task),
        Cell(str(run.seed), order=run.seed),
        *((Cell(own, order=run.finetuning_seed),) if several else ()),
        Cell(run.outcome.value, marks=(run.outcome,)),
        Cell(number(SCALE * run.score, DECIMALS), order=run.score),
        Cell(run.run_key[:SHORT_KEY], run=run.run_key),
    )
