"""What a run does at which of its steps: counted for a whole run, and made up for a rehearsal."""

from __future__ import annotations

import sys
from collections import Counter
from dataclasses import dataclass, field, fields, replace
from typing import NamedTuple

from lightning_modules.diagnostics.registry import DIAGNOSTICS
from lightning_modules.schedule import Cost, Schedule
from studies.run_spec import RunSpec


class Act(NamedTuple):
    """What comes with an optimiser step."""

    logs: bool = False
    due: frozenset[str] = frozenset()
    """Diagnostics that look."""
    evaluates: bool = False


PLAIN = Act()
EVALUATION = Act(evaluates=True)


class Programme(NamedTuple):
    """What a whole run does."""

    steps: int
    looks: Counter[Act]
    """Steps at which something is recorded or diagnostics look, by what does."""
    evaluations: int
    """Times that the evaluation set is read, before the first step too."""


def programme(spec: RunSpec) -> Programme:
    """Count what a run of steps does; one of minutes takes as long as it is told."""
    schedule = Schedule.of(spec)
    costs = {name: DIAGNOSTICS[name].cost for name in spec.diagnostics.enabled}
    every = {schedule.log_every_steps, schedule.evaluate_every_steps}
    every |= {step for name, cost in costs.items() if (step := schedule.cadence(name, cost))}
    steps = {1, schedule.early_step, schedule.last_step}
    steps.update(step for period in every for step in range(period, schedule.last_step, period))
    looks = Counter(_look(schedule, costs, step) for step in steps)
    del looks[PLAIN]
    return Programme(schedule.last_step, looks, 1 + sum(map(schedule.evaluates, steps)))


def _look(schedule: Schedule, costs: dict[str, Cost], step: int) -> Act:
    due = frozenset(name for name, cost in costs.items() if schedule.looks(name, cost, step))
    return Act(schedule.logs(step), due)


@dataclass
class Script(Schedule):
    """A schedule that is made up while it is played."""

    acts: list[Act] = field(default_factory=list)
    """What comes with each step, the first one first."""

    @classmethod
    def of(cls, spec: RunSpec) -> Script:
        """An empty script for a run, in which no step is the early or the last one."""
        real = Schedule.of(spec)
        script = cls(**{f.name: getattr(real, f.name) for f in fields(Schedule)})
        return replace(script, early_step=sys.maxsize, last_step=sys.maxsize)

    def logs(self, step: int) -> bool:
        """Whether training loss and learning rate are recorded."""
        return self.acts[step - 1].logs

    def evaluates(self, step: int) -> bool:
        """Whether the evaluation set is read."""
        return self.acts[step - 1].evaluates

    def looks(self, name: str, cost: Cost, step: int) -> bool:
        """Whether a diagnostic has its turn; at the start (step 0) as in any run."""
        return super().looks(name, cost, 0) if step == 0 else name in self.acts[step - 1].due
