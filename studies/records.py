"""The names and shapes of what is recorded, shared by everything that writes or reads runs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal, Protocol

from pydantic import BaseModel, ConfigDict

from studies.plan import Plan, PlannedRun
from studies.schema import Scalar


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


@dataclass(frozen=True)
class Metric:
    """Definition of a recorded number."""

    label: str
    unit: str
    direction: Literal["lower", "higher", "neither"]
    definition: str


TRAIN_LOSS = "train/loss"
LEARNING_RATE = "train/learning_rate"
VALIDATION_LOSS = "val/loss"

FINAL_LOSS = "summary/val_loss"
EARLY_LOSS = "summary/val_loss_early"
INITIAL_LOSS = "summary/val_loss_initial"
LAST_TRAIN_LOSS = "summary/train_loss_last_finite"
DIVERGED_AT_STEP = "summary/diverged_at_step"
TOKENS_PER_S = "summary/tokens_per_s"
PEAK_MEMORY_GIB = "summary/peak_memory_gib"
PARAMETERS = "summary/parameters"
PARAMETERS_NON_EMBEDDING = "summary/parameters_non_embedding"
FLOPS_PER_TOKEN = "summary/flops_per_token"
TRAINING_TIME_S = "summary/training_time_s"
STEPS = "summary/steps"

OVERHEAD_PERCENT = "diagnostics/overhead_percent"

METRICS: dict[str, Metric] = {
    TRAIN_LOSS: Metric("training loss", "nats/token", "lower", "mean over the step's batch"),
    LEARNING_RATE: Metric("learning rate", "", "neither", "rate that the step used"),
    VALIDATION_LOSS: Metric(
        "validation loss", "nats/token", "lower", "mean over the fixed evaluation set"
    ),
    FINAL_LOSS: Metric(
        "final loss", "nats/token", "lower", "validation loss at the last step; no selection"
    ),
    EARLY_LOSS: Metric(
        "early loss", "nats/token", "lower", "validation loss at early_step_fraction of the steps"
    ),
    INITIAL_LOSS: Metric(
        "initial loss", "nats/token", "neither", "validation loss before the first step"
    ),
    LAST_TRAIN_LOSS: Metric(
        "last finite training loss", "nats/token", "neither", "the last one that was recorded"
    ),
    DIVERGED_AT_STEP: Metric("diverged at step", "steps", "neither", "step of the divergence"),
    TOKENS_PER_S: Metric(
        "throughput", "tokens/s", "higher", "training tokens over training time, evaluations out"
    ),
    PEAK_MEMORY_GIB: Metric(
        "peak memory", "GiB", "lower", "peak device memory; on CPU, peak resident set of the worker"
    ),
    PARAMETERS: Metric("parameters", "", "neither", "trainable parameters, shared ones once"),
    PARAMETERS_NON_EMBEDDING: Metric(
        "non-embedding parameters", "", "neither", "without token and position embeddings"
    ),
    FLOPS_PER_TOKEN: Metric(
        "FLOPs per token", "FLOP", "neither", "forward and backward; matmuls and attention scores"
    ),
    TRAINING_TIME_S: Metric("training time", "s", "neither", "wall time of all training steps"),
    STEPS: Metric("steps", "steps", "neither", "optimiser steps done"),
    OVERHEAD_PERCENT: Metric(
        "diagnostics overhead", "%", "lower", "time in diagnostics over time in training steps"
    ),
}
"""Numbers that every run records. Diagnostics bring the definitions of theirs along."""


def series_name(family: str, tap: str, index: int) -> str:
    """Name of a curve of one layer, such as `activation_rms/residual_03`.

    MLflow groups charts by what stands before the slash.
    """
    return f"{family}/{tap}_{index:02d}"


def split_series(name: str) -> tuple[str, str, int] | None:
    """Family, tap and index of a curve of one layer; None for a name that is not one."""
    family, _, leaf = name.rpartition("/")
    tap, _, digits = leaf.rpartition("_")
    return (family, tap, int(digits)) if family and tap and digits.isdigit() else None


class MetricSink(Protocol):
    """Where a training run puts its numbers; must return at once and never raise."""

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Record finite values at an optimiser step."""


@dataclass(frozen=True)
class RunResult:
    """What training one run gave."""

    outcome: Outcome
    """`completed` or `diverged`."""
    summary: dict[str, float]
    """Finite scalars by metric name; a number that could not be had is absent."""
    leak: Leak | None
    """Measured on the model as built; None for a module of one's own that gives no logits."""
    facts: dict[str, Scalar] = field(default_factory=dict)
    """Resolved choices and digests worth a tag: initialisation, device, data digest."""
    definitions: dict[str, Metric] = field(default_factory=dict)
    """Definition of each recorded metric or family of curves."""


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
    summary: dict[str, float] = {}
    facts: dict[str, Scalar] = {}
    definitions: dict[str, Metric] = {}
    error: str | None = None
    """Last line of the error of a failed run."""
    provenance: dict[str, Any] = {}
    """Git commit, versions, device, host."""
    wall_time_s: float = 0.0
    """Of the last attempt, with its evaluations and diagnostics."""

    def as_planned(self, plan: Plan, run: PlannedRun) -> RunRecord:
        """The record under the name and the levels that a plan gives the run.

        A study that was given another factor keeps its runs, and names them anew.
        """
        levels = plan.cell(run.variant).levels
        return self.model_copy(update={"variant": run.variant, "levels": levels})
