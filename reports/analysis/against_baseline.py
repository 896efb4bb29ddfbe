"""Each variant against the baseline: difference, tests over all comparisons, and what they allow.

The comparisons are one family: p is adjusted by Holm over all of them, and one that has no p, for
it is not ranked or waits for seeds, counts as 1. So a family never grows as runs come in.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import Enum

import numpy as np
import pandas as pd

from reports.analysis.power import first_holm_step, smallest_detectable_difference
from reports.analysis.statistics import (
    Interval,
    PairedDifference,
    beyond_margin_p,
    equivalence_p,
    holm,
    is_sure_win,
    paired_difference,
    sign_flip_p,
    summarize,
    two_sided_p,
    win_probability,
)
from reports.analysis.verdicts import LEAST_MARGIN

LEAST_EQUIVALENT = 5
"""Seeds from which on variants may be called equivalent: the margin is an SD over them."""


class Reading(Enum):
    """What the numbers of a comparison allow to say, the reasons against any verdict first."""

    UNRANKED = "one of the two is not ranked"
    DIFFERENT_TEXTS = "the losses are on different evaluation sets"
    LEAKY = "later tokens leak into an evaluation"
    SEARCHING = "the search has not chosen for all variants"
    NO_PAIR = "no seed has both runs"
    TOO_FEW = "planned seeds are missing"
    ONE_RUN = "there is one seed, and no interval"
    NO_DIFFERENCE = "the interval includes 0"
    NOT_SIGNIFICANT = "the interval excludes 0, the adjusted p does not reach the level"
    AT_EDGE = "a search ended at its edge: what is higher might be lower beyond it"
    EQUIVALENT = "no difference, and two one-sided tests put it within the margin"
    LOWER = "the adjusted p reaches the level"
    HIGHER = "the adjusted p reaches the level, on the other side"
    BETTER = "lower by more than the margin, and in more than half of the seeds"
    WORSE = "higher by more than the margin, and in more than half of the seeds"

    @property
    def is_significant(self) -> bool:
        """Whether it says that there is a difference."""
        return self in (Reading.LOWER, Reading.HIGHER, Reading.BETTER, Reading.WORSE)


UNTESTED = (
    Reading.UNRANKED,
    Reading.DIFFERENT_TEXTS,
    Reading.LEAKY,
    Reading.SEARCHING,
    Reading.NO_PAIR,
    Reading.TOO_FEW,
    Reading.ONE_RUN,
)
"""Readings of comparisons that have no p."""


@dataclass(frozen=True)
class BaselineTest:
    """A variant against the baseline, paired by seed; differences are variant minus baseline."""

    difference: PairedDifference
    """Its interval is not corrected for the number of comparisons."""
    win: Interval
    """Share of seeds in which the variant has the lower loss."""
    detectable: float
    """Smallest true difference that the seeds could have shown (80 % power), in the first step of
    Holm's procedure."""
    margin: float
    """Difference that is worth a word: the larger of 0.01 nats per token and the baseline's SD over
    seeds. NaN while the baseline has no SD."""
    seeds: int
    """Planned."""
    edges: tuple[bool, bool]
    """Whether the search of the variant, and that of the baseline, ended at an edge."""
    reading: Reading
    flip_p: float
    """By sign flips; not adjusted. NaN for few seeds, and where there is no test."""
    p: float
    """Two-sided, of the paired t test; NaN where there is no test."""
    equivalence_p: float
    """Of two one-sided t tests that the difference lies within the margin."""
    beyond_p: float
    """Two-sided, of the paired t test that the difference is just the margin, on its side of 0."""
    adjusted_p: float = math.nan
    """`p`, by Holm over all comparisons with the baseline."""
    adjusted_beyond_p: float = math.nan
    """`beyond_p`, the same way."""
    adjusted_equivalence_p: float = math.nan
    """`equivalence_p`, the same way."""
    is_within: bool = False
    """Whether it is significantly within the margin, at enough seeds to say so."""


