"""The analysis of variance against statsmodels, and where it has nothing to divide by."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from statsmodels.formula.api import ols
from statsmodels.stats.anova import anova_lm
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


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("kind", [1, 3])
def test_the_table_is_the_one_of_statsmodels(shape: tuple[int, ...], kind: int) -> None:
    values = losses(shape)
    names = [f"f{axis}" for axis in range(len(shape) - 1)]
    frame = pd.DataFrame(np.indices(shape).reshape(len(shape), -1).T, columns=[*names, "seed"])
    crossed = " * ".join(f"C({name}, Sum)" for name in names)
    model = ols(f"loss ~ {crossed} + C(seed, Sum)", frame.assign(loss=values.ravel())).fit()
    table = anova_lm(model, typ=kind)
    found = balanced_anova(values)
    for term in found.terms:
        expected = table.loc[":".join(f"C(f{axis}, Sum)" for axis in term.factors)]
        assert term.df == expected["df"]
        assert term.sum_of_squares == pytest.approx(expected["sum_sq"], rel=1e-6)
        assert term.f == pytest.approx(expected["F"], rel=1e-6)
        assert term.p == pytest.approx(expected["PR(>F)"], rel=1e-5)
    assert found.error_df == table.loc["Residual", "df"]
    assert found.error_sum_of_squares == pytest.approx(table.loc["Residual", "sum_sq"])
    assert found.seed_df == table.loc["C(seed, Sum)", "df"]
    assert found.seed_sum_of_squares == pytest.approx(table.loc["C(seed, Sum)", "sum_sq"])
    assert len(found.terms) == 2 ** len(names) - 1


def test_all_parts_add_up_to_the_whole() -> None:
    values = losses((3, 2, 2, 4))
    found = balanced_anova(values)
    parts = [term.sum_of_squares for term in found.terms]
    total = ((values - values.mean()) ** 2).sum()
    assert sum(parts) + found.seed_sum_of_squares + found.error_sum_of_squares == pytest.approx(
        total
    )
    assert sum(t.df for t in found.terms) + found.seed_df + found.error_df == values.size - 1


def test_effect_sizes_by_their_formulas() -> None:
    values = losses((4, 3, 5))
    found = balanced_anova(values)
    for term in found.terms:
        squares, error = term.sum_of_squares, found.error_sum_of_squares
        assert term.eta_squared == pytest.approx(squares / (squares + error))
        from_f = term.df * (term.f - 1) / (term.df * (term.f - 1) + values.size)
        assert term.omega_squared == pytest.approx(from_f)
        assert term.omega_squared < term.eta_squared


def test_without_an_effect_omega_squared_is_unbiased_and_eta_squared_is_not() -> None:
    random = np.random.default_rng(1)
    terms = [balanced_anova(random.normal(size=(4, 3, 3))).terms[0] for _ in range(400)]
    assert np.mean([term.omega_squared for term in terms]) == pytest.approx(0, abs=0.02)
    assert np.mean([term.eta_squared for term in terms]) > 0.15


def test_where_nothing_differs_it_is_rejected_as_often_as_it_says() -> None:
    random = np.random.default_rng(2)
    tables = [balanced_anova(random.normal(size=(2, 3, 3)) + random.normal(size=3))
              for _ in range(1000)]  # fmt: skip
    p = np.array([[term.p for term in table.terms] for table in tables])
    assert (p < 0.05).mean() == pytest.approx(0.05, abs=0.012)
    families = [[term.holm_p for term in table.terms] for table in tables]
    assert np.mean([min(family) < 0.05 for family in families]) == pytest.approx(0.05, abs=0.02)


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
    assert found.error_sum_of_squares == 0.0


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
    term = Term((0, 1), 1, 1.0, 1.0, p, 1.0, 0.5, omega_squared)
    assert term.is_negligible(0.05) is negligible
