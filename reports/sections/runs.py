"""Every planned run, one row each: the list that the numbers of all other sections lead to."""

from __future__ import annotations

import math
from dataclasses import dataclass

import pandas as pd

from reports.exhibits import RUNS, Cell, Column, Exhibits, Row, Table
from reports.figures.style import layout_of
from reports.results.frame import StudyResults
from reports.sections.base import Section
from reports.words import ABSENT, counts_caption, decimals_for, number, settings_text
from studies.metrics import FINAL_LOSS
from studies.records import Outcome

SHORT_KEY = 8
"""Letters of a run key that are shown."""


@dataclass(frozen=True)
class RunRow:
    """One planned run."""

    run_key: str
    variant: str
    label: str
    color: str
    seed: int
    stage: str
    settings: str
    """Values of the nuisance keys; empty where nothing is searched."""
    outcome: Outcome
    loss: float
    """Final validation loss in nats/token; NaN where the run has none."""
    wall_time_s: float
    """Of all attempts at it; NaN where it was not run."""
    attempt: int | None
    """Number, in the ledger of the study, of the attempt that its record comes from."""
    error: str


@dataclass(frozen=True)
class RunList:
    """The runs by variant, then stage, settings and seed."""

    rows: tuple[RunRow, ...]
    searched: bool
    """Whether there are nuisance keys."""
    outcomes: dict[Outcome, int]
    searching: bool
    """Whether a search may ask for more runs."""


def collect(results: StudyResults) -> RunList:
    """All planned runs, whatever came of them."""
    nuisance = results.plan.nuisance
    styles = layout_of(results).styles
    places = {variant: place for place, variant in enumerate(results.variants)}
    done = results.runs[results.runs["outcome"] == Outcome.COMPLETED]
    losses = dict(zip(done["run_key"], done[FINAL_LOSS], strict=True)) if FINAL_LOSS in done else {}
    rows = [
        RunRow(
            run_key=run["run_key"],
            variant=run["variant"],
            label=results.labels[run["variant"]],
            color=styles[run["variant"]].color,
            seed=run["seed"],
            stage=run["stage"],
            settings=settings_text({key: run[key] for key in nuisance}),
            outcome=Outcome(run["outcome"]),
            loss=float(losses.get(run["run_key"], math.nan)),
            wall_time_s=float(run["wall_time_s"]),
            attempt=None if pd.isna(run["attempt"]) else int(run["attempt"]),
            error=run["error"] if isinstance(run["error"], str) else "",
        )
        for run in results.runs.to_dict("records")
    ]
    planned = {text: place for place, text in enumerate(dict.fromkeys(r.settings for r in rows))}
    rows.sort(key=lambda row: (places[row.variant], row.stage, planned[row.settings], row.seed))
    return RunList(tuple(rows), bool(nuisance), results.outcomes(), not results.plan.is_settled)


def render(data: RunList) -> Exhibits:
    """One table, for the page and as CSV."""
    decimals = decimals_for(_spread(data.rows))
    table = Table(
        name=RUNS,
        caption=(
            "Every planned run. Run: the beginning of its key, which names it in the run "
            f"directories and in MLflow. {_counts(data)}"
        ),
        columns=_columns(data),
        rows=tuple(
            Row(_cells(row, data, decimals), runs=(row.run_key,), outcome=row.outcome)
            for row in data.rows
        ),
        data=pd.DataFrame([_numbers(row) for row in data.rows]),
        paper=False,
    )
    return Exhibits(tables=(table,))


def _spread(rows: tuple[RunRow, ...]) -> float:
    """Median over variants and settings of the SD over seeds; NaN where each has one."""
    losses = pd.DataFrame([(r.variant, r.stage, r.settings, r.loss) for r in rows])
    return float(losses.groupby([0, 1, 2])[3].std().median())


def _columns(data: RunList) -> tuple[Column, ...]:
    return (
        Column("Variant", "levels of the factors"),
        Column("Seed", "of the start and of the order of the data", True, "r"),
        *(
            (
                Column("Stage", "report: compared; search: chooses settings"),
                Column("Settings", "values of what is searched for each variant"),
            )
            if data.searched
            else ()
        ),
        Column("Outcome", "how the run ended"),
        Column("Final loss", "validation loss at the last step, nats/token", True, "r"),
        Column("Wall time (s)", "of every attempt at the run", True, "r", paper=False),
        Column(
            "Attempt",
            "number of the attempt that the numbers come from, counted over all runs of the study",
            True,
            "r",
            paper=False,
        ),
        Column("Run", "beginning of the run key"),
    )


def _counts(data: RunList) -> str:
    return counts_caption(data.outcomes, searching=data.searching)


def _cells(row: RunRow, data: RunList, decimals: int) -> tuple[Cell, ...]:
    known = math.isfinite(row.wall_time_s)
    return (
        Cell(row.label, swatch=row.color),
        Cell(str(row.seed), order=row.seed),
        *((Cell(row.stage), Cell(row.settings)) if data.searched else ()),
        Cell(row.outcome.value, marks=(row.outcome,)),
        Cell(number(row.loss, decimals), order=row.loss),
        Cell(f"{row.wall_time_s:.0f}" if known else ABSENT, order=row.wall_time_s),
        Cell(
            ABSENT if row.attempt is None else str(row.attempt),
            order=math.nan if row.attempt is None else row.attempt,
        ),
        Cell(row.run_key[:SHORT_KEY], run=row.run_key),
    )


def _numbers(row: RunRow) -> dict[str, object]:
    """The row of the CSV."""
    return {
        "run_key": row.run_key,
        "variant": row.variant,
        "label": row.label,
        "seed": row.seed,
        "stage": row.stage,
        "settings": row.settings,
        "outcome": row.outcome.value,
        "final_loss": row.loss,
        "wall_time_s": row.wall_time_s,
        "attempt": "" if row.attempt is None else row.attempt,
        "error": row.error,
    }


SECTION = Section("Runs", collect, render, absent="", whole=True)