def against_baseline(
    values: pd.Series[float],
    baseline: pd.Series[float],
    *,
    confidence: float,
    comparisons: int,
    seeds: int,
    edges: tuple[bool, bool],
    obstacle: Reading | None,
) -> BaselineTest:
    """Difference, P(win) and unadjusted p of a variant.

    Args:
        values: final loss of the variant, by seed.
        baseline: final loss of the baseline, by seed.
        confidence: of intervals; 1 - alpha of tests.
        comparisons: planned, with this baseline.
        seeds: planned.
        edges: as of `BaselineTest`.
        obstacle: why there is no verdict, if it is not for want of seeds. Losses on different
            evaluation sets, and those that a leak lowers, have no difference either.
    """
    if obstacle in (Reading.DIFFERENT_TEXTS, Reading.LEAKY):
        values = values.iloc[:0]
    difference = paired_difference(values, baseline, confidence)
    by_seed = (values - baseline).dropna()
    strictest = first_holm_step(confidence, comparisons)
    margin = max(LEAST_MARGIN, summarize(baseline).sd) if len(baseline) > 1 else math.nan
    reading = obstacle or _shortage(difference.n, seeds)
    tested = reading is None
    return BaselineTest(
        difference=difference,
        win=win_probability(by_seed, confidence),
        detectable=smallest_detectable_difference(difference.sd, difference.n, strictest),
        margin=margin,
        seeds=seeds,
        edges=edges,
        reading=reading or Reading.NO_DIFFERENCE,
        flip_p=sign_flip_p(by_seed, np.random.default_rng(0)) if tested else math.nan,
        p=two_sided_p(difference) if tested else math.nan,
        equivalence_p=equivalence_p(difference, margin) if tested else math.nan,
        beyond_p=beyond_margin_p(difference, margin) if tested else math.nan,
    )


def _shortage(pairs: int, seeds: int) -> Reading | None:
    """What is missing for a test; one while seeds run would stop when it likes what it sees."""
    if pairs == 0:
        return Reading.NO_PAIR
    if pairs < seeds:
        return Reading.TOO_FEW
    return Reading.ONE_RUN if pairs < 2 else None


def with_readings(tests: Mapping[str, BaselineTest], confidence: float) -> dict[str, BaselineTest]:
    """The tests of all planned comparisons with adjusted p and reading, by variant."""
    adjusted = _adjusted([test.p for test in tests.values()])
    equivalence = _adjusted([test.equivalence_p for test in tests.values()])
    beyond = _adjusted([test.beyond_p for test in tests.values()])
    alpha, found = 1 - confidence, {}
    for (variant, test), *p in zip(tests.items(), adjusted, equivalence, beyond, strict=True):
        within = p[1] <= alpha and test.difference.n >= LEAST_EQUIVALENT
        test = replace(
            test, adjusted_p=p[0], adjusted_equivalence_p=p[1], adjusted_beyond_p=p[2],
            is_within=within,
        )  # fmt: skip
        known = test.reading in UNTESTED
        found[variant] = test if known else replace(test, reading=_reading(test, alpha))
    return found


def _adjusted(p_values: list[float]) -> list[float]:
    """By Holm, where what has no p counts as 1 and still has none."""
    family = holm([1.0 if math.isnan(p) else p for p in p_values])
    return [math.nan if math.isnan(p) else a for p, a in zip(p_values, family, strict=True)]


def _reading(test: BaselineTest, alpha: float) -> Reading:
    """Of a comparison that was tested."""
    difference, win, (at_edge, baseline_at_edge) = test.difference, test.win, test.edges
    if difference.includes_zero:
        if not test.is_within:
            return Reading.NO_DIFFERENCE
        return Reading.AT_EDGE if at_edge or baseline_at_edge else Reading.EQUIVALENT
    if test.adjusted_p > alpha:
        return Reading.NOT_SIGNIFICANT
    is_clear = test.adjusted_beyond_p <= alpha and is_sure_win(difference, win)
    if difference.high < 0:
        found = Reading.BETTER if is_clear else Reading.LOWER
        return Reading.AT_EDGE if baseline_at_edge else found
    found = Reading.WORSE if is_clear else Reading.HIGHER
    return Reading.AT_EDGE if at_edge else found
