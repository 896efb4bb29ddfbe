"""The fairness ledger: what each variant was given, and what it spent."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from reports.analysis.pairing import Pairing, collect_pairing
from reports.analysis.spending import RunCost, Spent, run_costs, total
from reports.figures.style import layout_of
from reports.results.frame import StudyResults
from reports.words import plain_value
from studies.budgets import length_text, seen_tokens, training_tokens
from studies.edges import Span
from studies.fairness import Size, budget_difference, budget_unit, size_against
from studies.metrics import FLOPS_PER_TOKEN, PARAMETERS, STEPS
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
    tokens: float
    """Training tokens of each run; of runs of minutes the mean of the compared ones that completed,
    NaN until one has."""
    tokens_in_all: Spent
    """Training tokens of all its runs that have a record, those of its search included."""
    trials: int
    """Settings that its search tried."""
    edges: tuple[str, ...]
    """Nuisance keys whose chosen value lies at the edge."""
    wall_time_h: float
    """Of all its runs that have a record, those of its search included, over every attempt at
    them."""
    peak_memory_gib: float
    """Most of its runs."""
    seeds: int
    """Compared runs."""
    outcomes: dict[Outcome, int]
    """Of its compared runs."""
    runs: tuple[str, ...]
    """Keys of all its runs, those of its search included."""


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
    budget: str
    """What variants have to be given alike, and how much where that is in minutes."""
    unequal: str | None
    """How budgets differ and why, if they do."""
    uneven_steps: float
    """As of `uneven_steps`."""
    outcomes: dict[Outcome, int]
    """Of the compared runs."""
    pairing: Pairing
    """Of the compared runs, as their digests have it."""
    pruned: int
    """Runs of search and report that were ended early."""
    searching: bool
    """Whether a search may ask for more runs."""


def collect(results: StudyResults) -> FairnessLedger:
    """The ledger of a study, from all its runs."""
    plan = results.plan
    styles, search = layout_of(results).styles, plan.study.protocol.search
    costs: dict[str, list[RunCost]] = {}
    for cost in run_costs(results):
        costs.setdefault(cost.variant, []).append(cost)
    accounts = [
        _account(results, cell, styles[cell.variant].color, costs.get(cell.variant, ()))
        for cell in plan.cells
    ]
    accounts = _with_sizes(accounts, plan)
    return FairnessLedger(
        accounts=tuple(accounts),
        protocol=plan.study.protocol,
        baseline=results.labels[plan.baseline],
        ranges={key: _tried(plan, key) for key in plan.nuisance},
        search_seeds=0 if isinstance(search, Fixed) else len(search.seeds),
        mismatched={a.label: a.size for a in accounts if a.size and not a.size.within},
        budget=_budget(plan),
        unequal=budget_difference(plan),
        uneven_steps=uneven_steps(results),
        outcomes=results.compared.outcomes(),
        pairing=collect_pairing(results.compared),
        pruned=results.outcomes()[Outcome.PRUNED],
        searching=not plan.is_settled,
    )


def _budget(plan: Plan) -> str:
    budget = plan.study.protocol.budget
    if budget is None or budget.minutes is None:
        return budget_unit(plan)
    length = length_text(cell.configuration for cell in plan.cells)
    return (
        f"{budget_unit(plan)} ({length}, evaluations and diagnostics left out); how many tokens "
        "its runs saw in them depends on the machine, and here is their mean"
    )


def _account(results: StudyResults, cell: Cell, color: str, costs: Sequence[RunCost]) -> Account:
    plan = results.plan
    runs = results.runs_of(cell.variant)
    outcomes = results.compared.outcomes(cell.variant)
    choice = plan.choices.get(cell.variant)
    return Account(
        variant=cell.variant,
        label=results.labels[cell.variant],
        color=color,
        parameters=results.counted(PARAMETERS, cell.variant, cell.parameters),
        flops_per_token=results.counted(FLOPS_PER_TOKEN, cell.variant, cell.flops_per_token),
        size=None,
        tokens=_tokens(results, cell),
        tokens_in_all=total(cost.tokens for cost in costs),
        trials=sum(trial.variant == cell.variant for trial in plan.trials),
        edges=tuple(choice.edges) if choice else (),
        wall_time_h=float(runs["wall_time_s"].sum()) / 3600,
        peak_memory_gib=max((m for c in costs if math.isfinite(m := c.peak_memory_gib)),
                            default=math.nan),
        seeds=sum(outcomes.values()),
        outcomes=outcomes,
        runs=tuple(runs["run_key"]),
    )  # fmt: skip


def _with_sizes(accounts: Sequence[Account], plan: Plan) -> list[Account]:
    """The accounts with their sizes against the baseline, as the runs counted them."""
    protocol = plan.study.protocol
    if protocol.match == "none":
        return list(accounts)
    name = "parameters" if protocol.match == "parameters" else "flops_per_token"
    known = {a.variant: v for a in accounts if math.isfinite(v := getattr(a, name))}
    target = known.get(plan.baseline)
    return [
        replace(a, size=size_against(known.get(a.variant), target, protocol.tolerance))
        for a in accounts
    ]


def _tokens(results: StudyResults, cell: Cell) -> float:
    seen = seen_tokens(cell.configuration, results.compared.values(STEPS, cell.variant))
    return math.nan if seen is None else float(seen)


def uneven_steps(results: StudyResults) -> float:
    """In runs of minutes, by how much the steps of one variant's compared runs differ at most.

    A share of the fewest; else 0.
    """
    return max(_uneven(results, cell) for cell in results.plan.cells)


def _uneven(results: StudyResults, cell: Cell) -> float:
    steps = results.compared.values(STEPS, cell.variant)
    if training_tokens(cell.configuration) is not None or steps.empty:
        return 0.0
    return float(steps.max() / steps.min()) - 1


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
