"""Every variant against the baseline and against the best: the numbers of the main table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import pandas as pd

from reports.analysis.against_baseline import (
    BaselineTest,
    Reading,
    against_baseline,
    with_readings,
)
from reports.analysis.costs import Cost, cost_of, machines
from reports.analysis.fairness import uneven_steps
from reports.analysis.ranking import ranked_variants
from reports.analysis.search_results import VariantSearch
from reports.analysis.search_results import collect as collect_search
from reports.analysis.statistics import (
    Interval,
    NoiseFloor,
    PairedDifference,
    Summary,
    noise_floor,
    paired_difference,
    proportion_interval,
    summarize,
)
from reports.figures.style import layout_of
from reports.results.frame import StudyResults
from reports.words import FINISHED, UNFINISHED
from studies.budgets import early_text, length_text
from studies.contrasts import DeclaredPair, declared_pairs
from studies.fairness import budget_difference
from studies.metrics import EARLY_LOSS, FINAL_BITS_PER_BYTE, FINAL_LOSS
from studies.plan import Choice
from studies.records import Leak, Outcome
from studies.registration import seeds_added, seeds_dropped
from studies.values import Scalar


@dataclass(frozen=True)
class VariantRow:
    """What is known about one variant."""

    variant: str
    label: str
    color: str
    runs: tuple[str, ...]
    """Run keys."""
    leak: Leak | None
    loss: Summary
    """Final loss over completed runs."""
    early: Summary
    """Early loss over completed runs."""
    bits_per_byte: Summary
    """Of the final loss; empty where the bytes of a token are not fixed."""
    test: BaselineTest | None
    """Against the baseline; None for the baseline itself."""
    to_best: PairedDifference | None
    """To the best variant; None where the row is not ranked, and for the best itself."""
    ranked: bool
    strong: bool
    """Whether the row cannot be told apart from the best, in a study that is whole."""
    outcomes: dict[Outcome, int]
    marks: tuple[Outcome, ...]
    """Outcome per seed."""
    diverged: Interval
    """Share of the ended runs, pruned ones included, that diverged, with its exact interval."""
    cost: Cost
    starts_group: bool
    """Whether the first factor changes here."""
    chosen: Choice | None = None
    """What the search of the variant chose, where there was one."""
    shared: Summary | None = None
    """Final loss at the shared values, where the variant is compared at chosen ones."""
    shared_difference: PairedDifference | None = None
    """To the baseline, both at the shared values."""
    search: VariantSearch | None = None
    """What its search saw, where there was one."""

    @property
    def difference(self) -> PairedDifference | None:
        """To the baseline, paired by seed; None for the baseline itself."""
        return self.test.difference if self.test else None


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
    noise: NoiseFloor
    """Over the ranked variants, on these seeds."""
    confidence: float
    seeds: int
    added_seeds: int
    """Of the seeds, those that came after the registration."""
    dropped_seeds: tuple[int, ...]
    """Registered, and no longer planned."""
    declared: tuple[DeclaredPair, ...]
    """Hypotheses on a pair of these comparisons."""
    length: str
    """Of a run: "400 steps", "5 minutes"."""
    early: str
    """When the early loss was measured; empty where no run has one."""
    machines: int
    """As of `reports.analysis.costs.machines`."""
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
    partial: bool
    """Whether a search goes on, or planned runs are missing or failed: its numbers may yet move."""
    rates: int
    """Learning rates that S is the mean over; 0 where there is no S."""
    shared_settings: dict[str, Scalar]
    """Nuisance keys at the values that all variants share."""


def compare(whole: StudyResults) -> Comparison:
    """Summaries, paired differences and outcomes of every variant, from all runs of a study."""
    results, plan = whole.compared, whole.plan
    ranked = ranked_variants(results)
    losses = pd.DataFrame({v: results.values(FINAL_LOSS, v) for v in ranked}).dropna()
    best = None if losses.empty else str(losses.mean().idxmin())
    search = collect_search(whole)
    partial = not plan.is_settled or any(results.outcomes()[outcome] for outcome in UNFINISHED)
    rows = _rows(results, ranked, best)
    if partial:  # what is not in bold reads as worse, and may lack a run
        rows = [replace(row, strong=False) for row in rows]
    if plan.choices:
        rows = [_with_shared(row, whole) for row in rows]
    if search is not None:
        by_variant = {found.variant: found for found in search.rows}
        rows = [replace(row, search=by_variant[row.variant]) for row in rows]
    return Comparison(
        rows=tuple(rows),
        baseline=results.labels[plan.baseline],
        best=next((row for row in rows if row.variant == best), None),
        ranked_on=len(losses),
        noise=noise_floor(losses, plan.study.report.confidence),
        confidence=plan.study.report.confidence,
        seeds=len(plan.study.seeds),
        added_seeds=seeds_added(whole.registration, plan),
        dropped_seeds=seeds_dropped(whole.registration, plan),
        declared=declared_pairs(plan),
        length=length_text(cell.configuration for cell in plan.cells),
        early=early_text(c.configuration for c in plan.cells)
        if any(row.early.n for row in rows)
        else "",
        machines=machines(results),
        outcomes=results.outcomes(),
        evaluation_sets=len(results.evaluation_sets(results.variants)),
        uneven_steps=uneven_steps(whole),
        budgets=budget_difference(plan),
        tuned=bool(plan.choices),
        searching=not plan.is_settled,
        partial=partial,
        rates=search.tried if search else 0,
        shared_settings=plan.settings(plan.baseline, {}),
    )


def _rows(results: StudyResults, ranked: Sequence[str], best: str | None) -> list[VariantRow]:
    """In the order of the plan; the best is in bold too, once others have an interval."""
    rows: list[VariantRow] = []
    tests = _tests(results, ranked)
    styles = layout_of(results).styles
    previous: object = None
    for cell in results.plan.cells:
        first_level = next(iter(cell.levels.values()), None)
        starts_group = bool(rows) and first_level != previous and len(results.variants) > 8
        previous = first_level
        color = styles[cell.variant].color
        row = _row(results, cell.variant, color, tests.get(cell.variant), starts_group)
        if cell.variant in ranked:
            row = _ranked_row(results, row, best)
        rows.append(row)
    compared = any(row.to_best is not None and row.to_best.n > 1 for row in rows)
    return [replace(row, strong=True) if compared and row.variant == best else row for row in rows]


def _row(
    results: StudyResults, variant: str, color: str, test: BaselineTest | None, starts_group: bool
) -> VariantRow:
    outcomes = results.outcomes(variant)
    ended = sum(outcomes[outcome] for outcome in FINISHED)
    runs = results.runs_of(variant)
    return VariantRow(
        variant=variant,
        label=results.labels[variant],
        color=color,
        runs=_behind(results, variant),
        leak=results.leaks[variant],
        loss=summarize(results.values(FINAL_LOSS, variant)),
        early=summarize(results.values(EARLY_LOSS, variant)),
        bits_per_byte=summarize(results.values(FINAL_BITS_PER_BYTE, variant)),
        test=test,
        to_best=None,
        ranked=False,
        strong=False,
        outcomes=outcomes,
        marks=tuple(Outcome(outcome) for outcome in runs["outcome"]),
        diverged=proportion_interval(
            outcomes[Outcome.DIVERGED], ended, results.plan.study.report.confidence
        ),
        cost=cost_of(results, variant),
        starts_group=starts_group,
    )


def _ranked_row(results: StudyResults, row: VariantRow, best: str | None) -> VariantRow:
    if best is None or row.variant == best:
        return replace(row, ranked=True)
    losses, lowest = results.values(FINAL_LOSS, row.variant), results.values(FINAL_LOSS, best)
    to_best = paired_difference(losses, lowest, results.plan.study.report.confidence)
    runs = tuple(dict.fromkeys((*row.runs, *_behind(results, best))))
    return replace(row, runs=runs, ranked=True, to_best=to_best, strong=to_best.includes_zero)


def _tests(results: StudyResults, ranked: Sequence[str]) -> dict[str, BaselineTest]:
    """Of every variant but the baseline, against it."""
    plan = results.plan
    choices, confidence = plan.choices, plan.study.report.confidence
    others = [variant for variant in results.variants if variant != plan.baseline]
    at_edge = {v: v in choices and bool(choices[v].edges) for v in results.variants}
    tests = {
        variant: against_baseline(
            results.values(FINAL_LOSS, variant),
            results.values(FINAL_LOSS, plan.baseline),
            confidence=confidence,
            comparisons=len(others),
            seeds=len(plan.study.seeds),
            edges=(at_edge[variant], at_edge[plan.baseline]),
            obstacle=_obstacle(results, variant, ranked),
        )
        for variant in others
    }
    return with_readings(tests, confidence)


def _obstacle(results: StudyResults, variant: str, ranked: Sequence[str]) -> Reading | None:
    """Why there is no verdict on a variant, seeds aside."""
    both = (variant, results.plan.baseline)
    if incomparable := _incomparable(results, variant):
        return incomparable
    if not results.plan.is_settled:
        return Reading.SEARCHING
    waits = any(set(results.runs_of(v)["outcome"]) == {Outcome.MISSING} for v in both)
    return None if waits or set(both) <= set(ranked) else Reading.UNRANKED


def _incomparable(results: StudyResults, variant: str) -> Reading | None:
    """Why the losses of a variant and of the baseline have no difference at all, if so."""
    both = (variant, results.plan.baseline)
    if len(results.evaluation_sets(both)) > 1:
        return Reading.DIFFERENT_TEXTS
    return Reading.LEAKY if Leak.LEAKY in [results.leaks[v] for v in both] else None


def _with_shared(row: VariantRow, whole: StudyResults) -> VariantRow:
    """The row with what the variant reached at the shared values."""
    results = whole.shared
    losses = results.values(FINAL_LOSS, row.variant)
    baseline = results.values(FINAL_LOSS, results.plan.baseline)
    confidence = results.plan.study.report.confidence
    is_baseline = row.variant == results.plan.baseline
    comparable = not is_baseline and _incomparable(results, row.variant) is None
    return replace(
        row,
        chosen=whole.plan.choices.get(row.variant),
        shared=summarize(losses),
        shared_difference=paired_difference(losses, baseline, confidence) if comparable else None,
    )


def _behind(results: StudyResults, variant: str) -> tuple[str, ...]:
    """Keys of the runs behind a row: the variant's, and those of the baseline it is compared to."""
    both = (variant, results.plan.baseline)
    return tuple(
        run.run_key
        for run in results.plan.runs
        if run.variant in both and run.run_key in results.records
    )
