"""The declared hypotheses against the results: estimates, tests, and what they allow to say."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import permutations

import pandas as pd

from reports.analysis import effects
from reports.analysis.power import first_holm_step, smallest_detectable_difference
from reports.analysis.statistics import (
    beyond_margin_p,
    equivalence_p,
    one_sided_p,
    paired_difference,
    summarize,
    two_sided_p,
    win_probability,
)
from reports.analysis.verdicts import (
    LEAST_MARGIN,
    Finding,
    HypothesisRow,
    Side,
    Standing,
    decided,
)
from reports.results.frame import StudyResults
from reports.words import any_of, level_label
from studies.contrasts import confounded, declared_pairs
from studies.fairness import budget_difference
from studies.hypotheses import Hypothesis, LevelSets
from studies.metrics import FINAL_LOSS
from studies.records import Leak, Outcome
from studies.registration import Changes, Registration, changes_since, seeds_dropped
from studies.values import Scalar


@dataclass(frozen=True)
class HypothesisResults:
    """All hypotheses, those that were declared in advance first."""

    rows: tuple[HypothesisRow, ...]
    registration: Registration | None
    changes: Changes | None
    """Since the registration."""
    dropped_seeds: tuple[int, ...]
    """Registered, and no longer planned."""
    pairs: dict[str, str]
    """Label of the variant that a hypothesis compares with the baseline, cell against cell."""
    removed: dict[str, str]
    """Claim of each hypothesis that is registered and no longer in the file, by name."""
    confidence: float
    budgets: str | None
    """How budgets of variants differ, and why, if they do."""
    searching: bool
    """Whether a search has yet to choose for some variant."""
    outcomes: dict[Outcome, int]


def collect(results: StudyResults) -> HypothesisResults | None:
    """Every hypothesis that is declared, tested; None where there is none, nor ever was."""
    plan, registration = results.plan, results.registration
    intact = registration is not None and registration.is_intact
    registered = registration.hypotheses if registration and intact else {}
    if not plan.study.hypotheses and not registered and (intact or registration is None):
        return None
    changes = changes_since(registration, plan) if registration and intact else None
    rows = [
        _row(results, name, _standing(name, registration, changes), len(registered))
        for name in plan.contrasts
    ]
    if any(row.of.cells + row.against.cells > 2 for row in rows):
        analyses = effects.collect(results)
        rows = [replace(row, interactions=_interactions(row, results, analyses)) for row in rows]
    confidence = plan.study.report.confidence
    return HypothesisResults(
        rows=decided(rows, registered, confidence),
        registration=registration,
        changes=changes,
        dropped_seeds=seeds_dropped(registration, plan),
        pairs={pair.hypothesis: results.labels[pair.variant] for pair in declared_pairs(plan)},
        removed={name: registered[name].claim for name in (changes.removed if changes else ())},
        confidence=confidence,
        budgets=budget_difference(plan),
        searching=not plan.is_settled,
        outcomes=results.outcomes(),
    )


def _standing(name: str, registration: Registration | None, changes: Changes | None) -> Standing:
    if registration is None or changes is None:
        return Standing.UNREGISTERED
    if registration.after_first_runs:
        return Standing.LATE
    if name in changes.added:
        return Standing.ADDED
    return Standing.CHANGED if name in changes.changed else Standing.CONFIRMATORY


def _row(results: StudyResults, name: str, standing: Standing, family: int) -> HypothesisRow:
    plan = results.plan
    hypothesis, contrast = plan.study.hypotheses[name], plan.contrasts[name]
    seeds = _seeds(results, hypothesis, standing)
    both = (contrast.of, contrast.against)
    losses = pd.DataFrame({v: results.values(FINAL_LOSS, v) for side in both for v in side})
    incomparable = _incomparable(results, (*contrast.of, *contrast.against))
    complete = losses[losses.index.isin([] if incomparable else seeds)].dropna()
    of, against = (complete[list(side)].mean(axis=1) for side in both)
    confidence = plan.study.report.confidence
    difference = paired_difference(of, against, confidence)
    margin = hypothesis.margin
    if margin is None:
        margin = max(LEAST_MARGIN, summarize(against).sd) if len(against) > 1 else math.nan
    strictest = _strictest(hypothesis, confidence, family if standing.is_confirmatory else 1)
    detectable = smallest_detectable_difference(difference.sd, difference.n, strictest)
    row = HypothesisRow(
        name=name,
        hypothesis=hypothesis,
        standing=standing,
        of=_side(results, hypothesis.of, contrast.of, seeds),
        against=_side(results, hypothesis.against, contrast.against, seeds),
        seeds=seeds,
        confounded=tuple(confounded(plan, name)),
        margin=margin,
        difference=difference,
        equivalence=paired_difference(of, against, 2 * confidence - 1),
        win=win_probability(of - against, confidence),
        detectable=math.nan if hypothesis.direction == "equivalent" else detectable,
        p=math.nan,
        beyond_p=math.nan,
        finding=Finding.NO_PAIR,
    )
    obstacle = incomparable or _obstacle(results, row)
    if obstacle is not None:
        return replace(row, finding=obstacle)
    if hypothesis.direction == "equivalent":
        return replace(row, p=equivalence_p(difference, margin))
    return replace(row, p=_p(row), beyond_p=beyond_margin_p(difference, margin))


def _seeds(results: StudyResults, hypothesis: Hypothesis, standing: Standing) -> tuple[int, ...]:
    """The seeds that a hypothesis was planned for, whatever others there are by now.

    A test on more of them as they come would be a test that stops when it likes what it sees.
    """
    seeds = results.plan.study.seeds
    if standing.is_confirmatory and results.registration is not None:
        seeds = tuple(results.registration.parts["seeds"])
    return seeds[: hypothesis.seeds]


def _strictest(hypothesis: Hypothesis, confidence: float, family: int) -> float:
    """Two-sided confidence at which the hypothesis is tested where Holm puts it first.

    A one-sided p is half a two-sided one; and the two-sided interval has to exclude 0 all the same.
    """
    alone = hypothesis.direction == "different"
    first = first_holm_step(confidence, family)
    return first if alone else max(confidence, 1 - 2 * (1 - first))


def _side(
    results: StudyResults, levels: LevelSets, variants: tuple[str, ...], seeds: Sequence[int]
) -> Side:
    runs = results.runs
    found = runs[runs["variant"].isin(variants) & runs["seed"].isin(seeds)]
    choices = results.plan.choices
    return Side(
        levels=" · ".join(_levels_text(key, value) for key, value in levels.items()),
        cells=len(variants),
        outcomes={outcome: int((found["outcome"] == outcome).sum()) for outcome in Outcome},
        at_edge=tuple(results.labels[v] for v in variants if v in choices and choices[v].edges),
        leaking=tuple(results.labels[v] for v in variants if results.leaks[v] is Leak.IN_TRAINING),
        runs=tuple(found["run_key"]),
    )


def _interactions(
    row: HypothesisRow, results: StudyResults, analyses: effects.Effects | None
) -> tuple[str, ...]:
    """The interactions that leave the difference of a hypothesis a mean over unlike effects."""
    plan, contrast = results.plan, results.plan.contrasts[row.name]
    keys = dict.fromkeys(key for cell in plan.cells for key in cell.levels)
    levels = [
        {key: {plan.cell(v).levels.get(key) for v in side} for key in keys}
        for side in (contrast.of, contrast.against)
    ]
    compared = {key for key in keys if levels[0][key] != levels[1][key]}
    averaged = {key for key in keys if any(len(found[key]) > 1 for found in levels)}
    found = []
    for one in analyses.analyses if analyses else ():
        if one.is_secondary or one.at_edge:
            continue
        for term in one.interacting(1 - plan.study.report.confidence):
            of_term = [set(one.grid.factors[axis].keys) for axis in term.factors]
            if any(of & compared and other & averaged
                   for of, other in permutations(of_term, 2)):  # fmt: skip
                found.append(one.term_label(term))
    return tuple(dict.fromkeys(found))


def _levels_text(key: str, value: Scalar | tuple[Scalar, ...]) -> str:
    """The levels that match: "GEGLU or SwiGLU"."""
    levels = value if isinstance(value, tuple) else (value,)
    return any_of([level_label(key, "null" if v is None else v) for v in levels], "or")


def _incomparable(results: StudyResults, variants: tuple[str, ...]) -> Finding | None:
    """Why losses have no difference at all, if there is a reason."""
    if len(results.evaluation_sets(variants)) > 1:
        return Finding.DIFFERENT_TEXTS
    return Finding.LEAKY if Leak.LEAKY in [results.leaks[v] for v in variants] else None


def _obstacle(results: StudyResults, row: HypothesisRow) -> Finding | None:
    """Why there is no verdict on a difference, if there is a reason."""
    n = row.difference.n
    reasons = {
        Finding.SEARCHING: not results.plan.is_settled,
        Finding.SURVIVORS: row.of.given_up + row.against.given_up > 0,
        Finding.NO_PAIR: n == 0,
        Finding.ONE_PAIR: n == 1,
        Finding.TOO_FEW: n < len(row.seeds),
    }
    return next((finding for finding, holds in reasons.items() if holds), None)


def _p(row: HypothesisRow) -> float:
    """Of the test that 0 is the difference, on the side that was claimed."""
    direction = row.hypothesis.direction
    if direction == "different":
        return two_sided_p(row.difference)
    return one_sided_p(row.difference, above=direction == "higher")
