"""What is kept of a run that has ended."""

from __future__ import annotations

from collections.abc import Mapping

from ablations.provenance import provenance
from ablations.run_directory import RunDirectory
from studies.metrics import FINAL_LOSS, INITIAL_LOSS, LAST_TRAIN_LOSS, LAST_VALIDATION_LOSS
from studies.plan import Plan, PlannedRun
from studies.records import Outcome, RunRecord


def new_record(plan: Plan, planned: PlannedRun, attempt: int, outcome: Outcome) -> RunRecord:
    """The record of a run, still without its numbers."""
    return RunRecord(
        run_key=planned.run_key,
        study=plan.study.name,
        variant=planned.variant,
        seed=planned.seed,
        levels=plan.cell(planned.variant).levels,
        attempt=attempt,
        outcome=outcome,
        pruned_by=plan.pruner(planned.stage) if outcome is Outcome.PRUNED else None,
        provenance=provenance(),
    )


def finish(run: RunDirectory, record: RunRecord) -> None:
    """Publish the record of an attempt that the ledger knows to be the run's end."""
    if record.outcome is not Outcome.FAILED:  # a retry goes on from there
        for attempt in run.attempts():
            attempt.remove_checkpoints()
    run.publish(record)


def ledger_value(summary: Mapping[str, float]) -> float:
    """A finite number for the trial: the final loss, or the last that another run had."""
    for name in (FINAL_LOSS, LAST_VALIDATION_LOSS, LAST_TRAIN_LOSS, INITIAL_LOSS):
        if name in summary:
            return summary[name]
    return 0.0
