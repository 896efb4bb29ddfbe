"""Main effects and interactions of the factors on the final loss, over full grids of cells."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from typing import NamedTuple

import numpy as np

from reports.analysis.anova import Anova, Losses, Term, balanced_anova
from reports.analysis.counted_losses import counted_loss, initial_loss
from reports.analysis.factor_grid import Factor, FactorGrid, factors_of, joined, largest_grid
from reports.analysis.factor_plot import FactorPlot, collect_plot
from reports.analysis.level_effects import Contrast, GridLosses, LevelMean
from reports.results.frame import StudyResults
from reports.words import any_of, listed
from studies.design_kinds import FullFactorial
from studies.fairness import budget_difference
from studies.metrics import FINAL_LOSS
from studies.records import Leak, Outcome


class Counted(Enum):
    """Which losses an analysis is of."""

    FINAL = "the final loss"
    CLIPPED = "min(final loss, loss at initialisation), a diverged run counting as untrained"
    COMPLETED = "the final loss, over levels whose runs all completed at these seeds"


@dataclass(frozen=True)
class LeftOut:
    """A level that is not in a grid."""

    label: str
    reason: str


@dataclass(frozen=True)
class GridEffects:
    """The analysis of one grid at the seeds that all its cells have."""

    grid: FactorGrid
    is_joined: bool
    """Whether factors were joined, so that cells in which one of them means nothing are in it."""
    counted: Counted
    left_out: tuple[LeftOut, ...]
    seeds: tuple[int, ...]
    diverged: int
    """Runs of the analysis that diverged."""
    is_final: bool
    """Whether all planned seeds of its cells have run, and all searches have chosen."""
    at_edge: int
    """Cells whose search ended at an edge."""
    anova: Anova | None
    """None with one seed, which leaves no error to compare with, and before it is final."""
    levels: tuple[LevelMean, ...]
    simple: tuple[Contrast, ...]
    """Where an interaction is not negligible, in an analysis that is not secondary."""
    runs: dict[str, tuple[str, ...]]
    """Variant to the run keys of its runs in the analysis."""

    @property
    def name(self) -> str:
        """What tells its tables from those of other analyses of the study."""
        counted = {Counted.CLIPPED: "_clipped", Counted.COMPLETED: "_completed"}
        return ("_joined" if self.is_joined else "") + counted.get(self.counted, "")

    @property
    def is_secondary(self) -> bool:
        """Whether it stands beside an analysis of the plain factors and the plain final loss."""
        return self.is_joined or self.counted is Counted.CLIPPED

    def interacting(self, alpha: float) -> tuple[Term, ...]:
        """The interactions that are not negligible."""
        terms = self.anova.terms if self.anova else ()
        return tuple(t for t in terms if len(t.factors) > 1 and not t.is_negligible(alpha))

    def term_label(self, term: Term) -> str:
        """A term for a reader: "norm × placement"."""
        return " × ".join(self.grid.factors[axis].label for axis in term.factors)

    def run_keys(self, variants: Sequence[str]) -> tuple[str, ...]:
        """Of the runs of some variants."""
        return tuple(key for variant in variants for key in self.runs[variant])


@dataclass(frozen=True)
class Effects:
    """The analyses that the results allow, and why there are no others."""

    analyses: tuple[GridEffects, ...]
    reasons: tuple[str, ...]
    """Why an analysis that one would expect is not there."""
    plot: FactorPlot | None
    """None where losses cannot be compared at all."""
    leaking: frozenset[str]
    """Variants in whose training later tokens leak; their evaluation is causal."""
    confidence: float
    planned_seeds: int
    outcomes: dict[Outcome, int]
    tuned: bool
    """Whether variants are compared at values that a search chose for each."""
    searching: bool
    """Whether a search has yet to choose for some variant."""
    budgets: str | None
    """How budgets of variants differ, and why, if they do."""


def collect(results: StudyResults) -> Effects | None:
    """Every analysis of a full grid; None where the design has no factors to cross."""
    plan = results.plan
    factors = factors_of(plan.cells)
    if (
        not isinstance(plan.study.design, FullFactorial)
        or not factors
        or largest_grid(factors, plan.cells, results.variants) is None
        or not results.outcomes()[Outcome.COMPLETED]
    ):
        return None
    why_not = _incomparable(results)
    found: list[GridEffects | str] = list(why_not)
    if not why_not:
        found += _of_space(results, factors, is_joined=False)
        if together := joined(factors, plan.cells):
            found += _of_space(results, together, is_joined=True)
    return Effects(
        analyses=tuple(one for one in found if isinstance(one, GridEffects)),
        reasons=tuple(dict.fromkeys(one for one in found if isinstance(one, str))),
        plot=None if why_not else collect_plot(results, factors),
        leaking=frozenset(v for v, leak in results.leaks.items() if leak is Leak.IN_TRAINING),
        confidence=plan.study.report.confidence,
        planned_seeds=len(plan.study.seeds),
        outcomes=results.outcomes(),
        tuned=bool(plan.choices),
        searching=not plan.is_settled,
        budgets=budget_difference(plan),
    )


def _incomparable(results: StudyResults) -> list[str]:
    """Why the losses of the cells may not be put into one analysis."""
    reasons = []
    leaky = [results.labels[v] for v in results.variants if results.leaks[v] is Leak.LEAKY]
    if leaky:
        reasons.append(
            "No analysis of variance: later tokens leak into the evaluation of "
            f"{any_of(listed(leaky), 'and')}, whose losses are not comparable with the others."
        )
    if len(results.evaluation_sets(results.variants)) > 1:
        reasons.append(
            "No analysis of variance: the runs were evaluated on different data, and their losses "
            "are not comparable."
        )
    return reasons


def _of_space(
    results: StudyResults, factors: tuple[Factor, ...], *, is_joined: bool
) -> Iterator[GridEffects | str]:
    """The analyses over the largest full grid of some factors, or why one is not there.

    Where a run diverged there are two: one of the largest grid without such cells, and one of all
    that counts it as untrained. Cells of pruned runs, whose losses are partial, are in neither.
    """
    cells, variants = results.plan.cells, results.variants
    whole = largest_grid(factors, cells, variants)
    if whole is None:
        return
    counts = {variant: results.outcomes(variant) for variant in variants}
    lost = {v for v in variants if counts[v][Outcome.DIVERGED] or counts[v][Outcome.PRUNED]}
    rest = largest_grid(factors, cells, set(variants) - lost) if lost else whole
    if rest is None or len(_balanced(results, rest, Counted.FINAL).seeds) < 2:
        repeated = {v for v in set(variants) - lost if counts[v][Outcome.COMPLETED] > 1}
        rest = largest_grid(factors, cells, repeated) or rest
    if rest is None:
        yield f"No two cells of {whole.shape_label} have runs that all completed."
    else:
        is_whole = rest.variants.size == whole.variants.size
        counted = Counted.FINAL if is_whole else Counted.COMPLETED
        yield _analysis(results, factors, rest, counted, is_joined)
    if any(counts[variant][Outcome.DIVERGED] for variant in whole.variants.flat):
        yield _analysis(results, factors, whole, Counted.CLIPPED, is_joined)


def _losses(results: StudyResults, variant: str, counted: Counted) -> dict[int, float]:
    """Loss of a variant's runs by seed, of those that have one."""
    if counted is not Counted.CLIPPED:
        return {int(s): float(v) for s, v in results.values(FINAL_LOSS, variant).items()}  # type: ignore[call-overload]
    initial = initial_loss(results, variant)
    found = {
        record.seed: counted_loss(record, initial)
        for record in results.records_of(variant)
        if record.outcome in (Outcome.COMPLETED, Outcome.DIVERGED)
    }
    return {seed: loss for seed, loss in found.items() if math.isfinite(loss)}


