"""Level means, contrasts and simple effects against scipy and statsmodels."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests

from reports.analysis.factor_grid import Factor, FactorGrid
from reports.analysis.level_effects import GridLosses
from reports.analysis.power import first_holm_step, smallest_detectable_difference

CONFIDENCE = 0.95


def grid_losses(seeds: int = 5) -> GridLosses:
    shape = (3, 2, 2)
    factors = tuple(
        Factor((f"own.{name}",), tuple((place,) for place in range(size)))
        for name, size in zip("abc", shape, strict=True)
    )
    names = np.array(["".join(map(str, places)) for places in np.ndindex(shape)]).reshape(shape)
    values = np.random.default_rng(3).normal(2, 0.1, (*shape, seeds))
    return GridLosses(FactorGrid(factors, names), values, (1, 0, 0), CONFIDENCE)


def test_a_level_mean_is_over_blocks_of_seeds() -> None:
    data = grid_losses()
    row = next(row for row in data.level_means() if row.level == "a 2")
    blocks = data.losses[2].reshape(-1, 5).mean(axis=0)
    low, high = stats.t.interval(CONFIDENCE, 4, blocks.mean(), stats.sem(blocks))
    assert (row.loss.n, row.loss.mean) == (5, pytest.approx(blocks.mean()))
    assert (row.low, row.high) == (pytest.approx(low), pytest.approx(high))
    assert row.variants == ("200", "201", "210", "211")


def test_contrasts_are_paired_by_seed_with_holm_over_the_levels_of_all_factors() -> None:
    data = grid_losses()
    contrasts = [row.contrast for row in data.level_means() if row.contrast]
    assert [(c.level, c.reference) for c in contrasts] == [
        ("a 0", "a 1"), ("a 2", "a 1"), ("b 1", "b 0"), ("c 1", "c 0"),
    ]  # fmt: skip
    first = stats.ttest_rel(data.losses[0].mean(axis=(0, 1)), data.losses[1].mean(axis=(0, 1)))
    assert contrasts[0].p == pytest.approx(first.pvalue)
    interval = first.confidence_interval(CONFIDENCE)
    assert contrasts[0].difference.low == pytest.approx(interval.low)
    assert contrasts[0].difference.high == pytest.approx(interval.high)
    expected = multipletests([contrast.p for contrast in contrasts], method="holm")[1]
    assert [contrast.holm_p for contrast in contrasts] == pytest.approx(list(expected))


def test_what_the_seeds_could_have_shown_is_of_holms_first_step() -> None:
    contrasts = [row.contrast for row in grid_losses().level_means() if row.contrast]
    for contrast in contrasts:
        expected = smallest_detectable_difference(
            contrast.difference.sd, 5, first_holm_step(CONFIDENCE, 4)
        )
        assert contrast.detectable == pytest.approx(expected)


def test_simple_effects_are_within_each_combination_of_the_partners() -> None:
    data = grid_losses()
    rows = data.simple_effects([(0, 1)])
    assert [(r.factor, r.within) for r in rows] == [
        *[("a", "b 0")] * 2, *[("a", "b 1")] * 2, ("b", "a 0"), ("b", "a 1"), ("b", "a 2"),
    ]  # fmt: skip
    row = rows[3]
    assert (row.level, row.reference) == ("a 2", "a 1")
    assert row.variants == ("210", "211", "110", "111")
    test = stats.ttest_rel(data.losses[2, 1].mean(axis=0), data.losses[1, 1].mean(axis=0))
    assert row.p == pytest.approx(test.pvalue)
    expected = multipletests([r.p for r in rows], method="holm")[1]
    assert [r.holm_p for r in rows] == pytest.approx(list(expected))


def test_a_factor_in_several_interactions_is_taken_within_all_its_partners() -> None:
    rows = grid_losses().simple_effects([(0, 1), (0, 2)])
    assert {row.within for row in rows if row.factor == "a"} == {
        "b 0 · c 0", "b 0 · c 1", "b 1 · c 0", "b 1 · c 1",
    }  # fmt: skip
    assert {row.within for row in rows if row.factor == "b"} == {"a 0", "a 1", "a 2"}


def test_without_an_interaction_there_are_no_simple_effects() -> None:
    assert grid_losses().simple_effects([]) == ()


def test_one_seed_has_means_and_no_intervals() -> None:
    for row in grid_losses(seeds=1).level_means():
        assert row.loss.n == 1
        assert np.isnan(row.low)
        if row.contrast:
            assert np.isnan(row.contrast.p)
            assert not row.contrast.is_significant(0.05)
