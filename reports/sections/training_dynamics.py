"""How training went: loss spikes, steps to a target loss, and the generalisation gap."""

from __future__ import annotations

import math
from dataclasses import dataclass

import pandas as pd

from reports.analysis.statistics import Summary, summarize
from reports.exhibits import Cell, Column, Exhibits, Row, Table
from reports.figures.style import layout_of, row_groups
from reports.results.frame import StudyResults
from reports.sections.base import Section
from reports.words import ABSENT, counts_caption, decimals_for, headed, number
from studies.metrics import (
    GENERALIZATION_GAP,
    LOSS_SPIKES,
    STEPS_TO_TARGET,
    TARGET_LOSS,
    VALIDATION_LOSS,
    Metric,
)
from studies.records import Outcome

METRICS = (LOSS_SPIKES, STEPS_TO_TARGET, GENERALIZATION_GAP)


@dataclass(frozen=True)
class DynamicsRow:
    """One variant, over its completed runs."""

    variant: str
    label: str
    color: str
    completed: int
    runs: tuple[str, ...]
    """Keys of the completed ones."""
    values: dict[str, Summary]
    """By metric; for the steps to the target, over the runs that reached it."""
    bracket: float
    """Steps between the evaluations on either side of the target, of the run with most; or NaN."""
    starts_group: bool


@dataclass(frozen=True)
class TrainingDynamics:
    """The rows in the order of the plan."""

    rows: tuple[DynamicsRow, ...]
    definitions: dict[str, Metric]
    targets: tuple[float, ...]
    """Target losses of the runs, in nats/token; more than one where their data differ."""
    outcomes: dict[Outcome, int]
    searching: bool
    """Whether a search may ask for more runs."""


def collect(results: StudyResults) -> TrainingDynamics | None:
    """Summaries over completed runs; None where no run recorded any of the numbers."""
    if not any(metric in results.runs for metric in METRICS):
        return None
    styles = layout_of(results).styles
    firsts = {next(iter(group.labels)) for group in row_groups(results)[1:]}
    brackets = _brackets(results)
    facts = [record.facts.get(TARGET_LOSS) for record in results.records.values()]
    targets = sorted({float(fact) for fact in facts if isinstance(fact, int | float)})
    return TrainingDynamics(
        rows=tuple(
            DynamicsRow(
                variant=variant,
                label=results.labels[variant],
                color=styles[variant].color,
                completed=results.outcomes(variant)[Outcome.COMPLETED],
                runs=_completed(results, variant),
                values={metric: summarize(results.values(metric, variant)) for metric in METRICS},
                bracket=brackets.get(variant, math.nan),
                starts_group=variant in firsts and len(results.variants) > 8,
            )
            for variant in results.variants
        ),
        definitions={metric: results.definition(metric) for metric in METRICS},
        targets=tuple(targets),
        outcomes=results.outcomes(),
        searching=not results.plan.is_settled,
    )


def _completed(results: StudyResults, variant: str) -> tuple[str, ...]:
    """Keys of a variant's completed runs."""
    runs = results.runs_of(variant)
    return tuple(runs[runs["outcome"] == Outcome.COMPLETED]["run_key"])


def _brackets(results: StudyResults) -> dict[str, float]:
    """Variant to the most steps between two evaluations that one of its runs interpolated over."""
    if STEPS_TO_TARGET not in results.runs:
        return {}
    reached = results.runs.set_index("run_key")[STEPS_TO_TARGET].dropna()
    curves = results.curves(VALIDATION_LOSS)
    curves = curves[curves["run_key"].isin(reached.index)]
    target = curves["run_key"].map(reached).astype(float)  # of no run it would be text
    before = curves[curves["step"] < target].groupby("run_key")["step"].max()
    after = curves[curves["step"] >= target].groupby("run_key")["step"].min()
    wide = (after - before).dropna()
    variants = results.runs.set_index("run_key")["variant"].reindex(wide.index)
    return {str(variant): float(steps) for variant, steps in wide.groupby(variants).max().items()}