class _Balanced(NamedTuple):
    """What all cells of a grid have."""

    seeds: tuple[int, ...]
    """Seeds at which every cell has a loss, in the order of the study."""
    losses: Losses
    """(levels of factor 0, ..., levels of factor k-1, seeds)"""


def _balanced(results: StudyResults, grid: FactorGrid, counted: Counted) -> _Balanced:
    found = [_losses(results, variant, counted) for variant in grid.variants.flat]
    common = set(results.plan.study.seeds).intersection(*found)
    seeds = tuple(seed for seed in results.plan.study.seeds if seed in common)
    losses = np.array([[by_seed[seed] for seed in seeds] for by_seed in found])
    return _Balanced(seeds, losses.reshape(*grid.variants.shape, len(seeds)))


def _analysis(
    results: StudyResults,
    factors: tuple[Factor, ...],
    grid: FactorGrid,
    counted: Counted,
    is_joined: bool,
) -> GridEffects | str:
    seeds, losses = _balanced(results, grid, counted)
    if not seeds:
        return _no_seed(results, grid, counted)
    confidence = results.plan.study.report.confidence
    baseline = results.plan.cell(results.plan.baseline)
    references = tuple(
        f.levels.index(level) if (level := f.level_of(baseline)) in f.levels else 0
        for f in grid.factors
    )
    at_edge = results.plan.at_edge
    of_cells = results.runs[results.runs["variant"].isin(grid.variants.ravel())]
    waits = of_cells["outcome"].isin([Outcome.MISSING, Outcome.FAILED]).any()
    is_final = results.plan.is_settled and not waits
    data = GridLosses(grid, losses, references, confidence, at_edge, is_final)
    inside = of_cells[of_cells["seed"].isin(seeds)]
    found = GridEffects(
        grid=grid,
        is_joined=is_joined,
        counted=counted,
        left_out=tuple(_left_out(results, factors, grid, by_outcome=counted is Counted.COMPLETED)),
        seeds=seeds,
        diverged=int((inside["outcome"] == Outcome.DIVERGED).sum()),
        is_final=is_final,
        at_edge=len(at_edge.intersection(grid.variants.flat)),
        anova=balanced_anova(losses) if len(seeds) > 1 and is_final else None,
        levels=data.level_means(),
        simple=(),
        runs={str(v): tuple(keys) for v, keys in inside.groupby("variant")["run_key"]},
    )
    axes = [term.factors for term in found.interacting(1 - confidence)]
    return found if found.is_secondary else replace(found, simple=data.simple_effects(axes))


