"""Runs that gave no final loss: which, and why."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from reports.exhibits import Cell, Column, Exhibits, Row, Table
from reports.frame import StudyResults
from reports.sections.base import Section
from reports.words import OUTCOME_MARKS, counts_caption
from studies.records import DIVERGED_AT_STEP, Outcome


@dataclass(frozen=True)
class UnfinishedRuns:
    """Runs by variant, outcome and reason."""

    rows: pd.DataFrame
    """Columns: variant, label, outcome, seeds (text), reason."""
    outcomes: dict[Outcome, int]


def collect(results: StudyResults) -> UnfinishedRuns | None:
    """Every planned run that did not complete, runs of one fate in one row."""
    runs = results.runs[results.runs["outcome"] != Outcome.COMPLETED]
    if runs.empty:
        return None
    rows: dict[tuple[str, str, str], list[str]] = {}
    for run in runs.to_dict("records"):
        outcome = Outcome(run["outcome"])
        key = (str(run["variant"]), outcome.value, _reason(run, outcome))
        seed = str(run["seed"])
        if outcome is Outcome.DIVERGED and pd.notna(run.get(DIVERGED_AT_STEP)):
            seed += f" (step {run[DIVERGED_AT_STEP]:.0f})"
        rows.setdefault(key, []).append(seed)
    order = {variant: i for i, variant in enumerate(results.variants)}
    table = [
        (variant, results.labels[variant], outcome, ", ".join(seeds), reason)
        for (variant, outcome, reason), seeds in sorted(
            rows.items(), key=lambda item: (order[item[0][0]], item[0])
        )
    ]
    columns = ["variant", "label", "outcome", "seeds", "reason"]
    return UnfinishedRuns(pd.DataFrame(table, columns=columns), results.outcomes())


def _reason(run: dict[str, object], outcome: Outcome) -> str:
    if outcome is Outcome.MISSING:
        return "not run yet"
    error = run.get("error")
    return str(error) if isinstance(error, str) else ""


def render(data: UnfinishedRuns) -> Exhibits:
    """One table."""
    rows = tuple(
        Row(
            (
                Cell(row.label),
                Cell(f"{OUTCOME_MARKS[Outcome(row.outcome)]} {row.outcome}", tex=row.outcome),
                Cell(row.seeds),
                Cell(row.reason),
            )
        )
        for row in data.rows.itertuples()
    )
    columns = (
        Column("Variant"),
        Column("Outcome"),
        Column("Seeds", "seeds of the runs; for a divergence, the step at which it was seen"),
        Column("Reason", "last line of the error", tex=r"p{0.4\linewidth}"),
    )
    caption = f"Planned runs without a final loss. {counts_caption(data.outcomes)}"
    return Exhibits(tables=(Table("unfinished_runs", caption, columns, rows, data.rows),))


SECTION = Section("Runs that did not complete", collect, render, absent="")
