"""How many runs diverged, of each variant and at each level, and where in training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from reports.analysis.factor_grid import factors_of
from reports.analysis.statistics import Interval, proportion_interval
from reports.figures.style import layout_of
from reports.results.frame import StudyResults
from reports.words import FINISHED
from studies.metrics import DIVERGED_AT_STEP, LOSS_SPIKES
from studies.records import Outcome


@dataclass(frozen=True)
class StabilityRow:
    """The runs of a variant, or of all variants at one level."""

    factor: str
    """Empty for a variant."""
    label: str
    variants: tuple[str, ...]
    color: str
    """Empty for a level."""
    outcomes: dict[Outcome, int]
    marks: tuple[Outcome, ...]
    """Outcome per seed, of a variant."""
    share: Interval
    """Of the ended runs, those that diverged, with the exact interval for independent runs."""
    steps: tuple[int, ...]
    """Steps at which runs diverged, as far as they are known, in order."""
    spikes: float
    """Loss spikes of all runs that counted them, together."""
    spike_runs: int
    """Runs that counted them."""
    runs: tuple[str, ...]
    """Run keys."""

    @property
    def diverged(self) -> int:
        """Runs that diverged."""
        return self.outcomes[Outcome.DIVERGED]

    @property
    def ended(self) -> int:
        """Runs that completed, diverged or were pruned."""
        return sum(self.outcomes[outcome] for outcome in FINISHED)


@dataclass(frozen=True)
class Stability:
    """Rows of all variants, then of the levels of each factor."""

    variants: tuple[StabilityRow, ...]
    levels: tuple[StabilityRow, ...]
    confidence: float
    outcomes: dict[Outcome, int]
    searching: bool
    """Whether a search may ask for more runs."""

    @property
    def diverged(self) -> int:
        """Runs that diverged, of all variants."""
        return self.outcomes[Outcome.DIVERGED]

    @property
    def ended(self) -> int:
        """Runs that ended, of all variants."""
        return sum(self.outcomes[outcome] for outcome in FINISHED)


def collect(results: StudyResults) -> Stability | None:
    """Outcomes by variant and by level; None while no run has ended."""
    plan = results.plan
    if not any(results.outcomes()[outcome] for outcome in FINISHED):
        return None
    styles = layout_of(results).styles
    levels = [
        _row(results, factor.label, factor.level_label(level), members)
        for factor in factors_of(plan.cells)
        for level in factor.levels
        if None not in level
        and (members := [c.variant for c in plan.cells if factor.level_of(c) == level])
    ]
    return Stability(
        variants=tuple(
            _row(results, "", results.labels[variant], [variant], styles[variant].color)
            for variant in results.variants
        ),
        levels=tuple(levels),
        confidence=plan.study.report.confidence,
        outcomes=results.outcomes(),
        searching=not plan.is_settled,
    )


def _row(
    results: StudyResults, factor: str, label: str, variants: Sequence[str], color: str = ""
) -> StabilityRow:
    runs = results.runs[results.runs["variant"].isin(variants)]
    counts = runs["outcome"].value_counts()
    outcomes = {outcome: int(counts.get(outcome.value, 0)) for outcome in Outcome}
    ended = sum(outcomes[outcome] for outcome in FINISHED)
    confidence = results.plan.study.report.confidence
    spikes = _recorded(runs, LOSS_SPIKES)
    diverged = runs[runs["outcome"] == Outcome.DIVERGED]
    return StabilityRow(
        factor=factor,
        label=label,
        variants=tuple(variants),
        color=color,
        outcomes=outcomes,
        marks=() if factor else tuple(Outcome(outcome) for outcome in runs["outcome"]),
        share=proportion_interval(outcomes[Outcome.DIVERGED], ended, confidence),
        steps=tuple(sorted(int(step) for step in _recorded(diverged, DIVERGED_AT_STEP))),
        spikes=float(spikes.sum()),
        spike_runs=len(spikes),
        runs=tuple(runs["run_key"]),
    )


def _recorded(runs: pd.DataFrame, metric: str) -> pd.Series[float]:
    """A summary of the runs that have it."""
    if metric not in runs:
        return pd.Series(dtype=float)
    return runs[metric].astype(float).dropna()
