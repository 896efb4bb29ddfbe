"""Cells that differ from the baseline in one factor: what that one change does to the loss."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from enum import Enum
from typing import NamedTuple

from reports.analysis.power import first_holm_step, smallest_detectable_difference
from reports.analysis.statistics import (
    PairedDifference,
    Summary,
    holm,
    paired_difference,
    summarize,
    two_sided_p,
)
from reports.figures.style import layout_of
from reports.results.frame import StudyResults
from reports.words import factor_label, level_label
from studies.metrics import FINAL_LOSS
from studies.plan import Cell, Plan
from studies.records import Leak, Outcome

NO_DIFFERENCE = PairedDifference(0, math.nan, math.nan, math.nan, math.nan)


class Hindrance(Enum):
    """Why a change is not tested."""

    LEAKY = "later tokens leak into an evaluation"
    DIFFERENT_TEXTS = "losses are on different evaluation sets"
    SURVIVORS = "mean over survivors"
    NO_PAIR = "no seed completed in both"
    ONE_PAIR = "one seed completed in both"


class Change(NamedTuple):
    """The one factor in which a cell differs from the baseline."""

    key: str
    text: str
    """From the baseline's level to the cell's: "LayerNorm → no norm"."""


@dataclass(frozen=True)
class ChangeRow:
    """A cell that differs from the baseline in one factor; the baseline itself has no change."""

    variant: str
    label: str
    color: str
    leak: Leak | None
    factor: str
    """What changed, for a reader; empty for the baseline."""
    change: str
    loss: Summary
    """Final loss over completed runs, nats per token."""
    outcomes: dict[Outcome, int]
    marks: tuple[Outcome, ...]
    """Outcome per seed."""
    runs: tuple[str, ...]
    """Run keys, of the baseline's runs too where there is a difference."""
    difference: PairedDifference = NO_DIFFERENCE
    """To the baseline, over the seeds that completed in both; none where losses do not compare."""
    hindrance: Hindrance | None = None
    p: float = math.nan
    """Of the paired t test, two-sided; NaN where the change is not tested."""
    holm_p: float = math.nan
    """Adjusted over all changes; one that is not tested counts as 1."""
    detectable: float = math.nan
    """Smallest difference that the seeds could have shown (80 % power), in Holm's first step."""


@dataclass(frozen=True)
class OneChange:
    """The baseline, and the changes by factor in the order of the study."""

    baseline: ChangeRow
    rows: tuple[ChangeRow, ...]
    confidence: float
    planned_seeds: int
    outcomes: dict[Outcome, int]
    tuned: bool
    """Whether variants are compared at values that a search chose for each."""
    searching: bool
    """Whether a search has yet to choose for some variant."""


def collect(results: StudyResults) -> OneChange | None:
    """Every cell that is one change away from the baseline; None where there is none."""
    plan = results.plan
    changes = changes_of(plan)
    if not changes:
        return None
    rows = _tested(
        [_row(results, variant, change) for variant, change in changes.items()],
        plan.study.report.confidence,
    )
    return OneChange(
        baseline=_row(results, plan.baseline, Change("", "")),
        rows=rows,
        confidence=plan.study.report.confidence,
        planned_seeds=len(plan.study.seeds),
        outcomes=results.outcomes(),
        tuned=bool(plan.choices),
        searching=not plan.is_settled,
    )


def changes_of(plan: Plan) -> dict[str, Change]:
    """Variant to its change, of those that differ from the baseline in exactly one factor.

    A factor that means nothing on one of the sides is no difference of its own: it comes with the
    change, and is named with it where it gets a meaning.
    """
    base = plan.cell(plan.baseline)
    order = {key: place for place, key in enumerate(base.levels)}
    found: dict[str, Change] = {}
    for cell in plan.cells:
        changed = [
            key
            for key, level in cell.levels.items()
            if level is not None and base.levels[key] is not None and level != base.levels[key]
        ]
        if len(changed) == 1:
            found[cell.variant] = Change(changed[0], _text(base, cell, changed[0]))
    return dict(sorted(found.items(), key=lambda item: order[item[1].key]))


def _text(base: Cell, cell: Cell, key: str) -> str:
    gained = [
        level_label(other, level)
        for other, level in cell.levels.items()
        if level is not None and base.levels[other] is None
    ]
    to = " · ".join([level_label(key, cell.levels[key]), *gained])
    return f"{level_label(key, base.levels[key])} → {to}"


def _row(results: StudyResults, variant: str, change: Change) -> ChangeRow:
    runs = results.runs_of(variant)
    return _compared(
        results,
        ChangeRow(
            variant=variant,
            label=results.labels[variant],
            color=layout_of(results).styles[variant].color,
            leak=results.leaks[variant],
            factor=factor_label(change.key),
            change=change.text,
            loss=summarize(results.values(FINAL_LOSS, variant)),
            outcomes=results.outcomes(variant),
            marks=tuple(Outcome(outcome) for outcome in runs["outcome"]),
            runs=tuple(runs["run_key"]),
        ),
    )


def _compared(results: StudyResults, row: ChangeRow) -> ChangeRow:
    """The row with its difference to the baseline, as far as the losses allow one."""
    baseline, confidence = results.plan.baseline, results.plan.study.report.confidence
    if row.variant == baseline:
        return row
    if Leak.LEAKY in (row.leak, results.leaks[baseline]):
        return replace(row, hindrance=Hindrance.LEAKY)
    if len(results.evaluation_sets([row.variant, baseline])) > 1:
        return replace(row, hindrance=Hindrance.DIFFERENT_TEXTS)
    difference = paired_difference(
        results.values(FINAL_LOSS, row.variant), results.values(FINAL_LOSS, baseline), confidence
    )
    hindrance = None
    sides = (row.outcomes, results.outcomes(baseline))
    if difference.n < 2:
        hindrance = Hindrance.ONE_PAIR if difference.n else Hindrance.NO_PAIR
    if any(side[Outcome.DIVERGED] or side[Outcome.PRUNED] for side in sides):
        hindrance = Hindrance.SURVIVORS
    own = results.runs_of(baseline)["run_key"]
    return replace(row, difference=difference, hindrance=hindrance, runs=(*row.runs, *own))


def _tested(rows: list[ChangeRow], confidence: float) -> tuple[ChangeRow, ...]:
    """The rows with the p of those that are tested."""
    p = [math.nan if row.hindrance else two_sided_p(row.difference) for row in rows]
    adjusted = holm([1.0 if math.isnan(value) else value for value in p])
    level = first_holm_step(confidence, len(rows))
    units = {row.difference.n for row in rows}
    of_sd_1 = {n: smallest_detectable_difference(1.0, n, level) for n in units}
    return tuple(
        row
        if math.isnan(value)
        else replace(
            row,
            p=value,
            holm_p=holm_p,
            detectable=of_sd_1[row.difference.n] * row.difference.sd,
        )
        for row, value, holm_p in zip(rows, p, adjusted, strict=True)
    )
