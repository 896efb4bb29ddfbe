"""Asking before `ablate run` spends more than was agreed."""

from __future__ import annotations

import math
import os
import sys
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from ablations.cost import Costing, Estimate
from ablations.cost_words import spending, unmeasured
from ablations.listing import statuses_of
from ablations.machine import this_machine
from ablations.run_directory import StudyDirectory
from ablations.run_status import RunState
from studies.errors import AblationError
from studies.plan import Plan

BUDGET_VARIABLE = "ABLATE_BUDGET_HOURS"
DEFAULT_BUDGET_HOURS = 1.0
SLOWEST_TO_LARGEST = 2.5
"""How much longer than the run of most FLOPs another one may take: FLOPs count matrix products, and
no norms. With instance norm on either side, a small model takes 2.1 times as long as with the
fastest norm."""


@dataclass(frozen=True)
class Terms:
    """On what terms a study may be started."""

    workers: int | None = None
    """Worker processes; None is one for each GPU, or else for each core."""
    retry_failed: bool = False
    budget_hours: float | None = None
    """Device-hours that need no question; None is what the environment says, or else one."""
    yes: bool = False
    """Whether any cost is agreed to."""

    @property
    def limit_hours(self) -> float:
        """Device-hours that need no question.

        Raises:
            AblationError: the environment gives no number of hours.
        """
        if self.budget_hours is not None:
            return self.budget_hours
        text = os.environ.get(BUDGET_VARIABLE)
        try:
            hours = DEFAULT_BUDGET_HOURS if text is None else float(text)
        except ValueError:
            hours = math.nan
        if not hours >= 0:
            raise AblationError(
                f"{BUDGET_VARIABLE} = {text!r}: a number of device-hours from 0 on is allowed. "
                "Set it to one, or unset it."
            )
        return hours


def costing_of(plan: Plan, home: Path, *, workers: int | None, retry_failed: bool) -> Costing:
    """The cost of what is still to run of a plan on this machine; nothing is measured yet."""
    directory = StudyDirectory(home, plan.study.name)
    statuses = statuses_of(plan, directory).items()
    ended = {
        key
        for key, status in statuses
        if status.state.is_ended() and not (retry_failed and status.state is RunState.FAILED)
    }
    machine = this_machine(plan.study.execution, workers)
    return Costing(plan, home / "cache", machine, ended)


def agree(console: Console, plan: Plan, home: Path, terms: Terms) -> bool:
    """Whether a study may be started: at once where it costs little, else as the user says.

    Raises:
        AblationError: it costs more than the budget, and there is nobody to ask.
    """
    limit_hours = terms.limit_hours
    costing = costing_of(plan, home, workers=terms.workers, retry_failed=terms.retry_failed)
    if not costing.expected:
        return True
    with console.status("measuring") as status:
        rough = costing.rough_estimate(status.update)
        if rough and (terms.yes or SLOWEST_TO_LARGEST * rough.device_hours <= limit_hours):
            cost = f"{plan.study.name} takes some {spending(rough)}"
            tuned = " and its fine-tunings" if plan.arms else ""
            console.print(f"{cost} if every run is like {costing.largest}{tuned}")
            return True
        estimate = None if terms.yes else costing.estimate(status.update)
    if estimate is None:  # pre-flight, which comes next, says why
        return True
    for line in unmeasured(costing):
        console.print(line)
    cost = f"{plan.study.name} takes about {spending(estimate)}"
    if estimate.device_hours > limit_hours:
        return _asked(console, cost, estimate, limit_hours)
    console.print(cost)
    return True


def _asked(console: Console, cost: str, estimate: Estimate, limit_hours: float) -> bool:
    if not sys.stdin.isatty():
        unit = estimate.machine.unit
        raise AblationError(
            f"{cost}, more than the {limit_hours:g} {unit} that need no question; nothing was "
            "started, and there is no terminal to ask on. Add --yes, or give --budget-hours "
            f"{math.ceil(estimate.device_hours)} (or {BUDGET_VARIABLE}); "
            "`ablate plan STUDY --cost` says what it is made of."
        )
    try:
        answer = input(f"{cost}; go on? [y/N] ").strip().lower()
    except EOFError:
        answer = ""
    if answer in ("y", "yes"):
        return True
    console.print("nothing was started")
    return False
