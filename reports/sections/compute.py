"""The compute of a study: what all its runs spent, by device and by stage."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from reports.analysis.spending import RunCost, Spent, run_costs, total
from reports.exhibits import Cell, Column, Exhibits, Row, Table
from reports.results.frame import StudyResults
from reports.sections.base import Section
from reports.words import ABSENT, counts_caption, si_text
from studies.plan import Stage
from studies.records import Outcome

AT_LEAST = "+"
"""Behind a sum to which some runs did not tell their part."""
STAGES: dict[Stage, str] = {"search": "search", "report": "compared"}


@dataclass(frozen=True)
class ComputeRow:
    """The runs of one stage on one kind of device, or all of them."""

    device: str
    stage: str
    runs: tuple[str, ...]
    """Run keys."""
    hours: float
    device_hours: float
    failed_hours: float
    """Of runs that ended as failed: spent for no result."""
    tokens: Spent
    flops: Spent
    peak_memory_gib: float


@dataclass(frozen=True)
class Compute:
    """The rows, the total last."""

    rows: tuple[ComputeRow, ...]
    devices: int
    """Devices of each run, as the study file has it."""
    unrecorded: int
    """Planned runs without a record."""
    own: bool
    """Whether FLOPs were counted in a module of one's own."""
    outcomes: dict[Outcome, int]
    searching: bool


def collect(results: StudyResults) -> Compute:
    """Sums over the runs of the whole study."""
    costs = run_costs(results)
    devices = results.plan.study.execution.devices
    groups: dict[tuple[str, Stage], list[RunCost]] = {}
    for cost in costs:
        groups.setdefault((cost.device, cost.stage), []).append(cost)
    rows = [
        _row(device, STAGES[stage], group, devices)
        for (device, stage), group in sorted(groups.items())
    ]
    return Compute(
        rows=(*rows, _row("total", "", costs, devices)),
        devices=devices,
        unrecorded=len(results.plan.runs) - len(costs),
        own=results.plan.study.module is not None,
        outcomes=results.outcomes(),
        searching=not results.plan.is_settled,
    )


def _row(device: str, stage: str, costs: Sequence[RunCost], devices: int) -> ComputeRow:
    hours = math.fsum(cost.hours for cost in costs)
    peaks = [c.peak_memory_gib for c in costs if math.isfinite(c.peak_memory_gib)]
    return ComputeRow(
        device=device,
        stage=stage,
        runs=tuple(cost.run_key for cost in costs),
        hours=hours,
        device_hours=hours * devices,
        failed_hours=math.fsum(c.hours for c in costs if c.outcome is Outcome.FAILED),
        tokens=total(cost.tokens for cost in costs),
        flops=total(cost.flops for cost in costs),
        peak_memory_gib=max(peaks, default=math.nan),
    )


def render(data: Compute) -> Exhibits:
    """One table, its last row the total."""
    columns = (
        Column("Device", "model of the GPU, or CPU with the cores of its host"),
        Column("Runs of", "the search, or those that are compared"),
        Column("Runs", "with a record", True, "r"),
        Column("Hours", "wall time of all attempts, evaluations and diagnostics included", True,
               "r"),
        Column("Device-hours", "wall time × devices of a run", True, "r"),
        Column("Failed hours", "of runs that failed: time without a result", True, "r"),
        Column("Tokens", "training tokens", True, "r"),
        Column("FLOPs", "of training, forward and backward", True, "r"),
        Column("Peak GiB", "most memory of a run", True, "r"),
    )  # fmt: skip
    last = len(data.rows) - 1
    rows = tuple(
        Row(_cells(row), gap=place == last, runs=row.runs) for place, row in enumerate(data.rows)
    )
    numbers = pd.DataFrame([_numbers(row) for row in data.rows])
    return Exhibits(tables=(Table("compute", _caption(data), columns, rows, numbers, named_by=2),))


def _caption(data: Compute) -> str:
    counted = (
        "a module of one's own counts them while it runs"
        if data.own
        else "6 for each weight that multiplies a token, and 12 × layers × width × context length "
        "for attention scores"
    )
    devices = "one device" if data.devices == 1 else f"{data.devices} devices"
    parts = [
        f"Compute of all runs, each on {devices}. FLOPs: training tokens × FLOPs per token, "
        f"forward and backward ({counted}); evaluations and diagnostics are not in them. "
        "Hours are wall time over every attempt at a run; what a killed attempt did after its last "
        "record is not known."
    ]
    if not all(spent.whole for row in data.rows for spent in (row.tokens, row.flops)):
        parts.append(f"{AT_LEAST} At least: some runs did not tell.")
    if data.unrecorded:
        parts.append(f"Without a record, and in no number: {data.unrecorded} planned runs.")
    return " ".join([*parts, counts_caption(data.outcomes, searching=data.searching)])


def _cells(row: ComputeRow) -> tuple[Cell, ...]:
    return (
        Cell(row.device),
        Cell(row.stage),
        Cell(str(len(row.runs)), order=len(row.runs)),
        _measured(row.hours),
        _measured(row.device_hours),
        _measured(row.failed_hours),
        spent_cell(row.tokens),
        spent_cell(row.flops),
        _measured(row.peak_memory_gib),
    )


def _measured(value: float) -> Cell:
    return Cell(f"{value:.3g}" if math.isfinite(value) else ABSENT, order=value)


def spent_cell(spent: Spent) -> Cell:
    """A sum with its SI prefix, marked where some runs did not tell their part."""
    known = math.isfinite(spent.amount)
    return Cell(si_text(spent.amount) + AT_LEAST * (known and not spent.whole), order=spent.amount)


def _numbers(row: ComputeRow) -> dict[str, object]:
    return {
        "device": row.device,
        "stage": row.stage,
        "runs": len(row.runs),
        "wall_time_h": row.hours,
        "device_hours": row.device_hours,
        "failed_h": row.failed_hours,
        "training_tokens": row.tokens.amount,
        "training_tokens_whole": row.tokens.whole,
        "training_flops": row.flops.amount,
        "training_flops_whole": row.flops.whole,
        "peak_memory_gib": row.peak_memory_gib,
    }


SECTION = Section("Compute", collect, render, absent="", whole=True)
