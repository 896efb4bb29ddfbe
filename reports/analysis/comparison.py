"""Every variant against the baseline and against the best: the numbers of the main table."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from reports.analysis.fairness import uneven_steps
from reports.analysis.power import smallest_detectable_difference
from reports.analysis.statistics import (
    Interval,
    PairedDifference,
    Summary,
    paired_difference,
    proportion_interval,
    summarize,
)
from reports.figures.style import layout_of
from reports.results.frame import StudyResults
from reports.words import FINISHED
from studies.budgets import length_text
from studies.fairness import budget_difference
from studies.metrics import FINAL_LOSS, PARAMETERS, TOKENS_PER_S
from studies.plan import Choice
from studies.records import Leak, Outcome
from studies.values import Scalar


@dataclass(frozen=True)
class VariantRow:
    """What is known about one variant."""

    variant: str
    label: str
    color: str
    leak: Leak | None
    parameters: float
    loss: Summary
    """Final loss over completed runs."""
    difference: PairedDifference | None
    """To the baseline, paired by seed; None for the baseline itself."""
    detectable: float
    """Smallest difference to the baseline that the seeds could have shown (80 % power)."""
    to_best: PairedDifference | None
    """To the best variant; None where the row is not ranked, and for the best itself."""
    ranked: bool
    strong: bool
    """Whether the row cannot be told apart from the best."""
    outcomes: dict[Outcome, int]
    marks: tuple[Outcome, ...]
    """Outcome per seed."""
    diverged: Interval
    """Share of the ended runs, pruned ones included, that diverged, with its exact interval."""
    tokens_per_s: float
    """Median over completed runs."""
    starts_group: bool
    """Whether the first factor changes here."""
    chosen: Choice | None = None
    """What the search of the variant chose, where there was one."""
    shared: Summary | None = None
    """Final loss at the shared values, where the variant is compared at chosen ones."""
    shared_difference: PairedDifference | None = None
    """To the baseline, both at the shared values."""


@dataclass(frozen=True)
class Comparison:
    """The rows in the order of the plan, and what they are compared with."""

    rows: tuple[VariantRow, ...]
    baseline: str
    """Label of the baseline."""
    best: VariantRow | None
    """Ranked variant of lowest mean over `ranked_on`; None while nothing can be ranked."""
    ranked_on: int
    """Seeds that all ranked variants have."""
    confidence: float
    seeds: int
    length: str
    """Of a run: "400 steps", "5 minutes"."""
    outcomes: dict[Outcome, int]
    evaluation_sets: int
    """Distinct sets that the losses were measured on; of several, nothing is ranked."""
    uneven_steps: float
    """As of `reports.analysis.fairness.uneven_steps`."""
    budgets: str | None
    """How budgets of variants differ, and why, if they do."""
    tuned: bool
    """Whether variants are compared at values that a search chose for each."""
    searching: bool
    """Whether a search has yet to choose for some variant."""
    shared_settings: dict[str, Scalar]
    """Nuisance keys at the values that all variants share."""


def compare(whole: StudyResults) -> Comparison:
    """Summaries, paired differences and outcomes of every variant, from all runs of a study."""
    results, plan = whole.compared, whole.plan
    losses = _ranked_losses(results)
    best = None if losses.empty else str(losses.mean().idxmin())
    styles = layout_of(results).styles
    rows: list[VariantRow] = []
    previous: object = None
    for cell in results.plan.cells:
        first_level = next(iter(cell.levels.values()), None)
        starts_group = bool(rows) and first_level != previous and len(results.variants) > 8
        previous = first_level
        row = _row(results, cell.variant, best, styles[cell.variant].color, starts_group)
        rows.append(_with_shared(row, whole) if plan.choices else row)
    return Comparison(
        rows=_with_best_marked(rows, best),
        baseline=results.labels[results.plan.baseline],
        best=next((row for row in rows if row.variant == best), None),
        ranked_on=len(losses),
        confidence=results.plan.study.report.confidence,
        seeds=len(results.plan.study.seeds),
        length=length_text(cell.configuration for cell in plan.cells),
        outcomes=results.outcomes(),
        evaluation_sets=len(results.evaluation_sets(results.variants)),
        uneven_steps=uneven_steps(whole),
        budgets=budget_difference(plan),
        tuned=bool(plan.choices),
        searching=not plan.is_settled,
        shared_settings=plan.settings(plan.baseline, {}),
    )


def _is_ranked(results: StudyResults, variant: str) -> bool:
    """Whether a variant may be ranked.

    A leaky one never is, nor a mean over survivors, nor what has no result, nor losses that were
    not all measured on the same data.
    """
    outcomes = results.outcomes(variant)
    lost = outcomes[Outcome.DIVERGED] + outcomes[Outcome.FAILED] + outcomes[Outcome.PRUNED]
    return (
        results.leaks[variant] is not Leak.LEAKY
        and not lost
        and not results.values(FINAL_LOSS, variant).empty
        and len(results.evaluation_sets(results.variants)) < 2
    )


def _ranked_losses(results: StudyResults) -> pd.DataFrame:
    """Final loss by seed and ranked variant, on the seeds that all ranked variants have."""
    ranked = [variant for variant in results.variants if _is_ranked(results, variant)]
    return pd.DataFrame({v: results.values(FINAL_LOSS, v) for v in ranked}).dropna()


def _row(
    results: StudyResults, variant: str, best: str | None, color: str, starts_group: bool
) -> VariantRow:
    confidence = results.plan.study.report.confidence
    baseline = results.plan.baseline
    losses = results.values(FINAL_LOSS, variant)
    ranked = _is_ranked(results, variant)
    to_baseline = paired_difference(losses, results.values(FINAL_LOSS, baseline), confidence)
    to_best = None
    if ranked and best is not None and variant != best:
        to_best = paired_difference(losses, results.values(FINAL_LOSS, best), confidence)
    outcomes = results.outcomes(variant)
    ended = sum(outcomes[outcome] for outcome in FINISHED)
    runs = results.runs[results.runs["variant"] == variant]
    return VariantRow(
        variant=variant,
        label=results.labels[variant],
        color=color,
        leak=results.leaks[variant],
        parameters=_parameters(results, variant),
        loss=summarize(losses),
        difference=None if variant == baseline else to_baseline,
        detectable=smallest_detectable_difference(to_baseline.sd, to_baseline.n, confidence)
        if variant != baseline
        else math.nan,
        to_best=to_best,
        ranked=ranked,
        strong=to_best is not None and to_best.includes_zero,
        outcomes=outcomes,
        marks=tuple(Outcome(outcome) for outcome in runs["outcome"]),
        diverged=proportion_interval(outcomes[Outcome.DIVERGED], ended, confidence),
        tokens_per_s=_median(results, TOKENS_PER_S, variant),
        starts_group=starts_group,
    )


def _with_shared(row: VariantRow, whole: StudyResults) -> VariantRow:
    """The row with what the variant reached at the shared values."""
    results = whole.shared
    losses = results.values(FINAL_LOSS, row.variant)
    baseline = results.values(FINAL_LOSS, results.plan.baseline)
    confidence = results.plan.study.report.confidence
    is_baseline = row.variant == results.plan.baseline
    return replace(
        row,
        chosen=whole.plan.choices.get(row.variant),
        shared=summarize(losses),
        shared_difference=None if is_baseline else paired_difference(losses, baseline, confidence),
    )


def _with_best_marked(rows: list[VariantRow], best: str | None) -> tuple[VariantRow, ...]:
    """The best is in bold too, once there is an interval to compare the others by."""
    compared = any(row.to_best is not None and row.to_best.n > 1 for row in rows)
    return tuple(
        replace(row, strong=True) if compared and row.variant == best else row for row in rows
    )


def _parameters(results: StudyResults, variant: str) -> float:
    """As counted in the model; as estimated in the plan where no run has counted them."""
    counted = [
        record.summary[PARAMETERS]
        for record in results.records.values()
        if record.variant == variant and PARAMETERS in record.summary
    ]
    estimated = results.plan.cell(variant).parameters
    return counted[0] if counted else math.nan if estimated is None else float(estimated)


def _median(results: StudyResults, metric: str, variant: str) -> float:
    values = results.values(metric, variant)
    return float(np.median(values)) if len(values) else math.nan
