"""The fairness ledger: what each variant was given, and what it spent."""

from __future__ import annotations

import math
from dataclasses import dataclass

from reports.frame import StudyResults
from reports.style import layout_of
from reports.words import plain_value
from studies.budgets import training_tokens
from studies.edges import Span
from studies.fairness import Size, mismatched, size_of, unequal_budgets
from studies.metrics import FLOPS_PER_TOKEN, PARAMETERS, PEAK_MEMORY_GIB
from studies.plan import Cell, Plan
from studies.protocol import Fixed, Protocol
from studies.records import Outcome
from studies.search import spans


@dataclass(frozen=True)
class Account:
    """What one variant was given and spent."""

    variant: str
    label: str
    color: str
    parameters: float
    flops_per_token: float
    size: Size | None
    """Against the baseline, in what the protocol matches."""
    tokens: int
    """Training tokens of each run."""
    trials: int
    """Settings that its search tried."""
    edges: tuple[str, ...]
    """Nuisance keys whose chosen value lies at the edge."""
    wall_time_h: float
    """Of all its runs that have a record, those of its search included."""
    peak_memory_gib: float
    """Most of its runs."""
    seeds: int
    """Compared runs."""
    outcomes: dict[Outcome, int]
    """Of its compared runs."""


@dataclass(frozen=True)
class FairnessLedger:
    """The accounts of all variants, and what is unequal."""

    accounts: tuple[Account, ...]
    protocol: Protocol
    baseline: str
    """Its label."""
    ranges: dict[str, str]
    """Nuisance key to what was tried of it."""
    search_seeds: int
    mismatched: dict[str, Size]
    """Label of a variant to its size, where that is beyond the tolerance."""
    unequal: str | None
    """How budgets differ, if they do."""
    outcomes: dict[Outcome, int]
    """Of the compared runs."""
    pruned: int
    """Runs of search and report that were ended early."""


def collect(results: StudyResults) -> FairnessLedger:
    """The ledger of a study, from all its runs."""
    plan = results.plan
    styles, search = layout_of(results).styles, plan.study.protocol.search
    return FairnessLedger(
        accounts=tuple(_account(results, c, styles[c.variant].color) for c in plan.cells),
        protocol=plan.study.protocol,
        baseline=results.labels[plan.baseline],
        ranges={key: _tried(plan, key) for key in plan.nuisance},
        search_seeds=0 if isinstance(search, Fixed) else len(search.seeds),
        mismatched={results.labels[v]: size for v, size in mismatched(plan).items()},
        unequal=unequal_budgets(plan),
        outcomes=results.compared.outcomes(),
        pruned=results.outcomes()[Outcome.PRUNED],
    )


def _account(results: StudyResults, cell: Cell, color: str) -> Account:
    plan = results.plan
    runs = results.runs[results.runs["variant"] == cell.variant]
    outcomes = results.compared.outcomes(cell.variant)
    choice = plan.choices.get(cell.variant)
    summaries = [r.summary for r in results.records.values() if r.variant == cell.variant]
    return Account(
        variant=cell.variant,
        label=results.labels[cell.variant],
        color=color,
        parameters=_first(summaries, PARAMETERS, cell.parameters),
        flops_per_token=_first(summaries, FLOPS_PER_TOKEN, cell.flops_per_token),
        size=size_of(plan, cell),
        tokens=training_tokens(cell.configuration),
        trials=sum(trial.variant == cell.variant for trial in plan.trials),
        edges=tuple(choice.edges) if choice else (),
        wall_time_h=float(runs["wall_time_s"].sum()) / 3600,
        peak_memory_gib=max((s[PEAK_MEMORY_GIB] for s in summaries if PEAK_MEMORY_GIB in s),
                            default=math.nan),
        seeds=sum(outcomes.values()),
        outcomes=outcomes,
    )  # fmt: skip


def _first(summaries: list[dict[str, float]], metric: str, estimated: float | int | None) -> float:
    """As a run counted it; as estimated in the plan where none has."""
    counted = next((s[metric] for s in summaries if metric in s), estimated)
    return math.nan if counted is None else float(counted)


def _tried(plan: Plan, key: str) -> str:
    """What was tried of a key: its ends, and how far they were extended."""
    search = plan.study.protocol.search
    now, given = spans(plan), spans(plan, 0)
    if key in now:
        ends = _ends(now[key])
        return ends if now[key] == given[key] else f"{ends} (at first {_ends(given[key])})"
    assert not isinstance(search, Fixed)
    values = search.tried[key]
    assert isinstance(values, tuple)
    return ", ".join(map(plain_value, values))


def _ends(span: Span) -> str:
    return f"{plain_value(span.low)} to {plain_value(span.high)}"
