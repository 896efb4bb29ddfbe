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
