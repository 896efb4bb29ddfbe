"""At which optimiser steps a run records, evaluates and probes."""

from __future__ import annotations

from dataclasses import dataclass

from studies.run_spec import RunSpec


@dataclass(frozen=True)
class Schedule:
    """Cadences of a run. Steps count from 1; step 0 is the model as initialised."""

    last_step: int
    early_step: int
    log_every_steps: int
    evaluate_every_steps: int
    probe_every_steps: int

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
        )

    def logs(self, step: int) -> bool:
        """Whether training loss, learning rate and gradients are recorded: also first and last."""
        return step % self.log_every_steps == 0 or step in (1, self.last_step)

    def evaluates(self, step: int) -> bool:
        """Whether the evaluation set is read: also at the start, at the early step, at the end."""
        return step % self.evaluate_every_steps == 0 or step in (self.early_step, self.last_step)

    def probes(self, step: int) -> bool:
        """Whether diagnostics look at the probe batch: also at the start and at the end."""
        return step % self.probe_every_steps == 0 or step == self.last_step
