"""The shapes of what is recorded of a run, shared by everything that writes or reads runs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal, Protocol

from pydantic import BaseModel, ConfigDict

from studies.generation import Samples
from studies.metrics import Metric
from studies.plan import Plan, PlannedRun, Stage
from studies.values import Scalar


class Outcome(StrEnum):
    """How a planned run ended; divergence is a result, not an error."""

    COMPLETED = "completed"
    DIVERGED = "diverged"
    PRUNED = "pruned"
    FAILED = "failed"
    MISSING = "missing"


class Leak(StrEnum):
    """What a measurement said about future tokens reaching the present, the worst last."""

    CAUSAL = "causal"
    IN_TRAINING = "leaks_in_training"
    LEAKY = "leaky"


def worst_leak(leaks: Iterable[Leak | None]) -> Leak | None:
    """The worst of the labels that were measured; None where none was."""
    measured = [leak for leak in leaks if leak is not None]
    return max(measured, key=list(Leak).index, default=None)


class MetricSink(Protocol):
    """Where a training run puts its numbers; must never raise."""

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Record finite values at an optimiser step."""

    def keep(self) -> bool:
        """Put what was written where a crash spares it; False if that fails."""


class NoSink:
    """Takes what nobody reads."""

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Nothing is recorded."""

    def keep(self) -> bool:
        """Nothing can be lost."""
        return True


@dataclass(frozen=True)
class RunResult:
    """What training one run gave."""

    outcome: Outcome
    """`completed`, `diverged` or `pruned`."""
    summary: dict[str, float]
    """Finite scalars by metric name; a number that could not be had is absent."""
    leak: Leak | None
    """Measured on the model as built; None for a module of one's own that gives no logits."""
    facts: dict[str, Scalar] = field(default_factory=dict)
    """Resolved choices and digests worth a tag: initialisation, device, data digest."""
    definitions: dict[str, Metric] = field(default_factory=dict)
    """Definition of each recorded metric or family of curves."""
    digests: dict[str, str] = field(default_factory=dict)
    """Of the data that the run was given and the values that it started from, by the keys of
    `studies.digests`."""
    samples: Samples | None = None
    """Texts that the trained model generated."""


class RunRecord(BaseModel):
    """The finished run as it is stored in `record.json`: what reports are made of."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    record_version: Literal[1] = 1
    run_key: str
    study: str
    variant: str
    seed: int
    levels: dict[str, Scalar]
    """Factor to level, canonical; null where the factor means nothing in this cell."""
    attempt: int
    """Number of the Optuna trial that this record comes from."""
    outcome: Outcome
    leak: Leak | None = None
    pruned_by: str | None = None
    """Of a pruned run: digest of the section `protocol.pruning` by which it was."""
    summary: dict[str, float] = {}
    facts: dict[str, Scalar] = {}
    definitions: dict[str, Metric] = {}
    digests: dict[str, str] = {}
    """As of `RunResult`; empty for a run that failed."""
    samples: Samples | None = None
    error: str | None = None
    """Last line of the error of a failed run."""
    provenance: dict[str, Any] = {}
    """Git commit, versions, device, host."""
    wall_time_s: float = 0.0
    """Of all attempts at the run, with evaluations and diagnostics; of one that was killed, until
    the last metric or checkpoint that it wrote."""

    def stands(self, plan: Plan, stage: Stage) -> bool:
        """Whether a run of a stage has ended: what another `protocol.pruning` pruned has not."""
        if self.outcome is not Outcome.PRUNED:
            return True
        return self.pruned_by is not None and self.pruned_by == plan.pruner(stage)

    def as_planned(self, plan: Plan, run: PlannedRun) -> RunRecord:
        """The record under the name and the levels that a plan gives the run.

        A study that was given another factor keeps its runs, and names them anew.
        """
        levels = plan.levels_of(run)
        return self.model_copy(update={"variant": run.variant, "levels": levels})
