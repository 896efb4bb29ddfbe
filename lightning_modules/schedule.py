"""At which optimiser steps a run records, evaluates and probes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from studies.run_spec import RunSpec

RARE_LOOKS = 5
"""Looks of a run's rare diagnostics, where the study says nothing else."""


_MEASURED = ("last_step", "early_step", "expected_steps", "spent", "rare_step")
"""What a run of minutes comes to know while it trains."""


class Cost(StrEnum):
    """What a look of a diagnostic costs, which decides how often it looks by default."""

    STEP = "step"
    """A reduction over what a training step left behind: at every logged step."""
    PROBE = "probe"
    """A share of one forward pass on the probe batch, or a copy of the parameters."""
    RARE = "rare"
    """Several passes, or products of whole activations: some five times in a run."""


@dataclass
class Schedule:
    """Cadences of a run, and its length. Steps count from 1; step 0 is the model as initialised.

    In a run of minutes the early, the rare and the last step are not known beforehand: see `spend`.
    """

    last_step: int
    """In a run of minutes a bound, until the last step is about to be made."""
    early_step: int
    """As `last_step`."""
    expected_steps: float
    """Steps of the whole run, over which the learning rate decays. In a run of minutes those that
    are done and those that fit into the time left; a bound while no pace is known."""
    log_every_steps: int
    evaluate_every_steps: int
    probe_every_steps: int
    rare_every_steps: int | None
    """None in a run of minutes where the study gives none: then `rare_step` says it."""
    every_steps: Mapping[str, int]
    """Cadence of single diagnostics by name."""
    max_minutes: float | None = None
    early_fraction: float = 0.0
    spent: float = 0.0
    """Share of the minutes."""
    rare_step: int = 0
    """Latest step at which a rare look was due by time."""

    @classmethod
    def of(cls, spec: RunSpec) -> Schedule:
        """The schedule that a run spec asks for."""
        training, diagnostics = spec.training, spec.diagnostics
        steps, is_timed = training.max_steps, training.max_minutes is not None
        early = steps if is_timed else max(1, round(training.early_step_fraction * steps))
        return cls(
            last_step=steps,
            early_step=early,
            expected_steps=steps,
            log_every_steps=diagnostics.log_every_steps,
            evaluate_every_steps=diagnostics.evaluate_every_steps,
            probe_every_steps=diagnostics.probe_every_steps,
            rare_every_steps=diagnostics.rare_every_steps
            or (None if is_timed else max(1, steps // RARE_LOOKS)),
            every_steps=diagnostics.every_steps,
            max_minutes=training.max_minutes,
            early_fraction=training.early_step_fraction,
        )

    def spend(self, step: int, training_s: float, step_s: float | None) -> None:
        """Take the training time of a run of minutes up to a step, and say what the next one is.

        It is said before that step is made, since diagnostics look at its gradients. The next step
        is the last when after it no other fits into the time, or when the time is over.

        Args:
            step: steps that are done.
            training_s: seconds that they took, compilation included.
            step_s: seconds that a step takes from here on; None while that is not known.
        """
        assert self.max_minutes is not None
        budget_s = 60 * self.max_minutes
        before, self.spent = self.spent, min(1.0, training_s / budget_s)
        if step >= self.last_step:
            return
        left_s = max(0.0, budget_s - training_s)
        if step_s:
            self.expected_steps = step + left_s / step_s
        if before < self.early_fraction <= self.spent:
            self.early_step = step + 1
        if int(RARE_LOOKS * before) < int(RARE_LOOKS * self.spent):
            self.rare_step = step + 1
        if left_s == 0 or step + 2 > self.expected_steps:
            self.last_step = step + 1
            self.early_step = min(self.early_step, self.last_step)

    @property
    def spent_minutes(self) -> float | None:
        """Minutes spent so far; None where the budget is in steps."""
        return None if self.max_minutes is None else self.spent * self.max_minutes

    def state_dict(self) -> dict[str, float]:
        """What a resumed run of minutes needs."""
        return {name: getattr(self, name) for name in _MEASURED}

    def load_state_dict(self, state: Mapping[str, float]) -> None:
        """Take up where the checkpoint left off."""
        for name in _MEASURED:
            setattr(self, name, state[name])

    def logs(self, step: int) -> bool:
        """Whether training loss and learning rate are recorded: also first and last."""
        return step % self.log_every_steps == 0 or step in (1, self.last_step)

    def evaluates(self, step: int) -> bool:
        """Whether the evaluation set is read: also at the start, at the early step, at the end."""
        return step % self.evaluate_every_steps == 0 or step in (self.early_step, self.last_step)

    def cadence(self, name: str, cost: Cost) -> int | None:
        """Steps between the looks of a diagnostic; None where they go by the minutes."""
        return (
            self.every_steps.get(name)
            or {
                Cost.STEP: self.log_every_steps,
                Cost.PROBE: self.probe_every_steps,
                Cost.RARE: self.rare_every_steps,
            }[cost]
        )

    def looks(self, name: str, cost: Cost, step: int) -> bool:
        """Whether a diagnostic has its turn: also at the end, and (step 0) at the start."""
        every = self.cadence(name, cost)
        due = step in (0, self.rare_step) if every is None else step % every == 0
        return due or step == self.last_step or (cost is Cost.STEP and step == 1)