def render(data: TrainingDynamics) -> Exhibits:
    """One table."""
    spreads = [row.values[GENERALIZATION_GAP].sd for row in data.rows]
    finite = sorted(sd for sd in spreads if math.isfinite(sd))
    decimals = decimals_for(finite[len(finite) // 2] if finite else math.nan)
    what = {metric: data.definitions[metric].definition for metric in METRICS}
    columns = (
        Column("Variant"),
        Column("n", "completed runs", True, "r"),
        Column("Loss spikes", what[LOSS_SPIKES], True, "r"),
        Column("Steps to target", what[STEPS_TO_TARGET], True, "r"),
        Column("Reached", "completed runs that reached the target loss", True, "r"),
        Column("Generalisation gap", f"nats/token: {what[GENERALIZATION_GAP]}", True, "r"),
    )
    table = Table(
        name="training_dynamics",
        caption=_caption(data),
        columns=columns,
        rows=tuple(
            Row(_cells(row, decimals, bool(data.targets)), gap=row.starts_group, runs=row.runs)
            for row in data.rows
        ),
        data=pd.DataFrame([_numbers(row) for row in data.rows]).assign(
            target_loss=" ".join(f"{target:.10g}" for target in data.targets)
        ),
    )
    return Exhibits(tables=(table,))


def _caption(data: TrainingDynamics) -> str:
    target = " to ".join(f"{t:.4g}" for t in dict.fromkeys((*data.targets[:1], *data.targets[-1:])))
    several = any(summary.n > 1 for row in data.rows for summary in row.values.values())
    parts = [
        f"Training dynamics, mean over completed runs{' with the SD over seeds' * several}.",
        *(f"{headed(m.label)}: {m.definition}." for m in data.definitions.values()),
        f"The target is {target} nats/token{', by run' if len(data.targets) > 1 else ''}; the "
        f"steps are a mean over the runs that reached it{_accuracy(data)}."
        if target
        else "",
        counts_caption(data.outcomes, searching=data.searching),
    ]
    return " ".join(part for part in parts if part)


def _accuracy(data: TrainingDynamics) -> str:
    widest = max((row.bracket for row in data.rows if row.bracket > 1), default=0)
    return (
        f", interpolated between evaluations that lie up to {widest:,.0f} steps apart, and no more "
        "exact than that"
        if widest
        else ""
    )


def _cells(row: DynamicsRow, decimals: int, aimed: bool) -> tuple[Cell, ...]:
    spikes, steps, gap = (row.values[metric] for metric in METRICS)
    reached = f"{steps.n}/{row.completed}" if aimed else ABSENT
    return (
        Cell(row.label, swatch=row.color),
        Cell(str(row.completed), order=row.completed),
        _estimate(spikes, 1),
        _estimate(steps, 0),
        Cell(reached, order=steps.n / max(1, row.completed)),
        _estimate(gap, decimals, sign=True),
    )


def _estimate(value: Summary, decimals: int, *, sign: bool = False) -> Cell:
    mean = number(value.mean, decimals, sign=sign)
    spread = f" ± {number(value.sd, decimals)}" if value.n > 1 else ""
    return Cell(mean + spread, order=value.mean)


def _numbers(row: DynamicsRow) -> dict[str, object]:
    """The row of the CSV."""
    spikes, steps, gap = (row.values[metric] for metric in METRICS)
    return {
        "variant": row.variant,
        "label": row.label,
        "n": row.completed,
        "loss_spikes_mean": spikes.mean,
        "loss_spikes_sd": spikes.sd,
        "reached_target": steps.n,
        "steps_to_target_mean": steps.mean,
        "steps_to_target_sd": steps.sd,
        "steps_between_evaluations": row.bracket,
        "generalization_gap_mean": gap.mean,
        "generalization_gap_sd": gap.sd,
    }


SECTION = Section("Training dynamics", collect, render, absent="")
