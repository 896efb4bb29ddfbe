"""The analysis of variance against statsmodels, and where it has nothing to divide by."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from scipy.stats import ttest_rel
from statsmodels.formula.api import ols
from statsmodels.stats.anova import AnovaRM, anova_lm
from statsmodels.stats.multitest import multipletests

from reports.analysis.anova import LARGE_OMEGA_SQUARED, Term, balanced_anova

SHAPES = [(4, 3, 2, 5), (2, 2, 2), (3, 4), (2, 3, 2, 2, 3), (7, 4, 3)]


def losses(shape: tuple[int, ...]) -> np.ndarray:
    """(levels..., seeds), with main effects, an interaction, seed effects and noise."""
    random = np.random.default_rng(sum(shape))
    values = 2.0 + random.normal(0, 0.02, shape) + random.normal(0, 0.05, shape[-1])
    for axis in range(len(shape) - 1):
        values = values + np.moveaxis(
            random.normal(0, 0.02, (shape[axis], *[1] * (len(shape) - 1))), 0, axis
        )
    if len(shape) > 2:
        values = values + random.normal(0, 0.02, (*shape[:2], *[1] * (len(shape) - 2)))
    return values


def framed(values: np.ndarray) -> tuple[pd.DataFrame, list[str]]:
    names = [f"f{axis}" for axis in range(values.ndim - 1)]
    places = np.indices(values.shape).reshape(values.ndim, -1).T
    return pd.DataFrame(places, columns=[*names, "seed"]).assign(loss=values.ravel()), names


@pytest.mark.parametrize("shape", SHAPES)
def test_the_table_is_that_of_repeated_measures_in_statsmodels(shape: tuple[int, ...]) -> None:
    values = losses(shape)
    frame, names = framed(values)
    table = AnovaRM(frame, "loss", "seed", within=names).fit().anova_table
    found = balanced_anova(values)
    for term in found.terms:
        expected = table.loc[":".join(f"f{axis}" for axis in term.factors)]
        assert (term.df, term.error_df) == (expected["Num DF"], expected["Den DF"])
        assert term.f == pytest.approx(expected["F Value"], rel=1e-6)
        if term.df == 1:
            assert term.p == pytest.approx(expected["Pr > F"], rel=1e-5)
    assert len(found.terms) == 2 ** len(names) - 1


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("kind", [1, 3])
def test_sums_of_squares_are_those_of_type_one_and_three(shape: tuple[int, ...], kind: int) -> None:
    values = losses(shape)
    frame, names = framed(values)
    crossed = " * ".join(f"C({name}, Sum)" for name in names)
    table = anova_lm(ols(f"loss ~ {crossed} + C(seed, Sum)", frame).fit(), typ=kind)
    found = balanced_anova(values)
    for term in found.terms:
        expected = table.loc[":".join(f"C(f{axis}, Sum)" for axis in term.factors)]
        assert term.df == expected["df"]
        assert term.sum_of_squares == pytest.approx(expected["sum_sq"], rel=1e-6)
    errors = sum(term.error_sum_of_squares for term in found.terms)
    assert errors == pytest.approx(table.loc["Residual", "sum_sq"])
    assert sum(term.error_df for term in found.terms) == table.loc["Residual", "df"]
    assert found.seed_df == table.loc["C(seed, Sum)", "df"]
    assert found.seed_sum_of_squares == pytest.approx(table.loc["C(seed, Sum)", "sum_sq"])


def test_degrees_of_freedom_are_those_of_greenhouse_and_geisser() -> None:
    """The example of `pingouin.epsilon`, and its `rm_anova` of two factors; pingouin 0.7.0."""
    (term,) = balanced_anova(
        np.array([[2.2, 3.1, 4.3, 4.1, 7.2], [1.1, 2.5, 4.1, 5.2, 6.4], [8.2, 4.5, 3.4, 6.2, 7.2]])
    ).terms
    assert (term.df, term.error_df) == (2, 8)
    assert term.epsilon == pytest.approx(0.5587754577585025)
    assert (term.f, term.p) == pytest.approx((2.153754, 0.211692), rel=1e-5)
    found = {
        term.factors: (term.epsilon, term.p) for term in balanced_anova(losses((4, 3, 5))).terms
    }
    assert found[0,] == pytest.approx((0.649606, 0.083337), rel=1e-5)
    assert found[1,] == pytest.approx((0.971096, 0.000048), rel=1e-2)
    assert found[0, 1] == pytest.approx((0.425604, 0.000750), rel=1e-3)


@pytest.mark.parametrize("shape", SHAPES)
def test_epsilon_is_between_its_bounds(shape: tuple[int, ...]) -> None:
    for term in balanced_anova(losses(shape)).terms:
        assert 1 / term.df <= term.epsilon + 1e-12
        assert term.epsilon <= min(1.0, (shape[-1] - 1) / term.df) + 1e-12


def test_of_two_levels_it_is_the_paired_t_test_of_their_means() -> None:
    values = losses((2, 3, 5))
    test = ttest_rel(*values.mean(axis=1))
    term = next(t for t in balanced_anova(values).terms if t.factors == (0,))
    assert term.f == pytest.approx(test.statistic**2)
    assert term.p == pytest.approx(test.pvalue)


def test_an_effect_of_the_seed_on_a_factor_is_no_effect_of_the_factor() -> None:
    random = np.random.default_rng(3)
    p = []
    for _ in range(1000):
        values = random.normal(0, 0.01, (4, 3, 2, 5))
        values = values + random.normal(0, 0.02, (1, 3, 1, 5))
        p.append(next(t.p for t in balanced_anova(values).terms if t.factors == (1,)))
    assert 0.01 < np.mean(np.array(p) < 0.05) < 0.06


def test_effect_sizes_by_their_formulas() -> None:
    values = losses((4, 3, 5))
    found = balanced_anova(values)
    for term in found.terms:
        squares, error = term.sum_of_squares, term.error_sum_of_squares
        assert term.eta_squared == pytest.approx(squares / (squares + error))
        from_f = term.df * (term.f - 1) / (term.df * (term.f - 1) + values.size)
        assert term.omega_squared == pytest.approx(from_f)
        assert term.omega_squared < term.eta_squared


def test_without_an_effect_omega_squared_is_unbiased_and_eta_squared_is_not() -> None:
    random = np.random.default_rng(1)
    terms = [balanced_anova(random.normal(size=(4, 3, 3))).terms[0] for _ in range(400)]
    assert np.mean([term.omega_squared for term in terms]) == pytest.approx(0, abs=0.02)
    assert np.mean([term.eta_squared for term in terms]) > 0.15


@pytest.mark.parametrize("widest", [1, 5])
def test_where_nothing_differs_it_is_rejected_no_more_often_than_it_says(widest: float) -> None:
    random = np.random.default_rng(2)
    sds = np.array([1, 1, 1, widest])[:, None]
    tables = [balanced_anova(sds * random.normal(size=(2, 4, 4)) + random.normal(size=4))
              for _ in range(1000)]  # fmt: skip
    p = np.array([[term.p for term in table.terms] for table in tables])
    assert 0.01 < (p < 0.05).mean() < 0.06
    families = np.array([[term.holm_p for term in table.terms] for table in tables])
    assert (families.min(axis=1) < 0.05).mean() < 0.065
    of_two_levels = [t.p for table in tables for t in table.terms if t.df == 1]
    assert np.mean(np.array(of_two_levels) < 0.05) == pytest.approx(0.05, abs=0.02)


def test_interactions_of_most_factors_come_first() -> None:
    orders = [len(term.factors) for term in balanced_anova(losses((2, 3, 2, 2, 3))).terms]
    assert orders == sorted(orders, reverse=True)
    assert orders[0] == 4


def test_holm_is_over_all_terms() -> None:
    terms = balanced_anova(losses((4, 3, 2, 5))).terms
    expected = multipletests([term.p for term in terms], method="holm")[1]
    assert [term.holm_p for term in terms] == pytest.approx(list(expected))


def test_a_factor_of_one_level_has_no_term() -> None:
    values = losses((3, 2, 4))
    held = balanced_anova(values[:, None])
    assert [term.factors for term in held.terms] == [(0, 2), (0,), (2,)]
    plain = balanced_anova(values)
    assert [term.p for term in held.terms] == [term.p for term in plain.terms]


def test_what_a_seed_adds_to_all_cells_changes_no_test() -> None:
    values = losses((3, 2, 4))
    shifted = balanced_anova(values + np.array([1.0, -2.0, 0.5, 3.0]))
    for term, plain in zip(shifted.terms, balanced_anova(values).terms, strict=True):
        assert term.f == pytest.approx(plain.f, rel=1e-6)


def test_where_all_losses_are_one_there_is_no_test() -> None:
    found = balanced_anova(np.full((3, 2, 3), 1.7))
    assert all(math.isnan(term.p) and math.isnan(term.eta_squared) for term in found.terms)
    assert all(term.is_negligible(0.05) for term in found.terms)
    assert [term.error_sum_of_squares for term in found.terms] == [0.0] * len(found.terms)


def test_an_effect_without_any_error_is_certain() -> None:
    values = np.broadcast_to(np.array([1.1, 2.3])[:, None], (2, 3)) + np.array([0.1, 0.7, 0.4])
    (term,) = balanced_anova(values).terms
    assert math.isinf(term.f)
    assert term.p == 0.0
    assert term.eta_squared == term.omega_squared == 1.0


@pytest.mark.parametrize(
    ("p", "omega_squared", "negligible"),
    [(0.04, 0.0, False), (0.06, 0.0, True), (0.06, LARGE_OMEGA_SQUARED, False)],
)
def test_an_interaction_counts_by_its_p_or_by_its_size(
    p: float, omega_squared: float, negligible: bool
) -> None:
    term = Term((0, 1), 1, 1.0, 4, 1.0, 1.0, 1.0, p, 1.0, 0.5, omega_squared)
    assert term.is_negligible(0.05) is negligible
