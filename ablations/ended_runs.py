"""What is kept of a run that has ended."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

from ablations.provenance import provenance
from ablations.run_directory import AttemptDirectory, RunDirectory
from studies.metrics import FINAL_LOSS, INITIAL_LOSS, LAST_TRAIN_LOSS, LAST_VALIDATION_LOSS
from studies.plan import Plan, PlannedRun
from studies.records import Outcome, RunRecord
from studies.task_metrics import TASK_LOSS


def new_record(plan: Plan, planned: PlannedRun, attempt: int, outcome: Outcome) -> RunRecord:
    """The record of a run, still without its numbers."""
    return RunRecord(
        run_key=planned.run_key,
        study=plan.study.name,
        variant=planned.variant,
        seed=planned.seed,
        levels=plan.levels_of(planned),
        attempt=attempt,
        outcome=outcome,
        pruned_by=plan.pruner(planned.stage) if outcome is Outcome.PRUNED else None,
        provenance=provenance(),
    )


def finish(run: RunDirectory, record: RunRecord) -> bool:
    """Publish the record of an attempt that the ledger knows to be the run's end.

    Whoever does so may have been suspended, and the run tried again: what later attempts saved and
    published stays.

    Returns:
        Whether the record is the run's own now.
    """
    if record.outcome is not Outcome.FAILED:  # a retry goes on from there
        for attempt in run.attempts():
            if attempt.number <= record.attempt:
                attempt.remove_checkpoints()
            if attempt.number < record.attempt:
                attempt.remove_weights()
    published = run.record()
    if published is not None and published.attempt > record.attempt:
        return False
    run.publish(record)
    return True


def spent_s(run: RunDirectory, *, before: int | None = None) -> float:
    """Wall time of the attempts at a run in seconds, told by their files.

    An attempt that was killed leaves no other word of it. Each counts from its definitions, the
    last file of its start, to the last that it wrote: a metric, a checkpoint or an error. What it
    did after that was lost with it, and one that never began counts for nothing.

    Args:
        run: with its attempts.
        before: number of the first attempt that is left out.
    """
    attempts = run.attempts()
    return sum(_spent_s(a) for a in attempts if before is None or a.number < before)


def _spent_s(attempt: AttemptDirectory) -> float:
    changed_s = {path: _changed_s(path) for path in attempt.path.iterdir()}
    started_s = changed_s.get(attempt.definitions_path, -math.inf)
    return max(changed_s.values()) - started_s if math.isfinite(started_s) else 0.0


def _changed_s(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:  # an attempt that was given up for dead may still replace its files
        return -math.inf


def ledger_value(summary: Mapping[str, float]) -> float:
    """A finite number for the trial: the final loss, or the last that another run had."""
    for name in (FINAL_LOSS, TASK_LOSS, LAST_VALIDATION_LOSS, LAST_TRAIN_LOSS, INITIAL_LOSS):
        if name in summary:
            return summary[name]
    return 0.0
