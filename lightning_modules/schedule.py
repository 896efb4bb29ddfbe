"""At which optimiser steps a run records, evaluates and probes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from studies.run_spec import RunSpec

RARE_LOOKS = 5
"""Looks of a run's rare diagnostics, where the study says nothing else."""


class Cost(StrEnum):
    """What a look of a diagnostic costs, which decides how often it looks by default."""

    STEP = "step"
    """A reduction over what a training step left behind: at every logged step."""
    PROBE = "probe"
    """A share of one forward pass on the probe batch, or a copy of the parameters."""
    RARE = "rare"
    """Several passes, or products of whole activations: some five times in a run."""


@dataclass(frozen=True)
class Schedule:
    """Cadences of a run. Steps count from 1; step 0 is the model as initialised."""

    last_step: int
    early_step: int
    log_every_steps: int
    evaluate_every_steps: int
    probe_every_steps: int
    rare_every_steps: int
    every_steps: Mapping[str, int]
    """Cadence of single diagnostics by name."""

    @classmethod
    def of(cls, spec: RunSpec) -> Schedule:
        """The schedule that a run spec asks for."""
        steps, diagnostics = spec.training.max_steps, spec.diagnostics
        return cls(
            last_step=steps,
            early_step=max(1, round(spec.training.early_step_fraction * steps)),
            log_every_steps=diagnostics.log_every_steps,
            evaluate_every_steps=diagnostics.evaluate_every_steps,
            probe_every_steps=diagnostics.probe_every_steps,
            rare_every_steps=diagnostics.rare_every_steps or max(1, steps // RARE_LOOKS),
            every_steps=diagnostics.every_steps,
        )

    def logs(self, step: int) -> bool:
        """Whether training loss and learning rate are recorded: also first and last."""
        return step % self.log_every_steps == 0 or step in (1, self.last_step)

    def evaluates(self, step: int) -> bool:
        """Whether the evaluation set is read: also at the start, at the early step, at the end."""
        return step % self.evaluate_every_steps == 0 or step in (self.early_step, self.last_step)

    def cadence(self, name: str, cost: Cost) -> int:
        """Steps between the looks of a diagnostic."""
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
        return step % every == 0 or step == self.last_step or (cost is Cost.STEP and step == 1)
