import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import proportion_confint
from statsmodels.stats.weightstats import DescrStatsW, ttost_paired

from reports.analysis.statistics import (
    DRAWN_FLIPS,
    LEAST_FLIPS,
    MOST_FLIPS,
    PairedDifference,
    beyond_margin_p,
    equivalence_p,
    holm,
    is_sure_win,
    least_flip_p,
    noise_floor,
    one_sided_p,
    paired_difference,
    proportion_interval,
    sign_flip_p,
    summarize,
    t_quantile,
    two_sided_p,
    win_probability,
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


def test_holm_keeps_tied_and_zero_p_values_in_order() -> None:
    assert holm([0.0, 0.5, 0.0, 0.02]) == pytest.approx([0.0, 0.5, 0.0, 0.04])


@pytest.mark.parametrize("n", [2, 4, 9])
def test_t_quantile_is_of_the_two_sided_interval(n: int) -> None:
    low, high = stats.t.interval(0.9, n - 1)
    assert t_quantile(n, 0.9) == pytest.approx(high) == pytest.approx(-low)
    assert math.isnan(t_quantile(1, 0.9))


def flips(differences: np.ndarray, seed: int = 0) -> float:
    return sign_flip_p(differences, np.random.default_rng(seed))


@pytest.mark.parametrize("shift", [0.0, 0.5, -1.5])
@pytest.mark.parametrize("n", [6, 7, 10, 12])
def test_sign_flips_agree_with_scipy(n: int, shift: float) -> None:
    differences = np.random.default_rng(n).normal(shift, 1, n)
    expected = stats.permutation_test(
        (differences,), np.sum, permutation_type="samples", n_resamples=np.inf
    )
    assert flips(differences) == pytest.approx(expected.pvalue)


def test_sign_flips_count_ties_with_what_was_observed() -> None:
    assert flips(np.full(6, -0.1)) == 2 / 2**6 == least_flip_p(6)
    assert flips(np.array([0.1, 0.1, 0.1, 0.1, 0.1, 0.0])) == 4 / 2**6
    assert flips(np.zeros(6)) == 1
    # 0.1 + 0.2 is not 0.3: all sums of equal size are alike, whatever their rounding.
    assert flips(np.array([0.1, 0.2, 0.3, -0.3, -0.2, -0.1])) == 1


def test_fewer_pairs_than_an_exact_test_needs_give_no_p() -> None:
    assert math.isnan(flips(np.full(LEAST_FLIPS - 1, 1.0)))
    assert least_flip_p(LEAST_FLIPS - 1) > 0.05 > least_flip_p(LEAST_FLIPS)


def test_many_pairs_draw_their_flips_and_say_the_same_each_time() -> None:
    differences = np.random.default_rng(3).normal(0.4, 1, MOST_FLIPS + 1)
    found = flips(differences)
    assert found == flips(differences)
    signs = np.array(np.meshgrid(*[[1, -1]] * 10)).reshape(10, -1)
    first, rest = differences[:10] @ signs, differences[10:20] @ signs
    sums = first[:, None] + rest[None, :]
    bound = abs(differences.sum()) - 1e-9
    exact = np.mean([np.abs(sums + last) >= bound for last in (differences[20], -differences[20])])
    assert found == pytest.approx(exact, abs=4 * math.sqrt(exact / DRAWN_FLIPS))
    assert flips(np.full(MOST_FLIPS + 1, 1.0)) == pytest.approx(1 / DRAWN_FLIPS, rel=3)


def test_p_of_drawn_flips_is_never_zero() -> None:
    assert flips(np.full(60, 1.0)) == 1 / (DRAWN_FLIPS + 1)


@pytest.mark.parametrize(("wins", "n"), [(0, 3), (3, 3), (5, 5), (10, 10), (7, 12)])
def test_share_of_wins_agrees_with_statsmodels(wins: int, n: int) -> None:
    differences = [-0.1] * wins + [0.2] * (n - wins)
    found = win_probability(differences, 0.95)
    assert found.estimate == wins / n
    assert (found.low, found.high) == pytest.approx(proportion_confint(wins, n, 0.05, "beta"))


@pytest.mark.parametrize(("n", "low"), [(3, 0.29), (5, 0.48), (6, 0.54), (10, 0.69)])
def test_wins_in_all_seeds_say_more_than_half_from_six_on(n: int, low: float) -> None:
    assert win_probability([-1.0] * n, 0.95).low == pytest.approx(low, abs=0.005)


def test_ties_count_half_and_widen_the_interval_to_either_side() -> None:
    found = win_probability([-0.1, -0.2, 0.0, 0.3], 0.95)
    assert found.estimate == 0.625
    assert found.low == pytest.approx(proportion_confint(2, 4, 0.05, "beta")[0])
    assert found.high == pytest.approx(proportion_confint(3, 4, 0.05, "beta")[1])
    assert math.isnan(win_probability([], 0.95).estimate)


def test_noise_floor_of_one_variant_is_the_t_bound_of_two_means() -> None:
    losses = pd.DataFrame({"a": [2.0, 2.1, 2.3, 2.2]})
    found = noise_floor(losses, 0.95)
    assert (found.n, found.variants, found.freedom) == (4, 1, pytest.approx(3))
    assert found.sd == pytest.approx(losses["a"].std())
    assert found.half_width == pytest.approx(stats.t.ppf(0.975, 3) * found.sd * math.sqrt(2 / 4))


def test_variants_that_move_as_one_give_no_further_freedom() -> None:
    one = pd.Series([2.0, 2.1, 2.3, 2.2])
    losses = pd.DataFrame({"a": one, "b": one + 1, "c": one - 1})
    assert noise_floor(losses, 0.95).freedom == pytest.approx(3)


def test_variants_that_move_each_by_itself_pool_their_freedom() -> None:
    columns = {"a": [1.0, -1, 0, 0, 0, 0], "b": [0, 0, 1.0, -1, 0, 0], "c": [0, 0, 0, 0, 1.0, -1]}
    found = noise_floor(pd.DataFrame(columns), 0.95)
    assert found.freedom == pytest.approx(3 * 5)
    assert found.sd == pytest.approx(math.sqrt(2 / 5))


@pytest.mark.parametrize("shared", [0.0, 1.0, 3.0])
@pytest.mark.parametrize("n", [3, 5])
def test_noise_floor_holds_the_difference_of_two_means(n: int, shared: float) -> None:
    """Pooled degrees of freedom would hold about 0.9 of them where seeds have a large effect."""
    random = np.random.default_rng(1)
    held = []
    for _ in range(500):
        losses = random.normal(size=(2 * n, 6)) + random.normal(0, shared, (2 * n, 1))
        floor = noise_floor(pd.DataFrame(losses[:n]), 0.95)
        held.append(abs(losses[:n, 0].mean() - losses[n:, 0].mean()) <= floor.half_width)
    assert np.mean(held) >= 0.93


def test_noise_floor_needs_two_seeds_and_bears_no_spread() -> None:
    assert math.isnan(noise_floor(pd.DataFrame({"a": [1.0]}), 0.95).half_width)
    assert math.isnan(noise_floor(pd.DataFrame(), 0.95).half_width)
    assert noise_floor(pd.DataFrame({"a": [1.0, 1.0]}), 0.95).half_width == 0


@pytest.mark.parametrize(("shift", "side"), [(-0.1, -1), (0.1, 1), (0.02, 1)])
def test_beyond_a_margin_is_tested_on_the_side_of_the_mean(shift: float, side: int) -> None:
    values = pd.Series([0.01, -0.02, 0.015, 0.0, -0.005]) + shift
    difference = paired_difference(values, 0 * values, 0.95)
    alternative = "greater" if side > 0 else "less"
    one_sided = stats.ttest_1samp(values, 0.03 * side, alternative=alternative).pvalue
    assert beyond_margin_p(difference, 0.03) == pytest.approx(min(1.0, 2 * one_sided))
    assert math.isnan(beyond_margin_p(paired_difference(values[:1], 0 * values, 0.95), 0.03))


def test_a_sure_win_is_on_the_side_of_the_mean() -> None:
    for n, is_sure in ((5, False), (6, True)):
        for sign in (1, -1):
            values = sign * pd.Series([0.1 + 0.01 * k for k in range(n)])
            difference = paired_difference(values, 0 * values, 0.95)
            assert is_sure_win(difference, win_probability(values, 0.95)) is is_sure
            assert not is_sure_win(difference, win_probability(-values, 0.95))