def _no_seed(results: StudyResults, grid: FactorGrid, counted: Counted) -> str:
    what = f"No analysis of {grid.shape_label}"
    if counted is Counted.CLIPPED:
        return (
            f"{what} with diverged runs counted as untrained: no seed has, for every cell, a run "
            "that completed or diverged and a known loss at initialisation."
        )
    without = [results.labels[v] for v in grid.variants.flat if results.values(FINAL_LOSS, v).empty]
    named = f" ({any_of(listed(without), 'and')} without any)" if without else ""
    return f"{what}: no seed has a final loss for every cell{named}."


def _left_out(
    results: StudyResults, factors: tuple[Factor, ...], grid: FactorGrid, *, by_outcome: bool
) -> Iterator[LeftOut]:
    """Levels that are not in the grid, and why not."""
    cells = results.plan.cells
    for factor, kept in zip(factors, grid.factors, strict=True):
        for level in factor.levels:
            label = factor.level_label(level)
            if level in kept.levels or not label:
                continue
            members = [cell for cell in cells if factor.level_of(cell) == level]
            nothing = [f.label for f in factors if all(f.level_of(c) == (None,) for c in members)]
            ended = [results.outcomes(cell.variant) for cell in members]
            if nothing:
                reason = f"{any_of(nothing, 'and')} means nothing there"
            elif by_outcome and any(counts[Outcome.DIVERGED] for counts in ended):
                reason = "runs diverged"
            elif by_outcome and any(counts[Outcome.PRUNED] for counts in ended):
                reason = "runs were pruned"
            elif by_outcome and any(counts[Outcome.COMPLETED] < 2 for counts in ended):
                reason = "too few runs completed"
            else:
                reason = "the study has not all its combinations"
            yield LeftOut(label, reason)
