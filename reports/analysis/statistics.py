"""Statistics for few seeds: summaries, paired t intervals, exact intervals of proportions.

The unit is a finished run; two variants are compared seed by seed, since one seed means the same
data in the same order and the same start of the parameters that they share.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import stats

NAN = math.nan


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
    both = pd.concat([values, reference], axis=1, join="inner", keys=["values", "reference"])
    n, mean, sd, standard_error = summarize(both["values"] - both["reference"])
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
