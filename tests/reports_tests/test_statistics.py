import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import proportion_confint
from statsmodels.stats.weightstats import DescrStatsW, ttost_paired

from reports.analysis.statistics import (
    PairedDifference,
    equivalence_p,
    holm,
    one_sided_p,
    paired_difference,
    proportion_interval,
    summarize,
    two_sided_p,
)


def series(values: dict[int, float]) -> pd.Series:
    return pd.Series(values, dtype=float)


def test_summary_of_known_values() -> None:
    found = summarize([1.0, 2.0, 3.0, 4.0])
    assert found.n == 4
    assert found.mean == 2.5
    assert found.sd == pytest.approx(1.2909944487)
    assert found.standard_error == pytest.approx(stats.sem([1, 2, 3, 4]))


def test_one_value_has_no_spread() -> None:
    found = summarize([3.0])
    assert (found.n, found.mean) == (1, 3.0)
    assert math.isnan(found.sd)
    assert math.isnan(found.standard_error)


def test_no_value_has_no_mean() -> None:
    assert summarize([]).n == 0
    assert math.isnan(summarize([]).mean)


@pytest.mark.parametrize("confidence", [0.9, 0.95, 0.99])
@pytest.mark.parametrize("n", [2, 3, 5, 10])
def test_paired_interval_agrees_with_scipy_and_statsmodels(n: int, confidence: float) -> None:
    random = np.random.default_rng(n)
    a, b = random.normal(2, 0.1, n), random.normal(1.9, 0.1, n)
    found = paired_difference(pd.Series(a), pd.Series(b), confidence)
    expected = stats.ttest_rel(a, b).confidence_interval(confidence)
    assert found.mean == pytest.approx(np.mean(a - b))
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))
    assert (found.low, found.high) == pytest.approx(
        DescrStatsW(a - b).tconfint_mean(alpha=1 - confidence)
    )


def test_pairs_are_matched_by_seed_not_by_position() -> None:
    found = paired_difference(
        series({2: 1.2, 0: 1.0, 1: 1.1}), series({0: 0.5, 1: 0.6, 2: 0.7, 3: 9.0}), 0.95
    )
    assert found.n == 3
    assert found.mean == pytest.approx(0.5)
    assert found.sd == pytest.approx(0, abs=1e-12)


def test_one_pair_gives_no_interval_and_no_verdict() -> None:
    found = paired_difference(series({0: 1.0}), series({0: 0.9, 1: 0.8}), 0.95)
    assert found.n == 1
    assert math.isnan(found.low)
    assert math.isnan(found.high)
    assert not found.includes_zero


@pytest.mark.parametrize(("successes", "trials"), [(0, 5), (1, 5), (3, 5), (5, 5), (7, 40)])
def test_proportion_interval_agrees_with_statsmodels_and_scipy(successes: int, trials: int) -> None:
    found = proportion_interval(successes, trials, 0.95)
    assert found.estimate == successes / trials
    expected = proportion_confint(successes, trials, alpha=0.05, method="beta")
    assert (found.low, found.high) == pytest.approx(expected)
    exact = stats.binomtest(successes, trials).proportion_ci(0.95, method="exact")
    assert (found.low, found.high) == pytest.approx((exact.low, exact.high))


def test_proportion_of_nothing_is_unknown() -> None:
    found = proportion_interval(0, 0, 0.95)
    assert math.isnan(found.estimate)
    assert (found.low, found.high) == (0, 1)


def pairs(n: int, shift: float) -> tuple[np.ndarray, np.ndarray, PairedDifference]:
    random = np.random.default_rng(n)
    a, b = random.normal(2 + shift, 0.1, n), random.normal(2, 0.1, n)
    return a, b, paired_difference(pd.Series(a), pd.Series(b), 0.95)


@pytest.mark.parametrize("shift", [-0.3, 0.0, 0.05])
@pytest.mark.parametrize("n", [2, 3, 5, 10])
def test_p_values_agree_with_scipy_and_statsmodels(n: int, shift: float) -> None:
    a, b, found = pairs(n, shift)
    assert two_sided_p(found) == pytest.approx(stats.ttest_rel(a, b).pvalue)
    assert one_sided_p(found) == pytest.approx(stats.ttest_rel(a, b, alternative="less").pvalue)
    greater = stats.ttest_rel(a, b, alternative="greater").pvalue
    assert one_sided_p(found, above=True) == pytest.approx(greater)
    for margin in (0.05, 0.2, 1.0):
        assert equivalence_p(found, margin) == pytest.approx(ttost_paired(a, b, -margin, margin)[0])


@pytest.mark.parametrize("margin", [0.02, 0.05, 0.1, 0.2])
def test_equivalence_is_the_narrower_interval_within_the_margin(margin: float) -> None:
    a, b, found = pairs(5, 0.03)
    narrower = paired_difference(pd.Series(a), pd.Series(b), 0.9)
    within = -margin < narrower.low and narrower.high < margin
    assert (equivalence_p(found, margin) < 0.05) is within


def test_p_values_need_two_pairs_and_bear_differences_without_spread() -> None:
    one = PairedDifference(1, -0.1, math.nan, math.nan, math.nan)
    assert all(math.isnan(p) for p in (one_sided_p(one), two_sided_p(one), equivalence_p(one, 1)))
    same = PairedDifference(3, -0.1, 0.0, -0.1, -0.1)
    assert (one_sided_p(same), two_sided_p(same), equivalence_p(same, 0.2)) == (0, 0, 0)
    assert (one_sided_p(same, above=True), equivalence_p(same, 0.05)) == (1, 1)
    nothing = PairedDifference(3, 0.0, 0.0, 0.0, 0.0)
    assert (one_sided_p(nothing), two_sided_p(nothing)) == (0.5, 1)


@pytest.mark.parametrize(
    "p_values",
    [
        [0.04],
        [0.01, 0.04, 0.03],
        [0.01, 0.011, 0.9, 0.0001],
        [0.02, 0.02, 1.0, 1.0],
        list(np.random.default_rng(0).uniform(size=20) ** 3),
    ],
)
def test_holm_agrees_with_statsmodels(p_values: list[float]) -> None:
    assert holm(p_values) == pytest.approx(multipletests(p_values, method="holm")[1])


def test_holm_of_nothing_is_nothing() -> None:
    assert holm([]) == []
