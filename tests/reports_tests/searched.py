"""Studies with a search, trained by a formula: results without any file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from reports.results.assembly import assemble
from reports.results.frame import StudyResults
from studies.metrics import FINAL_LOSS, INITIAL_LOSS, PARAMETERS, PEAK_MEMORY_GIB
from studies.plan import Choice, Plan, PlannedRun
from studies.records import Leak, Outcome, RunRecord
from studies.search import advance
from tests.studies_tests.helpers import plan_of

RATE = "training.learning_rate"
INITIAL = 5.5

Loss = Callable[[str, Mapping[str, Any], int], float | None]
"""Final loss of a variant at a setting with a seed; None where the run diverges."""


def at_edge(results: StudyResults, *variants: str) -> StudyResults:
    """The results with choices for all variants, of which these are at an edge."""
    choices = {
        v: Choice(
            settings={RATE: 1e-2}, trial=0, loss=2.0, edges={RATE: "high"} if v in variants else {}
        )
        for v in results.variants
    }
    return replace(results, plan=results.plan.model_copy(update={"choices": choices}))


def record_of(plan: Plan, run: PlannedRun, loss: float | None) -> RunRecord:
    summary = {INITIAL_LOSS: INITIAL, PEAK_MEMORY_GIB: 0.5}
    cell = plan.cell(run.variant)
    if cell.parameters is not None:
        summary[PARAMETERS] = float(cell.parameters)
    if loss is not None:
        summary[FINAL_LOSS] = loss
    outcome = Outcome.DIVERGED if loss is None else Outcome.COMPLETED
    return RunRecord(
        run_key=run.run_key, study=plan.study.name, variant=run.variant, seed=run.seed,
        levels=cell.levels, attempt=0, outcome=outcome, leak=Leak.CAUSAL, summary=summary,
        wall_time_s=36.0, facts={"validation_digest": "v"},
    )  # fmt: skip


def searched(loss: Loss, *, rounds: int = 50, **raw: Any) -> StudyResults:
    """A study whose search went on for so many rounds, each run of which has ended."""
    plan = plan_of(**raw)
    records: dict[str, RunRecord] = {}

    def train() -> None:
        for run in plan.runs:
            settings = plan.settings(run.variant, run.settings)
            records[run.run_key] = record_of(plan, run, loss(run.variant, settings, run.seed))

    def first_of_range(search, seed, tried, count):
        return [{RATE: 1e-3 * (len(tried) + offset + 1)} for offset in range(count)]

    for _ in range(rounds):
        train()
        further = advance(plan, records.get, first_of_range)
        if further is plan:
            break
        plan = further
    train()
    return assemble(plan, records, {})
