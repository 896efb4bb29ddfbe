"""Analysis of variance of a full grid of cells that all have the same seeds, in closed form."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
import numpy.typing as npt
from scipy import stats

from reports.analysis.statistics import holm

LARGE_OMEGA_SQUARED = 0.14
"""Partial omega squared from which an effect is called large. Source: Cohen 1988, section 8.2."""

Losses = npt.NDArray[np.float64]
"""(levels of factor 0, ..., levels of factor k-1, seeds)."""


@dataclass(frozen=True)
class Term:
    """A main effect or an interaction, and the error that it is held against."""

    factors: tuple[int, ...]
    """Axes of the factors: one for a main effect."""
    df: int
    sum_of_squares: float
    error_df: int
    """df (seeds - 1)."""
    error_sum_of_squares: float
    """Of how the term differs from seed to seed: its interaction with the seed."""
    f: float
    """Infinite where there is an effect and no error at all, NaN where there is neither."""
    epsilon: float
    """How far the error is from spherical (Greenhouse and Geisser): 1 where it is, or where df is
    1; at least 1 / df. 1 without an error."""
    p: float
    """Of F with both degrees of freedom times epsilon."""
    holm_p: float
    """Adjusted over all terms of the analysis; one without a p counts as 1."""
    eta_squared: float
    """Partial: SS / (SS + SS of the error). Biased upwards, the more so the fewer the seeds."""
    omega_squared: float
    """Partial, the bias taken off: (SS - df MSE) / (SS + (N - df) MSE). Below 0 where F < 1."""

    def is_negligible(self, alpha: float) -> bool:
        """Whether p is not below alpha, and partial omega squared is not large either.

        The p is not adjusted: to take an interaction for nothing is the worse mistake.
        """
        return not (self.p < alpha or self.omega_squared >= LARGE_OMEGA_SQUARED)


@dataclass(frozen=True)
class Anova:
    """Terms, interactions of the most factors first, and what the seeds differ by."""

    terms: tuple[Term, ...]
    seed_df: int
    seed_sum_of_squares: float


def balanced_anova(losses: Losses) -> Anova:
    """Every main effect and interaction up to the full order, the seed as a block.

    The grid is balanced: with sum-to-zero coding the effects are orthogonal, so that sums of
    squares of type I, II and III are one. The effect of a term is the mean over all other axes,
    centred along each of its own. It is held against its own interaction with the seed, as in
    repeated measures: one pooled error would take an effect of the seed on, say, the norms for
    nothing, and reject far too often where there is one. Of a factor of two levels F is the square
    of the paired t of their means. The error is taken for normal. That of a term of more than one
    degree of freedom is spherical only if all levels vary alike over seeds, and a norm that is
    less stable does not: so the degrees of freedom are those of Greenhouse and Geisser.

    Args:
        losses: at least two cells and two seeds; an axis of one level has no term.

    Source: Winer 1971, chapter 7; Greenhouse and Geisser 1959. F as of
    `statsmodels.stats.anova.AnovaRM`, which takes the error for spherical.
    """
    seed_axis, seeds = losses.ndim - 1, losses.shape[-1]
    axes = [axis for axis in range(seed_axis) if losses.shape[axis] > 1]
    terms = [
        _term(losses, factors)
        for order in range(len(axes), 0, -1)
        for factors in combinations(axes, order)
    ]
    adjusted = holm([1.0 if math.isnan(term.p) else term.p for term in terms])
    return Anova(
        terms=tuple(replace(t, holm_p=p) for t, p in zip(terms, adjusted, strict=True)),
        seed_df=seeds - 1,
        seed_sum_of_squares=_sum_of_squares(_effect(losses, (seed_axis,)), losses),
    )


def _effect(losses: Losses, axes: tuple[int, ...]) -> Losses:
    """What the levels along some axes add to what fewer of them say; length 1 along the others."""
    others = tuple(axis for axis in range(losses.ndim) if axis not in axes)
    effect: Losses = losses.mean(axis=others, keepdims=True)
    for axis in axes:
        effect = effect - effect.mean(axis=axis, keepdims=True)
    return effect


def _sum_of_squares(effect: Losses, losses: Losses) -> float:
    """Over all runs; 0 where it is no more than rounding leaves."""
    squares = float((effect**2).sum()) * losses.size / effect.size
    rounding = 8 * np.finfo(float).eps * float(np.abs(losses).max())
    return squares if squares > losses.size * rounding**2 else 0.0


def _term(losses: Losses, factors: tuple[int, ...]) -> Term:
    seed_axis, seeds = losses.ndim - 1, losses.shape[-1]
    df = math.prod(losses.shape[axis] - 1 for axis in factors)
    error_df = df * (seeds - 1)
    squares = _sum_of_squares(_effect(losses, factors), losses)
    errors = _effect(losses, (*factors, seed_axis))
    error = _sum_of_squares(errors, losses)
    mean_error = error / error_df
    without_error = math.inf if squares else math.nan
    f = squares / df / mean_error if mean_error else without_error
    epsilon = _epsilon(errors, df) if mean_error else 1.0
    known = bool(squares or error)
    biased = df * mean_error
    return Term(
        factors=factors,
        df=df,
        sum_of_squares=squares,
        error_df=error_df,
        error_sum_of_squares=error,
        f=f,
        epsilon=epsilon,
        p=float(stats.f.sf(f, df * epsilon, error_df * epsilon)),
        holm_p=math.nan,
        eta_squared=squares / (squares + error) if known else math.nan,
        omega_squared=(squares - biased) / (squares - biased + losses.size * mean_error)
        if known
        else math.nan,
    )


def _epsilon(errors: Losses, df: int) -> float:
    """Greenhouse and Geisser's, of the errors of a term: tr(S)² / (df tr(S²)).

    S is the covariance over seeds of the term's contrasts. The errors are their projection, so that
    traces are those of the seeds' inner products, a small matrix.
    """
    by_seed = errors.reshape(-1, errors.shape[-1])
    products = by_seed.T @ by_seed
    return float(np.trace(products) ** 2 / (df * (products**2).sum()))
