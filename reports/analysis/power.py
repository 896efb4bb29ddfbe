"""What a paired t test can find with a number of seeds, and how many it needs.

It needs numpy and `scipy.special` alone, which are there in a moment: plans say it at once.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from scipy import special

POWER = 0.8
"""Probability to find a difference, where nobody says another."""
MOST_SEEDS = 1000

_DEVIATES = np.linspace(-9.0, 9.0, 4001)
"""Where the standard normal density is summed."""
_WEIGHTS = np.exp(-(_DEVIATES**2) / 2) * (_DEVIATES[1] - _DEVIATES[0]) / math.sqrt(2 * math.pi)
_HALVINGS = 40


def power_of_paired_test(difference: float, n: int, confidence: float) -> float:
    """Probability that a two-sided paired t test finds a true mean difference.

    |t| is above its critical value c where the variance of the sample is below a bound that depends
    on its mean. Mean and variance are independent, so with d the difference, Z standard normal and
    f = n - 1 it is the mean over Z of P(chi²_f < f (Z + d √n)² / c²): a smooth sum, exact for few
    seeds and strict levels too, where the non-central t distribution is not to be had.

    Args:
        difference: in standard deviations of the paired difference.
        n: number of pairs, at least 2.
        confidence: 1 - alpha of the test.
    """
    freedom = n - 1
    critical = float(special.stdtrit(freedom, (1 - confidence) / 2))
    bounds = freedom * ((_DEVIATES + difference * math.sqrt(n)) / critical) ** 2
    return float(special.gammainc(freedom / 2, bounds / 2) @ _WEIGHTS)


def smallest_detectable_difference(
    sd: float, n: int, confidence: float, power: float = POWER
) -> float:
    """Smallest true mean difference that a paired t test finds with the given power.

    Args:
        sd: of the differences by seed.
        n: number of pairs.
        confidence: 1 - alpha of the two-sided test.
        power: probability to detect the difference.

    Returns:
        The difference; NaN for n < 2, where there is no test.
    """
    if n < 2 or not math.isfinite(sd):
        return math.nan
    return sd * _detectable_in_sds(n, confidence, power)


@lru_cache(maxsize=256)
def _detectable_in_sds(n: int, confidence: float, power: float) -> float:
    """The same in standard deviations; every variant of a study asks for one of a few."""
    low, high = 0.0, 1.0
    while power_of_paired_test(high, n, confidence) < power:
        low, high = high, 2 * high
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        if power_of_paired_test(middle, n, confidence) < power:
            low = middle
        else:
            high = middle
    return high


def seeds_needed(difference: float, confidence: float, power: float = POWER) -> int | None:
    """Least number of paired seeds that find a difference with the given power.

    Args:
        difference: in standard deviations of the paired difference, above 0.
        confidence: 1 - alpha of the two-sided test.
        power: probability to detect the difference.

    Returns:
        At least 2; None where even `MOST_SEEDS` are too few.
    """
    low, high = 1, MOST_SEEDS
    if power_of_paired_test(difference, high, confidence) < power:
        return None
    while high - low > 1:
        middle = (low + high) // 2
        if power_of_paired_test(difference, middle, confidence) < power:
            low = middle
        else:
            high = middle
    return high


def first_holm_step(confidence: float, comparisons: int) -> float:
    """Confidence at which Holm's procedure tests the smallest p of several comparisons.

    Source: Holm 1979.
    """
    return 1 - (1 - confidence) / comparisons
