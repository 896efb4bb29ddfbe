"""What each variant run in the tracking store says about its seeds together."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import TYPE_CHECKING

from reports.analysis import search_results
from reports.analysis.statistics import summarize, t_quantile
from reports.results.assembly import assemble
from studies.budgets import seen_tokens
from studies.configuration import leaf_name
from studies.fairness import size_of
from studies.metrics import FINAL_LOSS, FLOPS_PER_TOKEN, PARAMETERS, PEAK_MEMORY_GIB, STEPS
from studies.plan import Cell, Column, Plan, PlannedRun
from studies.records import Outcome, RunRecord, worst_leak
from studies.task_metrics import TASK_SCORE

if TYPE_CHECKING:
    from mlflow.entities import Run

    from ablations.tracking import TrackedStudy, Tracking


def log_aggregates(
    tracking: Tracking, study: TrackedStudy, plan: Plan, records: Sequence[RunRecord]
) -> None:
    """Log what each variant came to, in its comparison, its search and its ledger; close parents.

    Mean, SD, t interval, survival and leak are of the compared runs: those at the chosen values,
    where the study searches, and at the shared ones until then.
    """
    unfinished = _unfinished(plan, {record.run_key: record for record in records})
    scored = finetuning_aggregates(plan, records)
    second = {run.run_key for run in plan.finetuning_runs}
    records = [record for record in records if record.run_key not in second]
    column: Column = "tuned" if plan.choices else "shared"
    columns = {run.run_key: plan.columns_of(run) for run in plan.runs} if plan.nuisance else {}
    searched = search_aggregates(plan, records)
    for variant, run_id in study.variant_run_ids.items():
        own = [record for record in records if record.variant == variant]
        compared = [r for r in own if column in columns.get(r.run_key, (column,))]
        run = tracking.client.get_run(run_id)
        values = variant_aggregate(compared, plan.study.report.confidence)
        tracking.replace(
            run,
            values
            | searched.get(variant, {})
            | scored.get(variant, {})
            | _ledger(plan, plan.cell(variant), own),
        )
        leak = worst_leak(record.leak for record in own)
        tags = {**({"leak": leak.value} if leak else {}), **_choice_tags(plan, variant)}
        changed = {name: tag for name, tag in tags.items() if run.data.tags.get(name) != tag}
        if changed:
            tracking.log(run, tags=changed)
        _close(tracking, run, plan.is_settled and variant not in unfinished)
    study_run = tracking.client.get_run(study.study_run_id)
    _close(tracking, study_run, plan.is_settled and not unfinished)


def _unfinished(plan: Plan, records: Mapping[str, RunRecord]) -> set[str]:
    """Variants with runs that have not ended, and may yet."""

    def is_over(run: PlannedRun) -> bool:
        parent = records.get(run.parent) if run.parent else None
        hopeless = parent is not None and parent.outcome is not Outcome.COMPLETED
        return hopeless or run.run_key in records

    return {run.variant for run in plan.all_runs if not is_over(run)}


def finetuning_aggregates(plan: Plan, records: Sequence[RunRecord]) -> dict[str, dict[str, float]]:
    """Variant to its mean score on each task, by metric name.

    The mean is over pre-training seeds, of the mean over the seeds of fine-tuning.
    """
    known = {record.run_key: record.summary for record in records}
    scores: dict[tuple[str, str], dict[int, list[float]]] = {}
    for run in plan.finetuning_runs:
        score = known.get(run.run_key, {}).get(TASK_SCORE)
        if score is not None:
            way = run.arm.replace("=", " ")  # the store has no `=` in names of metrics
            name = "/".join(filter(None, ("aggregate/task_score", run.task, way)))
            scores.setdefault((run.variant, name), {}).setdefault(run.seed, []).append(score)
    found: dict[str, dict[str, float]] = {}
    for (variant, name), by_seed in scores.items():
        found.setdefault(variant, {})[name] = fmean(map(fmean, by_seed.values()))
    return found


def search_aggregates(plan: Plan, records: Sequence[RunRecord]) -> dict[str, dict[str, float]]:
    """Variant to the numbers of its search, and to its loss at the shared values, by name."""
    if not plan.nuisance:
        return {}
    results = assemble(plan, {record.run_key: record for record in records}, {})
    data = search_results.collect(results)
    assert data is not None
    found: dict[str, dict[str, float]] = {}
    for row in data.rows:
        shared = summarize(results.shared.values(FINAL_LOSS, row.variant))
        chosen = row.choice.settings if row.choice else {}
        numbers = {k: v for k, v in chosen.items() if isinstance(v, int | float)}
        values = {
            "search/lowest_loss": row.lowest,
            "search/sensitivity": row.sensitivity,
            "search/trials": float(row.trials),
            "search/diverged": float(row.diverged),
            "search/pruned": float(row.pruned),
            **{f"search/chosen_{leaf_name(key)}": float(v) for key, v in numbers.items()},
            "aggregate/shared_val_loss": shared.mean,
            "aggregate/shared_val_loss_sd": shared.sd,
        }
        found[row.variant] = {k: value for k, value in values.items() if math.isfinite(value)}
    return found


def _choice_tags(plan: Plan, variant: str) -> dict[str, str]:
    """What the search chose, and which of it lies at an edge."""
    if not plan.nuisance:
        return {}
    choice = plan.choices.get(variant)
    if choice is None:
        return {"chosen": "not yet", "at_edge": "not known"}
    return {
        "chosen": ", ".join(f"{leaf_name(key)}={v}" for key, v in choice.settings.items()),
        "at_edge": ", ".join(f"{leaf_name(k)} {side}" for k, side in choice.edges.items()) or "no",
    }


def _ledger(plan: Plan, cell: Cell, records: Sequence[RunRecord]) -> dict[str, float]:
    """What a variant was given, and what its runs cost, those of its search included."""
    values: dict[str, float | None] = {
        "ledger/parameters": _counted(records, PARAMETERS, cell.parameters),
        "ledger/flops_per_token": _counted(records, FLOPS_PER_TOKEN, cell.flops_per_token),
        "ledger/training_tokens": _tokens(cell, records),
        "ledger/wall_time_h": math.fsum(record.wall_time_s for record in records) / 3600,
        "ledger/peak_memory_gib": max(
            (r.summary[PEAK_MEMORY_GIB] for r in records if PEAK_MEMORY_GIB in r.summary),
            default=None,
        ),
    }
    size = size_of(plan, cell)
    if size is not None:
        values["ledger/match_deviation"] = size.deviation
    return {name: value for name, value in values.items() if value is not None}


def _tokens(cell: Cell, records: Sequence[RunRecord]) -> float | None:
    """Training tokens of a run; of runs of minutes the mean of those that completed."""
    completed = [r.summary for r in records if r.outcome is Outcome.COMPLETED]
    return seen_tokens(cell.configuration, [s[STEPS] for s in completed if STEPS in s])


def _counted(
    records: Sequence[RunRecord], metric: str, estimated: float | int | None
) -> float | None:
    """As a run counted it; as estimated in the plan where none has."""
    return next((r.summary[metric] for r in records if metric in r.summary), estimated)


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
        "aggregate/pruned": float(sum(r.outcome is Outcome.PRUNED for r in records)),
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
