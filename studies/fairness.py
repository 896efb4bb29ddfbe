"""Whether a plan compares like with like: budgets, sizes, and seeds that are repetitions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from studies.budgets import training_tokens
from studies.errors import AblationError
from studies.plan import Cell, Plan
from studies.seed_axes import unmoved

EQUAL = 0.01
"""Relative difference in what runs spend that comes of whole steps alone."""
MOST_NAMED = 5
"""Variants that a problem names."""


@dataclass(frozen=True)
class Size:
    """What a variant has of what the protocol matches, against the baseline."""

    achieved: float
    target: float
    within: bool
    """Whether the difference is in the protocol's tolerance."""

    @property
    def deviation(self) -> float:
        """Relative difference to the target."""
        return self.achieved / self.target - 1


def size_of(plan: Plan, cell: Cell) -> Size | None:
    """Parameters or FLOPs per token of a variant; None where nothing is matched, or known."""
    achieved, target = (_matched(plan, c) for c in (cell, plan.cell(plan.baseline)))
    return size_against(achieved, target, plan.study.protocol.tolerance)


def size_against(achieved: float | None, target: float | None, tolerance: float) -> Size | None:
    """What was achieved against a target; None where one of them is not known."""
    if achieved is None or not target:
        return None
    return Size(achieved, target, abs(achieved / target - 1) <= tolerance)


def _matched(plan: Plan, cell: Cell) -> float | None:
    known = {"parameters": cell.parameters, "flops": cell.flops_per_token, "none": None}
    value = known[plan.study.protocol.match]
    return None if value is None else float(value)


def mismatched(plan: Plan) -> dict[str, Size]:
    """Variants whose size deviates from the baseline's by more than the tolerance."""
    sizes = {cell.variant: size_of(plan, cell) for cell in plan.cells}
    return {variant: size for variant, size in sizes.items() if size and not size.within}


def unequal_budgets(plan: Plan) -> str | None:
    """How the budgets of variants differ; None where they do not.

    They are equal in the unit that the protocol names: FLOPs, minutes, or else training tokens.
    """
    unit = budget_unit(plan)
    spent = {cell.variant: _spent(cell, unit) for cell in plan.cells}
    least, most = min(spent, key=spent.__getitem__), max(spent, key=spent.__getitem__)
    if spent[most] <= spent[least] * (1 + EQUAL):
        return None
    return f"{least} has {spent[least]:,.0f} {unit}, {most} has {spent[most]:,.0f}"


def budget_difference(plan: Plan) -> str | None:
    """How the budgets of variants differ and why, and what differences hold because of that.

    None where they do not differ.
    """
    difference, reason = unequal_budgets(plan), plan.study.protocol.unequal_budgets
    if difference is None:
        return None
    if reason is None:
        text = f"Budgets differ: {difference}."
    else:
        text = f"Budgets differ on purpose: {reason.rstrip('.')} ({difference})."
    setters = [key.rpartition(".")[2].replace("_", " ") for key in _budget_setters(plan)]
    if not setters:
        return f"{text} A difference between variants holds what that does to the loss as well."
    verb = "sets" if len(setters) == 1 else "set"
    return (
        f"{text} The {' and '.join(setters)} {verb} the budget, which is part of what is compared: "
        "a difference between levels holds what it does to the loss as well."
    )


def _budget_setters(plan: Plan) -> list[str]:
    """Factors that the budget goes by; none where they are not all that it goes by."""
    unit = budget_unit(plan)

    def differs(*held: str) -> bool:
        """Whether cells that agree in these factors have different budgets."""
        spent: dict[tuple[object, ...], list[float]] = {}
        for cell in plan.cells:
            spent.setdefault(tuple(map(cell.levels.get, held)), []).append(_spent(cell, unit))
        return any(max(found) > min(found) * (1 + EQUAL) for found in spent.values())

    keys = list(dict.fromkeys(key for cell in plan.cells for key in cell.levels))
    setters = [key for key in keys if differs(*(other for other in keys if other != key))]
    return [] if differs(*setters) else setters


def budget_unit(plan: Plan) -> str:
    """What variants have to be given alike: FLOPs or minutes of training, or training tokens."""
    budget = plan.study.protocol.budget
    if budget is not None and budget.minutes is not None:
        return "minutes of training"
    return "FLOPs of training" if budget and budget.flops is not None else "training tokens"


def _spent(cell: Cell, unit: str) -> float:
    """What a run of a cell may spend."""
    minutes: float | None = cell.configuration["training"].get("max_minutes")
    if minutes is not None:
        return minutes
    tokens = float(training_tokens(cell.configuration) or 0)
    return tokens * (cell.flops_per_token or 0.0) if unit == "FLOPs of training" else tokens


def require_fair(plan: Plan) -> None:
    """Refuse a plan of different budgets, of sizes that are not wanted, or of idle seeds.

    Raises:
        AblationError: with every problem, and what to do.
    """
    problems = list(_problems(plan))
    if problems:
        lines = "\n".join(f"  - {problem}" for problem in problems)
        raise AblationError(f"study {plan.study.name} is no fair comparison:\n{lines}")


def _problems(plan: Plan) -> Iterator[str]:
    difference = unequal_budgets(plan)
    if difference and plan.study.protocol.unequal_budgets is None:
        yield (
            f"budgets differ: {difference}. Give protocol.budget.tokens (or flops, minutes), which "
            "sets how long each variant trains, or say in protocol.unequal_budgets why they are to "
            "differ."
        )
    yield from size_problems(plan)
    if idle := unmoved(plan):
        yield (
            f"the seeds change nothing in {_some(idle)}: whatever is drawn there has a seed of its "
            "own, so that every run is the same. Set seeds: 1 (with a search also "
            "protocol.search.seeds: 1), or leave one of training.initialization_seed, "
            "training.data_seed and, where there is dropout, training.dropout_seed to the run's "
            "seed."
        )


def size_problems(plan: Plan) -> Iterator[str]:
    """The sizes beyond the tolerance, where the protocol refuses them."""
    protocol = plan.study.protocol
    beyond = mismatched(plan) if protocol.beyond_tolerance == "refuse" else {}
    for variant, size in beyond.items():
        yield (
            f"{variant} has {size.deviation:+.1%} {protocol.match} against {plan.baseline}, "
            f"allowed ±{protocol.tolerance:.1%}: change its sizes, or set "
            "protocol.beyond_tolerance: mark."
        )


def wants_measured_sizes(plan: Plan) -> bool:
    """Whether the protocol refuses sizes that only pre-flight can tell.

    They are those of a module of one's own, or of a vocabulary that depends on the text.
    """
    protocol = plan.study.protocol
    if protocol.beyond_tolerance != "refuse" or protocol.match == "none":
        return False
    return any(_matched(plan, cell) is None for cell in plan.cells)


def _some(variants: Sequence[str]) -> str:
    """The variants by name, the first few of many."""
    more = len(variants) - MOST_NAMED
    return ", ".join(variants[:MOST_NAMED]) + (f" and {more} more" if more > 0 else "")
