"""What each variant run in the tracking store says about its seeds together."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from reports.statistics import summarize, t_quantile
from studies.metrics import FINAL_LOSS
from studies.plan import Plan
from studies.records import Outcome, RunRecord, worst_leak

if TYPE_CHECKING:
    from mlflow.entities import Run

    from ablations.tracking import TrackedStudy, Tracking


def log_aggregates(
    tracking: Tracking, study: TrackedStudy, plan: Plan, records: Sequence[RunRecord]
) -> None:
    """Log mean, SD, t interval, survival and leak of each variant, and close the parents."""
    planned = len(plan.study.seeds)
    for variant, run_id in study.variant_run_ids.items():
        own = [record for record in records if record.variant == variant]
        run = tracking.client.get_run(run_id)
        values = variant_aggregate(own, plan.study.report.confidence)
        tracking.replace(run, values)
        leak = worst_leak(record.leak for record in own)
        if leak is not None and run.data.tags.get("leak") != leak.value:
            tracking.log(run, tags={"leak": leak.value})
        _close(tracking, run, len(own) == planned)
    study_run = tracking.client.get_run(study.study_run_id)
    _close(tracking, study_run, len(records) == len(plan.runs))


def variant_aggregate(records: Sequence[RunRecord], confidence: float) -> dict[str, float]:
    """Aggregates over the seeds of one variant, by metric name; what cannot be had is absent.

    The mean is over the runs that completed; `aggregate/survival` is their share of those that
    ended.
    """
    completed = [r for r in records if r.outcome is Outcome.COMPLETED]
    losses = [r.summary[FINAL_LOSS] for r in completed if FINAL_LOSS in r.summary]
    n, mean, sd, standard_error = summarize(losses)
    half = t_quantile(n, confidence) * standard_error
    values = {
        FINAL_LOSS: mean,
        "aggregate/val_loss_sd": sd,
        "aggregate/val_loss_low": mean - half,
        "aggregate/val_loss_high": mean + half,
        "aggregate/completed": float(n),
        "aggregate/ended": float(len(records)),
        "aggregate/survival": n / len(records) if records else math.nan,
        "aggregate/diverged": float(sum(r.outcome is Outcome.DIVERGED for r in records)),
        "aggregate/failed": float(sum(r.outcome is Outcome.FAILED for r in records)),
    }
    return {name: value for name, value in values.items() if math.isfinite(value)}


def _close(tracking: Tracking, run: Run, complete: bool) -> None:
    status = "FINISHED" if complete else "RUNNING"
    if run.info.status != status:
        if complete:
            tracking.client.set_terminated(run.info.run_id, status)
        else:
            tracking.client.update_run(run.info.run_id, status=status)
