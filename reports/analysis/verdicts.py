"""What the numbers of a hypothesis allow to say."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from enum import Enum, StrEnum

from reports.analysis.statistics import Interval, PairedDifference, holm, is_sure_win
from studies.hypotheses import Hypothesis
from studies.records import Outcome

LEAST_MARGIN = 0.01
"""Nats per token: the margin where none is declared and seeds spread by less."""


class Standing(StrEnum):
    """Whether a hypothesis was said in advance."""

    CONFIRMATORY = "confirmatory"
    CHANGED = "exploratory (changed after the first run)"
    ADDED = "exploratory (added after the first run)"
    LATE = "exploratory (registered after the first runs)"
    UNREGISTERED = "exploratory (not registered)"

    @property
    def is_confirmatory(self) -> bool:
        """Whether it was said before the first run, and stands as it was said."""
        return self is Standing.CONFIRMATORY


class Finding(Enum):
    """What a hypothesis came to, the reasons against any verdict first."""

    DIFFERENT_TEXTS = "losses are on different evaluation sets"
    LEAKY = "an evaluation leaks"
    SEARCHING = "the search has not chosen for all variants"
    SURVIVORS = "runs diverged or were pruned"
    NO_PAIR = "no seed has all runs"
    ONE_PAIR = "one seed has all runs"
    TOO_FEW = "fewer seeds than planned have all runs"
    NO_DIFFERENCE = "the interval includes 0"
    AGAINST_CLAIM = "the interval lies on the other side of 0"
    NOT_SIGNIFICANT = "the interval excludes 0, the adjusted p does not reach the level"
    AT_EDGE = "a search ended at its edge: what is worse might be better beyond it"
    UNCONFIRMED = "as expected, but exploratory"
    AS_CLAIMED = "as expected"
    BEYOND_MARGIN = "as expected, beyond the margin, and in more than half of the seeds"
    EQUIVALENT = "equivalent within the margin"
    NOT_EQUIVALENT = "equivalence not shown"


INCOMPARABLE = (Finding.DIFFERENT_TEXTS, Finding.LEAKY)
"""Findings on losses that have no difference at all."""


@dataclass(frozen=True)
class Side:
    """One of the two sets of cells that are compared."""

    levels: str
    """What its cells have in common: "GEGLU or SwiGLU · LayerNorm"."""
    cells: int
    outcomes: dict[Outcome, int]
    """Of the runs of these cells that the test is on."""
    at_edge: tuple[str, ...]
    """Labels of its cells whose chosen values lie at the edge of what was tried."""
    leaking: tuple[str, ...]
    """Labels of its cells in whose training later tokens leak; their evaluation is causal."""
    runs: tuple[str, ...]
    """Keys of the runs of these cells that the test is on, whatever came of them."""

    @property
    def given_up(self) -> int:
        """Runs whose bad loss is the reason why they have no final one."""
        return self.outcomes[Outcome.DIVERGED] + self.outcomes[Outcome.PRUNED]


@dataclass(frozen=True)
class HypothesisRow:
    """What is known about one hypothesis."""

    name: str
    hypothesis: Hypothesis
    standing: Standing
    of: Side
    against: Side
    seeds: tuple[int, ...]
    """Seeds that it is tested on, each of which it needs."""
    confounded: tuple[str, ...]
    """Other factors whose levels the two sets hold in different shares."""
    margin: float
    """As declared, or else decided by the data; NaN while they do not say."""
    difference: PairedDifference
    """Mean of `of` minus mean of `against`, over the seeds that completed in all cells of both."""
    equivalence: PairedDifference
    """The same with the interval that two one-sided tests go by."""
    win: Interval
    """Share of these seeds in which `of` has the lower mean."""
    detectable: float
    """Smallest difference that these seeds could have shown (80 % power), in Holm's first step; NaN
    for an equivalence, whose test is another one."""
    p: float
    """NaN where there is no verdict."""
    beyond_p: float
    """Two-sided, of the paired t test that the difference is just the margin, on its side of 0; NaN
    where there is no verdict, and for an equivalence."""
    finding: Finding
    interactions: tuple[str, ...] = ()
    """Those that may not be negligible, between what the sets differ in and what they average."""
    adjusted_p: float = math.nan
    """By Holm over the registered hypotheses; NaN for one that is not confirmatory."""
    adjusted_beyond_p: float = math.nan
    """`beyond_p`, the same way."""


def decided(
    rows: list[HypothesisRow], registered: Mapping[str, Hypothesis], confidence: float
) -> tuple[HypothesisRow, ...]:
    """The rows with adjusted p and finding, confirmatory ones first.

    The family is what was registered: dropping a hypothesis later makes no other one's p smaller.
    One without a p counts as 1.
    """
    said_before = [row for row in rows if row.standing.is_confirmatory]
    adjusted = _adjusted({row.name: row.p for row in said_before}, registered)
    beyond = _adjusted({row.name: row.beyond_p for row in said_before}, registered)
    found = []
    for row in rows:
        if math.isfinite(row.p):
            if row.standing.is_confirmatory:
                row = replace(row, adjusted_p=adjusted[row.name])
                if math.isfinite(row.beyond_p):
                    row = replace(row, adjusted_beyond_p=beyond[row.name])
            row = replace(row, finding=_finding(row, confidence))
        found.append(row)
    return tuple(sorted(found, key=lambda row: not row.standing.is_confirmatory))


def _adjusted(p_values: Mapping[str, float], names: Iterable[str]) -> dict[str, float]:
    """By Holm over the names, where what has no p counts as 1."""
    family = {name: p_values.get(name, math.nan) for name in names}
    p = holm([1.0 if math.isnan(p) else p for p in family.values()])
    return dict(zip(family, p, strict=True))


def _finding(row: HypothesisRow, confidence: float) -> Finding:
    alpha, direction = 1 - confidence, row.hypothesis.direction
    is_confirmatory = row.standing.is_confirmatory
    reached = (row.adjusted_p if is_confirmatory else row.p) <= alpha
    if direction == "equivalent":
        if not reached:
            return Finding.NOT_EQUIVALENT
        if not is_confirmatory:
            return Finding.UNCONFIRMED
        return Finding.AT_EDGE if row.of.at_edge or row.against.at_edge else Finding.EQUIVALENT
    if row.difference.includes_zero:
        return Finding.NO_DIFFERENCE
    is_lower = row.difference.high < 0
    worse = row.against if is_lower else row.of
    if direction == ("higher" if is_lower else "lower"):
        return Finding.AT_EDGE if worse.at_edge else Finding.AGAINST_CLAIM
    if not is_confirmatory:
        return Finding.UNCONFIRMED
    if not reached:
        return Finding.NOT_SIGNIFICANT
    if worse.at_edge:
        return Finding.AT_EDGE
    is_clear = row.adjusted_beyond_p <= alpha and is_sure_win(row.difference, row.win)
    return Finding.BEYOND_MARGIN if is_clear else Finding.AS_CLAIMED
