"""Final loss of every variant against every other: seeds, summaries, and all paired differences."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum
from itertools import combinations
from typing import NamedTuple

import numpy as np
import pandas as pd

from reports.analysis.ranking import ranked_variants
from reports.analysis.statistics import (
    NoiseFloor,
    PairedDifference,
    holm,
    noise_floor,
    paired_difference,
    summarize,
    t_quantile,
    two_sided_p,
)
from reports.figures.style import RowGroup, VariantStyle, layout_of, row_groups
from reports.results.frame import StudyResults
from reports.words import EDGE_MARK, LEAK_MARKS
from studies.metrics import FINAL_LOSS
from studies.plan import Plan
from studies.records import Leak, Outcome

MOST_VARIANTS = 40
"""A matrix of more cannot be read."""


class Untested(Enum):
    """Why a pair has no p, the first that applies."""

    INCOMPARABLE = "not comparable"
    SEARCHING = "while a search goes on"
    SHORT = "with planned seeds missing"
    ONE_SEED = "of one seed"
    AT_EDGE = "whose higher side ended its search at an edge"


class VariantMean(NamedTuple):
    """Final loss of a variant over its completed runs."""

    variant: str
    label: str
    leak: Leak | None
    n: int
    mean: float
    low: float
    """Of the t interval of the mean, NaN with fewer than 2 seeds."""
    high: float
    ranked: bool
    at_edge: bool
    """Whether its search chose a value at the edge of what was tried."""

    @property
    def marks(self) -> str:
        """What stands behind its label: the marks of a leak and of a choice at an edge."""
        return LEAK_MARKS[self.leak] + EDGE_MARK * self.at_edge


@dataclass(frozen=True)
class FinalLosses:
    """What the two figures of the final loss are drawn from."""

    runs: pd.DataFrame
    """One row per planned run: variant, label, seed, run_key, outcome, loss (NaN if not
    completed)."""
    means: dict[str, VariantMean]
    """By variant, in the order of the plan."""
    pairs: pd.DataFrame
    """One row per pair of variants, the earlier of the plan as `row`: row, column, n, mean (of row
    minus column, paired by seed), low, high, p, holm_p (over all pairs), comparable, untested (an
    `Untested` in words, empty where there is a p). Empty where there is no pair, or more than
    `MOST_VARIANTS` variants."""
    groups: tuple[RowGroup, ...]
    styles: dict[str, VariantStyle]
    baseline: str
    noise: NoiseFloor
    confidence: float
    seeds: int
    outcomes: dict[Outcome, int]
    evaluation_sets: int
    """Distinct sets that the losses were measured on; of several, none compares with another."""
    searching: bool
    """Whether a search may ask for more runs."""

    @property
    def partial(self) -> bool:
        """Whether more runs may come."""
        open_ = self.outcomes[Outcome.MISSING] + self.outcomes[Outcome.FAILED]
        return self.searching or open_ > 0

    @property
    def significant(self) -> pd.DataFrame:
        """The pairs whose p, adjusted by Holm over all of them, reaches the level."""
        return self.pairs[self.pairs["holm_p"] <= 1 - self.confidence]


def collect(results: StudyResults) -> FinalLosses | None:
    """Final losses of the compared runs; None while there is none."""
    plan = results.plan
    confidence = plan.study.report.confidence
    ranked = ranked_variants(results)
    if all(results.values(FINAL_LOSS, variant).empty for variant in results.variants):
        return None
    whole = pd.DataFrame({v: results.values(FINAL_LOSS, v) for v in ranked}).dropna()
    return FinalLosses(
        runs=_runs(results),
        means={v: _mean(results, v, v in ranked) for v in results.variants},
        pairs=_pairs(results, ranked),
        groups=row_groups(results),
        styles=layout_of(results).styles,
        baseline=plan.baseline,
        noise=noise_floor(whole, confidence),
        confidence=confidence,
        seeds=len(plan.study.seeds),
        outcomes=results.outcomes(),
        evaluation_sets=len(results.evaluation_sets(results.variants)),
        searching=not plan.is_settled,
    )


def _runs(results: StudyResults) -> pd.DataFrame:
    runs = results.runs[["variant", "seed", "run_key", "outcome"]].copy()
    runs.insert(1, "label", runs["variant"].map(results.labels))
    known = results.runs["outcome"] == Outcome.COMPLETED
    runs["loss"] = results.runs[FINAL_LOSS].astype(float).where(known)
    return runs


def _mean(results: StudyResults, variant: str, ranked: bool) -> VariantMean:
    found = summarize(results.values(FINAL_LOSS, variant))
    half = t_quantile(found.n, results.plan.study.report.confidence) * found.standard_error
    return VariantMean(
        variant,
        results.labels[variant],
        results.leaks[variant],
        found.n,
        found.mean,
        found.mean - half,
        found.mean + half,
        ranked,
        variant in results.plan.at_edge,
    )


def _pairs(results: StudyResults, ranked: tuple[str, ...]) -> pd.DataFrame:
    """Every pair once; p is given for those of ranked variants that have all planned seeds.

    None where the higher one's search ended at an edge: beyond it, it might be the lower.
    """
    columns = [
        "row", "column", "n", "mean", "low", "high", "p", "holm_p", "comparable", "untested",
    ]  # fmt: skip
    if not 1 < len(results.variants) <= MOST_VARIANTS:
        return pd.DataFrame(columns=columns)
    confidence = results.plan.study.report.confidence
    values = {v: results.values(FINAL_LOSS, v) for v in results.variants}
    rows = []
    for row, column in combinations(results.variants, 2):
        found = paired_difference(values[row], values[column], confidence)
        comparable = row in ranked and column in ranked and found.n > 0
        why = _untested(results.plan, found, column if found.mean < 0 else row)
        untested = why if comparable else Untested.INCOMPARABLE
        p = math.nan if untested else two_sided_p(found)
        known = (found.mean, found.low, found.high, p) if comparable else (math.nan,) * 4
        reason = untested.value if untested else ""
        rows.append((row, column, found.n, *known, math.nan, comparable, reason))
    pairs = pd.DataFrame(rows, columns=columns)
    family = holm(pairs["p"].fillna(1.0).tolist())
    return pairs.assign(holm_p=np.where(pairs["p"].isna(), math.nan, family))


def _untested(plan: Plan, found: PairedDifference, higher: str) -> Untested | None:
    """What stands against a test of two ranked variants."""
    if not plan.is_settled:
        return Untested.SEARCHING
    if found.n < len(plan.study.seeds):
        return Untested.SHORT
    if found.n < 2:
        return Untested.ONE_SEED
    return Untested.AT_EDGE if higher in plan.at_edge else None
