"""What runs spent: time, tokens, FLOPs and memory, by their records."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from reports.results.frame import StudyResults
from studies.budgets import tokens_per_step, training_tokens
from studies.configuration import with_values
from studies.metrics import FLOPS_PER_TOKEN, PEAK_MEMORY_GIB, STEPS
from studies.plan import Cell, PlannedRun, Stage
from studies.records import Outcome, RunRecord

NOT_KNOWN = "not known"


@dataclass(frozen=True)
class RunCost:
    """What one run spent; NaN where its record does not tell."""

    run_key: str
    variant: str
    stage: Stage
    outcome: Outcome
    device: str
    hours: float
    """Wall time of all attempts."""
    tokens: float
    """Training tokens of its optimiser steps; those that a killed attempt repeats count once."""
    flops: float
    """Of training: its tokens times the FLOPs of a token, forward and backward."""
    peak_memory_gib: float


@dataclass(frozen=True)
class Spent:
    """A sum over runs, and whether all of them told."""

    amount: float
    whole: bool = True
    """False where a run did not tell: then it is at least so much."""


def run_costs(results: StudyResults) -> tuple[RunCost, ...]:
    """The cost of every run that has a record, in the order of the plan."""
    cells = {cell.variant: cell for cell in results.plan.cells}
    return tuple(
        _cost(run, cells[run.variant], results.records[run.run_key])
        for run in results.plan.runs
        if run.run_key in results.records
    )


def total(values: Iterable[float]) -> Spent:
    """The sum of what is known; NaN where nothing is."""
    given = list(values)
    known = [value for value in given if math.isfinite(value)]
    return Spent(math.fsum(known) if known else math.nan, len(known) == len(given))


def _cost(run: PlannedRun, cell: Cell, record: RunRecord) -> RunCost:
    tokens = _tokens(run, cell, record)
    per_token = record.summary.get(FLOPS_PER_TOKEN, cell.flops_per_token)
    return RunCost(
        run_key=run.run_key,
        variant=run.variant,
        stage=run.stage,
        outcome=record.outcome,
        device=_device(record),
        hours=record.wall_time_s / 3600,
        tokens=tokens,
        flops=math.nan if per_token is None else tokens * per_token,
        peak_memory_gib=record.summary.get(PEAK_MEMORY_GIB, math.nan),
    )


def _tokens(run: PlannedRun, cell: Cell, record: RunRecord) -> float:
    configuration = with_values(cell.configuration, run.settings)
    if STEPS in record.summary:
        return record.summary[STEPS] * tokens_per_step(configuration)
    if record.outcome is Outcome.COMPLETED:
        planned = training_tokens(configuration)
        return math.nan if planned is None else float(planned)
    # Without steps a pruned run was given up before it began.
    return 0.0 if record.outcome is Outcome.PRUNED else math.nan


def _device(record: RunRecord) -> str:
    """Model of the GPU, or "CPU" with the cores that its host has."""
    device = record.facts.get("device")
    if device is None:
        return NOT_KNOWN
    cores = record.provenance.get("cpus")
    return f"CPU, {cores} cores" if device == "cpu" and cores else str(device)
