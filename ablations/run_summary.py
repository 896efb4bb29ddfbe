"""The numbers that sum up a run: those that it ended with, or what there is of them so far."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from ablations.numerals import significant
from ablations.run_view import RunView
from studies.metrics import (
    INITIAL_LOSS,
    METRICS,
    STEPS,
    STEPS_TO_TARGET,
    TARGET_LOSS,
    VALIDATION_LOSS,
    Metric,
)


class SummaryRow(NamedTuple):
    """One number of a run and what it is."""

    name: str
    value: str
    metric: Metric | None
    remark: str = ""


def summary_rows(view: RunView) -> Iterator[SummaryRow]:
    """In the order of the definitions, those without one last."""
    values = {name: significant(value, 4) for name, value in _numbers(view).items()}
    target = view.record.facts.get(TARGET_LOSS) if view.record else None
    remarks = {}
    if isinstance(target, int | float):
        values.setdefault(STEPS_TO_TARGET, "not reached")
        remarks[STEPS_TO_TARGET] = f"target_loss is {significant(float(target), 4)}"
    order = {name: place for place, name in enumerate(METRICS)}
    for name in sorted(values, key=lambda name: order.get(name, len(order))):
        yield SummaryRow(name, values[name], view.definition(name), remarks.get(name, ""))


def _numbers(view: RunView) -> dict[str, float]:
    if view.record and view.has_ended:
        return view.record.summary
    found: dict[str, float] = {}
    loss = view.curves.get(VALIDATION_LOSS)
    if loss and loss.steps[0] == 0:
        found[INITIAL_LOSS] = loss.values[0]
    if view.curves:
        found[STEPS] = float(max(curve.steps[-1] for curve in view.curves.values()))
    return found
