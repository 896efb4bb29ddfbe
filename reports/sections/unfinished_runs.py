"""Runs that gave no final loss: which, and why."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from reports.exhibits import Cell, Column, Exhibits, Row, Table
from reports.results.frame import StudyResults
from reports.sections.base import Section
from reports.words import OUTCOME_MARKS, counts_caption, settings_text
from studies.metrics import DIVERGED_AT_STEP, PRUNED_AT_STEP
from studies.records import Outcome

_STEP_OF = {Outcome.DIVERGED: DIVERGED_AT_STEP, Outcome.PRUNED: PRUNED_AT_STEP}


@dataclass(frozen=True)
class Fate:
    """Runs of a variant that ended alike."""

    variant: str
    label: str
    outcome: Outcome
    seeds: str
    reason: str
    runs: tuple[str, ...]
    """Their keys."""


@dataclass(frozen=True)
class UnfinishedRuns:
    """Runs by variant, outcome and reason."""

    fates: tuple[Fate, ...]
    outcomes: dict[Outcome, int]
    searching: bool
    """Whether a search may ask for more runs."""


def collect(results: StudyResults) -> UnfinishedRuns | None:
    """Every planned run that did not complete, runs of one fate in one row."""
    runs = results.runs[results.runs["outcome"] != Outcome.COMPLETED]
    seeds: dict[tuple[int, Outcome, str], dict[str, str]] = {}
    for run in runs.to_dict("records"):
        outcome = Outcome(run["outcome"])
        variant = results.variants.index(run["variant"])
        seed = str(run["seed"])
        if results.plan.nuisance:
            seed += f" at {settings_text({key: run[key] for key in results.plan.nuisance})}"
        at = run.get(_STEP_OF.get(outcome, ""))
        if at is not None and pd.notna(at):
            seed += f" (step {at:.0f})"
        elif outcome is Outcome.PRUNED:
            seed += " (before its first step)"
        seeds.setdefault((variant, outcome, _reason(outcome, run["error"])), {})[run["run_key"]] = (
            seed
        )
    fates = []
    for (variant, outcome, reason), listed in sorted(seeds.items()):
        name = results.variants[variant]
        shown, keys = ", ".join(listed.values()), tuple(listed)
        fates.append(Fate(name, results.labels[name], outcome, shown, reason, keys))
    if not fates:
        return None
    return UnfinishedRuns(tuple(fates), results.outcomes(), not results.plan.is_settled)


def _reason(outcome: Outcome, error: object) -> str:
    if outcome is Outcome.MISSING:
        return "not run yet"
    return error if isinstance(error, str) else ""


def render(data: UnfinishedRuns) -> Exhibits:
    """One table."""
    rows = tuple(
        Row(
            (
                Cell(fate.label),
                Cell(f"{OUTCOME_MARKS[fate.outcome]} {fate.outcome}", tex=fate.outcome.value),
                Cell(fate.seeds),
                Cell(fate.reason),
            ),
            runs=fate.runs,
        )
        for fate in data.fates
    )
    columns = (
        Column("Variant"),
        Column("Outcome"),
        Column(
            "Seeds",
            "seeds of the runs; where one diverged or was pruned, at which step",
            tex=r"p{0.22\linewidth}",
        ),
        Column("Reason", "last line of the error", tex=r"p{0.36\linewidth}"),
    )
    counts = counts_caption(data.outcomes, searching=data.searching)
    caption = f"Planned runs without a final loss. {counts}"
    numbers = pd.DataFrame([vars(fate) for fate in data.fates]).drop(columns="runs")
    return Exhibits(tables=(Table("unfinished_runs", caption, columns, rows, numbers),))


SECTION = Section("Runs that did not complete", collect, render, absent="", whole=True)
