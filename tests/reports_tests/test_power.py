from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.power import TTestPower

from reports.analysis.power import (
    MOST_SEEDS,
    first_holm_step,
    power_of_paired_test,
    seeds_needed,
    smallest_detectable_difference,
)


@pytest.mark.parametrize("n", [3, 5, 10, 20, 100, 900])
def test_smallest_detectable_difference_agrees_with_statsmodels(n: int) -> None:
    expected = TTestPower().solve_power(nobs=n, alpha=0.05, power=0.8, alternative="two-sided")
    assert smallest_detectable_difference(2.0, n, 0.95) == pytest.approx(2 * expected, rel=1e-5)


@pytest.mark.parametrize(
    ("n", "alone", "in_holm"), [(3, 3.3, 10.9), (5, 1.7, 3.2), (10, 1.0, 1.5), (20, 0.66, 0.92)]
)
def test_smallest_detectable_difference_of_few_seeds(n: int, alone: float, in_holm: float) -> None:
    level = first_holm_step(0.95, 11)
    assert level == pytest.approx(1 - 0.05 / 11)
    assert smallest_detectable_difference(1.0, n, 0.95) == pytest.approx(alone, rel=0.02)
    assert smallest_detectable_difference(1.0, n, level) == pytest.approx(in_holm, rel=0.02)


@pytest.mark.parametrize(("n", "confidence"), [(2, 0.95), (2, 0.9999), (3, 0.9999), (8, 0.9)])
def test_power_is_the_share_of_tests_that_find_the_difference(n: int, confidence: float) -> None:
    """Where two seeds and strict levels leave the usual routines without an answer, too."""
    difference = smallest_detectable_difference(1.0, n, confidence)
    assert power_of_paired_test(difference, n, confidence) == pytest.approx(0.8)
    found = stats.ttest_1samp(np.random.default_rng(0).normal(difference, 1, (200_000, n)), 0, 1)
    share = np.mean(found.pvalue < 1 - confidence)
    assert share == pytest.approx(0.8, abs=0.005)


def test_without_a_difference_power_is_the_rate_of_false_alarms() -> None:
    assert power_of_paired_test(0.0, 5, 0.95) == pytest.approx(0.05)


def test_smallest_detectable_difference_needs_a_spread() -> None:
    assert math.isnan(smallest_detectable_difference(0.1, 1, 0.95))
    assert math.isnan(smallest_detectable_difference(math.nan, 5, 0.95))


@pytest.mark.parametrize("difference", [0.1, 0.66, 1.0, 3.0, 50.0])
def test_the_seeds_needed_are_the_fewest_that_detect_the_difference(difference: float) -> None:
    n = seeds_needed(difference, 0.95)
    assert n is not None
    assert power_of_paired_test(difference, n, 0.95) >= 0.8
    assert n == 2 or power_of_paired_test(difference, n - 1, 0.95) < 0.8


def test_some_differences_take_more_seeds_than_anybody_has() -> None:
    assert seeds_needed(0.01, 0.95) is None
    assert power_of_paired_test(0.01, MOST_SEEDS, 0.95) < 0.8
