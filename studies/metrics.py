"""The names and definitions of the numbers that a run records."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from studies.values import Scalar


@dataclass(frozen=True)
class ByConstruction:
    """Where a curve follows from how a variant is built, and says nothing about its training."""

    note: str
    """What is fixed, in a sentence without a full stop."""
    taps: tuple[str, ...]
    """Taps of the curves."""
    when: Mapping[str, tuple[Scalar, ...]]
    """Configuration key to the levels under which it holds; all must match."""
    first_index: int = 0
    """Index of the first layer that is concerned."""

    def holds(self, configuration: Mapping[str, Mapping[str, Any]]) -> bool:
        """Whether a configuration (section to key to value) is of this kind.

        Never with a module of one's own, whose parts no configuration key tells for sure.
        """
        if configuration.get("module"):
            return False
        for key, levels in self.when.items():
            section, _, name = key.partition(".")
            if configuration[section][name] not in levels:
                return False
        return True


@dataclass(frozen=True)
class Metric:
    """Definition of a recorded number."""

    label: str
    unit: str
    direction: Literal["lower", "higher", "neither"]
    definition: str
    formula: str = ""
    """In TeX, with the symbols that the definition names."""
    source: str = ""
    """Paper that the definition is from."""
    scale: Literal["linear", "log", "diverging"] = "linear"
    """How values are drawn: `log` for positive ones over orders of magnitude, `diverging` for those
    around a zero that means something."""
    by_construction: tuple[ByConstruction, ...] = ()
    of_step: bool = False
    """Whether it is of one step, with its batch and its learning rate, and not of the model at that
    time: single values are noisy, and fall with the learning rate."""

    def fixed(
        self, tap: str, index: int, configuration: Mapping[str, Mapping[str, Any]]
    ) -> str | None:
        """Why the curve of a layer is fixed by construction in a configuration; None if not."""
        for rule in self.by_construction:
            if tap in rule.taps and index >= rule.first_index and rule.holds(configuration):
                return rule.note
        return None


TRAIN_LOSS = "train/loss"
LEARNING_RATE = "train/learning_rate"
TRAINING_MINUTES = "train/minutes"
VALIDATION_LOSS = "val/loss"

FINAL_LOSS = "summary/val_loss"
FINAL_PERPLEXITY = "summary/val_perplexity"
FINAL_BITS_PER_BYTE = "summary/val_bits_per_byte"
FINAL_BYTE_PERPLEXITY = "summary/val_byte_perplexity"
BYTES_PER_TOKEN = "summary/val_bytes_per_token"
EARLY_LOSS = "summary/val_loss_early"
INITIAL_LOSS = "summary/val_loss_initial"
LAST_TRAIN_LOSS = "summary/train_loss_last_finite"
DIVERGED_AT_STEP = "summary/diverged_at_step"
PRUNED_AT_STEP = "summary/pruned_at_step"
LAST_VALIDATION_LOSS = "summary/val_loss_last"
TOKENS_PER_S = "summary/tokens_per_s"
PEAK_MEMORY_GIB = "summary/peak_memory_gib"
PARAMETERS = "summary/parameters"
PARAMETERS_NON_EMBEDDING = "summary/parameters_non_embedding"
FLOPS_PER_TOKEN = "summary/flops_per_token"
TRAINING_TIME_S = "summary/training_time_s"
TRAIN_SET_LOSS = "summary/train_loss"
GENERALIZATION_GAP = "summary/generalization_gap"
LOSS_SPIKES = "summary/loss_spikes"
STEPS_TO_TARGET = "summary/steps_to_target"
STEPS = "summary/steps"
TARGET_LOSS = "target_loss"
"""Fact of a run: the loss that `STEPS_TO_TARGET` counts to."""

OVERHEAD_PERCENT = "diagnostics/overhead_percent"

METRICS: dict[str, Metric] = {
    TRAIN_LOSS: Metric("training loss", "nats/token", "lower", "mean over the step's batch"),
    LEARNING_RATE: Metric("learning rate", "", "neither", "rate that the step used"),
    TRAINING_MINUTES: Metric(
        "training time so far",
        "min",
        "neither",
        "evaluations, diagnostics and checkpoints left out; in runs of minutes alone",
    ),
    VALIDATION_LOSS: Metric(
        "validation loss", "nats/token", "lower", "mean over the fixed evaluation set"
    ),
    FINAL_LOSS: Metric(
        "final loss", "nats/token", "lower", "validation loss at the last step; no selection"
    ),
    FINAL_PERPLEXITY: Metric(
        "final perplexity", "per token", "lower", "exponential of the final loss", r"e^{\ell}"
    ),
    FINAL_BITS_PER_BYTE: Metric(
        "final bits per byte",
        "bits/byte",
        "lower",
        "final loss over the bytes of text that the evaluation set's tokens stand for, in bits: "
        "what compares tokenisers; absent where bytes of a token are not fixed",
        r"\ell / (b \ln 2)",
    ),
    FINAL_BYTE_PERPLEXITY: Metric(
        "final perplexity per byte", "per byte", "lower", "two to the bits per byte"
    ),
    BYTES_PER_TOKEN: Metric(
        "bytes per token",
        "bytes/token",
        "neither",
        "mean over the tokens that the evaluation set predicts",
        "b",
    ),
    EARLY_LOSS: Metric(
        "early loss",
        "nats/token",
        "lower",
        "validation loss at early_step_fraction of the steps, or minutes",
    ),
    INITIAL_LOSS: Metric(
        "initial loss", "nats/token", "neither", "validation loss before the first step"
    ),
    LAST_TRAIN_LOSS: Metric(
        "last finite training loss", "nats/token", "neither", "of all steps, recorded or not"
    ),
    TRAIN_SET_LOSS: Metric(
        "final loss on training text",
        "nats/token",
        "lower",
        "loss in evaluation mode at the last step, over as many tokens of the training text as the "
        "evaluation set has",
    ),
    GENERALIZATION_GAP: Metric(
        "generalisation gap",
        "nats/token",
        "lower",
        "final loss minus final loss on training text, both in evaluation mode",
    ),
    LOSS_SPIKES: Metric(
        "loss spikes",
        "steps",
        "lower",
        "steps whose training loss is at least 7 standard deviations above the mean of the up to "
        "100 steps (20 at least) before them; while the loss falls fast, these deviations contain "
        "the fall, and only a large jump counts",
        source="after Team OLMo 2024, 2 OLMo 2 Furious (spike score: there a share, to either "
        "side, over 1000 steps)",
    ),
    STEPS_TO_TARGET: Metric(
        "steps to target",
        "steps",
        "lower",
        "step at which the validation loss first reaches target_loss, interpolated between two "
        "evaluations; absent where it never does",
    ),
    DIVERGED_AT_STEP: Metric("diverged at step", "steps", "neither", "step of the divergence"),
    PRUNED_AT_STEP: Metric(
        "pruned at step", "steps", "neither", "step after which a pruned run was ended"
    ),
    LAST_VALIDATION_LOSS: Metric(
        "last validation loss",
        "nats/token",
        "neither",
        "of a pruned run, at the step after which it was ended; never ranked",
    ),
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


def layer_name(tap: str, index: int) -> str:
    """What a layer is called in the names of curves, such as `residual_03`."""
    return f"{tap}_{index:02d}"


def series_name(family: str, tap: str, index: int) -> str:
    """Name of a curve of one layer, such as `activation_rms/residual_03`.

    MLflow groups charts by what stands before the slash.
    """
    return f"{family}/{layer_name(tap, index)}"


def split_series(name: str) -> tuple[str, str, int] | None:
    """Family, tap and index of a curve of one layer; None for a name that is not one."""
    family, _, leaf = name.rpartition("/")
    tap, _, digits = leaf.rpartition("_")
    return (family, tap, int(digits)) if family and tap and digits.isdigit() else None
