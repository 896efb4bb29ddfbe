"""The declared hypotheses against the results: estimates, tests, and what they allow to say."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import Enum, StrEnum

import pandas as pd

from reports.frame import StudyResults
from reports.power import smallest_detectable_difference
from reports.statistics import (
    PairedDifference,
    equivalence_p,
    holm,
    one_sided_p,
    paired_difference,
    summarize,
    two_sided_p,
)
from reports.words import any_of, level_label
from studies.hypotheses import Hypothesis, LevelSets
from studies.metrics import FINAL_LOSS
from studies.records import Leak, Outcome
from studies.registration import Changes, Registration, changes_since
from studies.values import Scalar

LEAST_MARGIN = 0.01
"""Nats per token: the margin where none is declared and seeds spread by less."""


class Standing(StrEnum):
    """Whether a hypothesis was said in advance."""

    CONFIRMATORY = "confirmatory"
    CHANGED = "exploratory (changed after the first run)"
    ADDED = "exploratory (added after the first run)"
    LATE = "exploratory (registered after the first runs)"
    UNREGISTERED = "exploratory (not registered)"


class Finding(Enum):
    """What a hypothesis came to, the reasons against any verdict first."""

    SEARCHING = "the search has not chosen for all variants"
    DIVERGED = "runs diverged"
    LEAKY = "an evaluation leaks"
    DIFFERENT_TEXTS = "losses are on different tokens"
    NO_PAIR = "no seed has all runs"
    ONE_PAIR = "one seed has all runs"
    TOO_FEW = "fewer seeds than planned have all runs"
    NO_DIFFERENCE = "the interval includes 0"
    AGAINST_CLAIM = "the interval lies on the other side of 0"
    NOT_SIGNIFICANT = "the interval excludes 0, the adjusted p does not reach the level"
    UNCONFIRMED = "as expected, but exploratory"
    AS_CLAIMED = "as expected"
    BEYOND_MARGIN = "as expected, and the interval lies beyond the margin"
    EQUIVALENT = "equivalent within the margin"
    NOT_EQUIVALENT = "equivalence not shown"


@dataclass(frozen=True)
class Side:
    """One of the two sets of cells that are compared."""

    levels: str
    """What its cells have in common: "GEGLU or SwiGLU · LayerNorm"."""
    cells: int
    outcomes: dict[Outcome, int]
    """Of all runs of these cells."""


@dataclass(frozen=True)
class HypothesisRow:
    """What is known about one hypothesis."""

    name: str
    hypothesis: Hypothesis
    standing: Standing
    of: Side
    against: Side
    planned: int
    """Seeds that it needs."""
    margin: float
    """As declared, or else decided by the data; NaN while they do not say."""
    difference: PairedDifference
    """Mean of `of` minus mean of `against`, over the seeds that completed in all cells of both."""
    equivalence: PairedDifference
    """The same with the interval that two one-sided tests go by."""
    detectable: float
    """Smallest difference that these seeds could have shown (80 % power)."""
    p: float
    """NaN where there is no verdict."""
    finding: Finding
    adjusted_p: float = math.nan
    """By Holm over the registered hypotheses; NaN for one that is not confirmatory."""


@dataclass(frozen=True)
class HypothesisResults:
    """All hypotheses, those that were declared in advance first."""

    rows: tuple[HypothesisRow, ...]
    registration: Registration | None
    changes: Changes | None
    """Since the registration."""
    removed: dict[str, str]
    """Claim of each hypothesis that is registered and no longer in the file, by name."""
    confidence: float
    outcomes: dict[Outcome, int]


def collect(results: StudyResults) -> HypothesisResults | None:
    """Every hypothesis that is declared, tested; None where there is none, nor ever was."""
    plan, registration = results.plan, results.registration
    registered = registration.hypotheses if registration else {}
    if not plan.study.hypotheses and not registered:
        return None
    changes = changes_since(registration, plan) if registration else None
    rows = [_row(results, name, _standing(name, registration, changes)) for name in plan.contrasts]
    confidence = plan.study.report.confidence
    return HypothesisResults(
        rows=_decided(rows, registered, confidence),
        registration=registration,
        changes=changes,
        removed={name: registered[name].claim for name in (changes.removed if changes else ())},
        confidence=confidence,
        outcomes=results.outcomes(),
    )


def _standing(name: str, registration: Registration | None, changes: Changes | None) -> Standing:
    if registration is None or changes is None or not registration.is_intact:
        return Standing.UNREGISTERED
    if registration.after_first_runs:
        return Standing.LATE
    if name in changes.added:
        return Standing.ADDED
    return Standing.CHANGED if name in changes.changed else Standing.CONFIRMATORY


def _row(results: StudyResults, name: str, standing: Standing) -> HypothesisRow:
    plan = results.plan
    hypothesis, contrast = plan.study.hypotheses[name], plan.contrasts[name]
    both = (contrast.of, contrast.against)
    losses = pd.DataFrame({v: results.values(FINAL_LOSS, v) for side in both for v in side})
    complete = losses.dropna()
    of, against = (complete[list(side)].mean(axis=1) for side in both)
    confidence = plan.study.report.confidence
    difference = paired_difference(of, against, confidence)
    margin = hypothesis.margin
    if margin is None:
        margin = max(LEAST_MARGIN, summarize(against).sd) if len(against) > 1 else math.nan
    row = HypothesisRow(
        name=name,
        hypothesis=hypothesis,
        standing=standing,
        of=_side(results, hypothesis.of, contrast.of),
        against=_side(results, hypothesis.against, contrast.against),
        planned=hypothesis.seeds or _seeds(results, standing),
        margin=margin,
        difference=difference,
        equivalence=paired_difference(of, against, 2 * confidence - 1),
        detectable=smallest_detectable_difference(difference.sd, difference.n, confidence),
        p=math.nan,
        finding=Finding.NO_PAIR,
    )
    obstacle = _obstacle(results, row, (*contrast.of, *contrast.against))
    if obstacle is not None:
        return replace(row, finding=obstacle)
    return replace(row, p=_p(row))


def _seeds(results: StudyResults, standing: Standing) -> int:
    """Seeds of the study; as registered, for a hypothesis that was declared for all of them."""
    if standing is Standing.CONFIRMATORY and results.registration is not None:
        return len(results.registration.parts["seeds"])
    return len(results.plan.study.seeds)


def _side(results: StudyResults, levels: LevelSets, variants: tuple[str, ...]) -> Side:
    counts = [results.outcomes(variant) for variant in variants]
    shared = " · ".join(_levels_text(key, value) for key, value in levels.items())
    outcomes = {outcome: sum(count[outcome] for count in counts) for outcome in Outcome}
    return Side(shared, len(variants), outcomes)


def _levels_text(key: str, value: Scalar | tuple[Scalar, ...]) -> str:
    """The levels that match: "GEGLU or SwiGLU"."""
    levels = value if isinstance(value, tuple) else (value,)
    return any_of([level_label(key, "null" if v is None else v) for v in levels], "or")


def _obstacle(
    results: StudyResults, row: HypothesisRow, variants: tuple[str, ...]
) -> Finding | None:
    """Why there is no verdict, if there is a reason."""
    texts = {
        record.facts.get("validation_digest")
        for record in results.records.values()
        if record.variant in variants and record.facts
    }
    n = row.difference.n
    reasons = {
        Finding.SEARCHING: not results.plan.is_settled,
        Finding.DIVERGED: any(s.outcomes[Outcome.DIVERGED] for s in (row.of, row.against)),
        Finding.LEAKY: any(results.leaks[variant] is Leak.LEAKY for variant in variants),
        Finding.DIFFERENT_TEXTS: len(texts) > 1,
        Finding.NO_PAIR: n == 0,
        Finding.ONE_PAIR: n == 1,
        Finding.TOO_FEW: n < row.planned,
    }
    return next((finding for finding, holds in reasons.items() if holds), None)


def _p(row: HypothesisRow) -> float:
    direction = row.hypothesis.direction
    if direction == "equivalent":
        return equivalence_p(row.difference, row.margin)
    if direction == "different":
        return two_sided_p(row.difference)
    return one_sided_p(row.difference, above=direction == "higher")


def _decided(
    rows: list[HypothesisRow], registered: Mapping[str, Hypothesis], confidence: float
) -> tuple[HypothesisRow, ...]:
    """The rows with adjusted p and finding, confirmatory ones first.

    The family is what was registered: dropping a hypothesis later makes no other one's p smaller.
    One without a p counts as 1.
    """
    tested = {row.name: row.p for row in rows if row.standing is Standing.CONFIRMATORY}
    family = [tested.get(name, math.nan) for name in registered]
    adjusted = dict(zip(registered, holm([1.0 if p != p else p for p in family]), strict=True))
    found = []
    for row in rows:
        if math.isfinite(row.p):
            if row.standing is Standing.CONFIRMATORY:
                row = replace(row, adjusted_p=adjusted[row.name])
            row = replace(row, finding=_finding(row, confidence))
        found.append(row)
    return tuple(sorted(found, key=lambda row: row.standing is not Standing.CONFIRMATORY))


def _finding(row: HypothesisRow, confidence: float) -> Finding:
    alpha, direction = 1 - confidence, row.hypothesis.direction
    is_confirmatory = row.standing is Standing.CONFIRMATORY
    reached = (row.adjusted_p if is_confirmatory else row.p) <= alpha
    if direction == "equivalent":
        if not reached:
            return Finding.NOT_EQUIVALENT
        return Finding.EQUIVALENT if is_confirmatory else Finding.UNCONFIRMED
    if row.difference.includes_zero:
        return Finding.NO_DIFFERENCE
    is_lower = row.difference.high < 0
    if direction == ("higher" if is_lower else "lower"):
        return Finding.AGAINST_CLAIM
    if not is_confirmatory:
        return Finding.UNCONFIRMED
    if not reached:
        return Finding.NOT_SIGNIFICANT
    nearest = -row.difference.high if is_lower else row.difference.low
    return Finding.BEYOND_MARGIN if nearest > row.margin else Finding.AS_CLAIMED
