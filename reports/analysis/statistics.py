"""Statistics for few seeds: summaries, paired t intervals, exact tests and proportions, Holm.

The unit is a finished run; two variants are compared seed by seed, since one seed means the same
data in the same order and the same start of the parameters that they share.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

NAN = math.nan
DIGITS = 12
"""Decimals of a difference of losses that mean something."""
LEAST_FLIPS = 6
"""Pairs from which on an exact paired test can go below 0.05."""
MOST_FLIPS = 20
"""Pairs up to which all flips of signs are counted; of more, `DRAWN_FLIPS` are drawn."""
DRAWN_FLIPS = 100_000
MOST_ORDERED = 7
"""Pairs up to which every order is counted for a correlation of ranks: 7 have 5,040."""
_ROUNDING = 1e-10
"""Share of the greatest sum of differences by which sums are the same but for rounding."""


class Summary(NamedTuple):
    """Mean and spread over seeds; with one value there is no spread, with none nothing."""

    n: int
    mean: float
    sd: float
    """Standard deviation with n - 1."""
    standard_error: float


class PairedDifference(NamedTuple):
    """Mean of the differences by seed, with a two-sided t interval (n - 1 degrees of freedom)."""

    n: int
    """Seeds that both variants finished."""
    mean: float
    sd: float
    low: float
    high: float

    @property
    def includes_zero(self) -> bool:
        """Whether no difference was detected; False where there is no interval."""
        return self.low <= 0 <= self.high


class Interval(NamedTuple):
    """An estimate with its interval."""

    estimate: float
    low: float
    high: float


def summarize(values: Sequence[float] | pd.Series[float]) -> Summary:
    """Mean, SD and standard error of the mean."""
    array = np.asarray(values, dtype=float)
    n = len(array)
    mean = float(array.mean()) if n else NAN
    sd = float(array.std(ddof=1)) if n > 1 else NAN
    return Summary(n, mean, sd, sd / math.sqrt(n) if n > 1 else NAN)


def paired_difference(
    values: pd.Series[float], reference: pd.Series[float], confidence: float
) -> PairedDifference:
    """Difference `values - reference` over the seeds that both have.

    Args:
        values: by seed.
        reference: by seed.
        confidence: level of the interval, in (0, 1).
    """
    # What rounding leaves of equal losses is no spread.
    n, mean, sd, standard_error = summarize((values - reference).dropna().round(DIGITS))
    half = t_quantile(n, confidence) * standard_error
    return PairedDifference(n, mean, sd, mean - half, mean + half)


def t_quantile(n: int, confidence: float) -> float:
    """Two-sided t quantile for n values; NaN for n < 2."""
    return float(stats.t.ppf((1 + confidence) / 2, n - 1)) if n > 1 else NAN


def proportion_interval(successes: int, trials: int, confidence: float) -> Interval:
    """Exact interval of a proportion. Source: Clopper & Pearson 1934."""
    if trials == 0:
        return Interval(NAN, 0.0, 1.0)
    tail = (1 - confidence) / 2
    low = stats.beta.ppf(tail, successes, trials - successes + 1) if successes else 0.0
    high = (
        stats.beta.ppf(1 - tail, successes + 1, trials - successes) if successes < trials else 1.0
    )
    return Interval(successes / trials, float(low), float(high))


def win_probability(differences: Sequence[float] | pd.Series[float], confidence: float) -> Interval:
    """P(A > B): share of pairs in which A has the lower loss, with an exact interval.

    A tie counts half in the estimate. The interval is of Clopper and Pearson, with ties as losses
    for its lower end and as wins for its upper one: whichever way they would have gone, it holds.

    Args:
        differences: loss of A minus loss of B, by seed.
        confidence: level of the interval, in (0, 1).

    Source: Bouthillier et al. 2021, Accounting for Variance in Machine Learning Benchmarks.
    """
    array = np.asarray(differences, dtype=float)
    n, wins, ties = len(array), int((array < 0).sum()), int((array == 0).sum())
    if not n:
        return Interval(NAN, 0.0, 1.0)
    low = proportion_interval(wins, n, confidence).low
    high = proportion_interval(wins + ties, n, confidence).high
    return Interval((wins + ties / 2) / n, low, high)


def least_flip_p(n: int) -> float:
    """Least two-sided p that flips of n signs can give, 2^(1 - n)."""
    return float(2.0 ** (1 - n))


def sign_flip_p(
    differences: Sequence[float] | pd.Series[float], random: np.random.Generator
) -> float:
    """Two-sided p of the paired sign-flip test: no assumption but differences symmetric about 0.

    It is the share of the 2^n ways to give the differences signs whose sum is as far from 0 as that
    observed. Up to `MOST_FLIPS` pairs all ways are counted. Beyond, `DRAWN_FLIPS` are drawn, and
    the observed one is counted with them, so that p is never 0.

    Args:
        differences: by seed.
        random: draws the signs, where they are drawn.

    Returns:
        p; NaN for fewer than `LEAST_FLIPS` pairs, which cannot give one below 0.05.

    Sources: Fisher 1935, The Design of Experiments, section 21; for drawn signs Phipson & Smyth
    2010.
    """
    array = np.asarray(differences, dtype=float)
    if len(array) < LEAST_FLIPS:
        return NAN
    bound = abs(array.sum()) - _ROUNDING * np.abs(array).sum()
    if len(array) > MOST_FLIPS:
        signs = random.integers(0, 2, (DRAWN_FLIPS, len(array)), dtype=np.int8) * 2 - 1
        found = int((np.abs(signs @ array) >= bound).sum())
        return (found + 1) / (DRAWN_FLIPS + 1)
    sums = array[:1]  # the other half of the flips are these with the signs turned round
    for difference in array[1:]:
        sums = np.concatenate([sums + difference, sums - difference])
    return float((np.abs(sums) >= bound).mean())


class NoiseFloor(NamedTuple):
    """What two means of one variant differ by, when nothing but the seeds changes."""

    n: int
    """Seeds behind each mean."""
    variants: int
    """Variants that the spread is pooled over."""
    sd: float
    """Within a variant, over seeds: the root of the mean of the variances."""
    freedom: float
    """Effective degrees of freedom of `sd`."""
    half_width: float
    """Bound on the difference of the two means, at the level that was asked for."""


def noise_floor(losses: pd.DataFrame, confidence: float) -> NoiseFloor:
    """Half-width t s sqrt(2 / n) of the interval of a difference between two means of one variant.

    Each mean is over n seeds, and the two share none. s² is the mean over variants of the variance
    over seeds. Losses of one seed go up and down together in all variants, so that k variants tell
    less about s than k (n - 1) degrees of freedom would say. Their number is Box's,
    (n - 1) tr(S)² / tr(S²), with S the covariance of the variants over seeds: n - 1 where all move
    as one, and never more than k (n - 1).

    Args:
        losses: a row per seed and a column per variant, without gaps.
        confidence: level of the interval, in (0, 1).

    Returns:
        The floor; all numbers NaN for fewer than 2 seeds.

    Source: Box 1954, Some theorems on quadratic forms I, theorem 3.1.
    """
    n, variants = losses.shape
    if n < 2 or not variants:
        return NoiseFloor(n, variants, NAN, NAN, NAN)
    covariance = np.atleast_2d(np.cov(losses.to_numpy(dtype=float), rowvar=False))
    trace, squares = float(np.trace(covariance)), float((covariance**2).sum())
    sd = math.sqrt(trace / variants)
    freedom = (n - 1) * trace**2 / squares if squares else float(n - 1)
    half = float(stats.t.ppf((1 + confidence) / 2, freedom)) * sd * math.sqrt(2 / n)
    return NoiseFloor(n, variants, sd, freedom, half)


def one_sided_p(difference: PairedDifference, null: float = 0.0, *, above: bool = False) -> float:
    """The p of a paired t test that the mean is below (or above) a null value; NaN for n < 2."""
    t = _t_statistic(difference, null)
    return float(stats.t.sf(t if above else -t, difference.n - 1))


def two_sided_p(difference: PairedDifference) -> float:
    """The p of a paired t test that the mean is not 0; NaN for n < 2."""
    return float(2 * stats.t.sf(abs(_t_statistic(difference, 0.0)), difference.n - 1))


def equivalence_p(difference: PairedDifference, margin: float) -> float:
    """The p of a paired test that the mean lies within ±margin; NaN for n < 2.

    It is the larger p of two one-sided tests, and is below alpha where the interval of level
    1 - 2 alpha lies within the margin.

    Source: Schuirmann 1987.
    """
    is_above_low = one_sided_p(difference, -margin, above=True)
    return max(is_above_low, one_sided_p(difference, margin))


def beyond_margin_p(difference: PairedDifference, margin: float) -> float:
    """Two-sided p of a paired t test that the mean is just the margin, on its side of 0.

    It is small where the mean lies beyond ±margin by more than chance; NaN for n < 2.
    """
    is_above = difference.mean > 0
    p = 2 * one_sided_p(difference, margin if is_above else -margin, above=is_above)
    return NAN if math.isnan(p) else min(1.0, p)


def is_sure_win(difference: PairedDifference, win: Interval) -> bool:
    """Whether the interval of P(win) lies beyond one half, on the side that the mean is on."""
    return win.low > 0.5 if difference.mean < 0 else win.high < 0.5


def _t_statistic(difference: PairedDifference, null: float) -> float:
    """Distance of the mean from a null value in standard errors."""
    if difference.n < 2:
        return NAN
    distance, standard_error = difference.mean - null, difference.sd / math.sqrt(difference.n)
    if standard_error:
        return distance / standard_error
    return math.copysign(math.inf, distance) if distance else 0.0


def holm(p_values: Sequence[float]) -> list[float]:
    """The p values, adjusted for their number: each at most alpha where Holm's test rejects.

    Source: Holm 1979.
    """
    adjusted = [NAN] * len(p_values)
    largest = 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = largest
    return adjusted


class RankCorrelation(NamedTuple):
    """Spearman's rho, and its two-sided p."""

    rho: float
    p: float


def spearman(pairs: NDArray[np.float64]) -> RankCorrelation | None:
    """Correlation of the ranks of two columns (n, 2), with the p over all orders of few.

    None where a column is constant. Source: Spearman 1904.
    """
    if any(len(set(column)) < 2 for column in pairs.T):
        return None
    first, second = pairs.T
    found = stats.spearmanr(first, second)
    if len(pairs) > MOST_ORDERED:
        return RankCorrelation(float(found.statistic), float(found.pvalue))

    def statistic(order: NDArray[np.float64]) -> float:
        return float(stats.spearmanr(order, second).statistic)

    exact = stats.permutation_test(
        (first,), statistic, permutation_type="pairings", n_resamples=math.inf
    )
    return RankCorrelation(float(found.statistic), float(exact.pvalue))
