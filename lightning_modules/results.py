"""The result of a run: its scalars, and the facts about model, data and device behind them."""

from __future__ import annotations

import math

import torch

from lightning_modules.callbacks import RunCallback
from lightning_modules.data.batches import bytes_per_token
from lightning_modules.data.token_store import TokenStore
from lightning_modules.diagnostics.suite import definitions_of
from lightning_modules.gpt.initialization import resolve_initialization
from lightning_modules.model_facts import ModelFacts
from lightning_modules.run_context import RunContext
from studies.content import weights_text
from studies.metrics import (
    BYTES_PER_TOKEN,
    DIVERGED_AT_STEP,
    FINAL_BITS_PER_BYTE,
    FINAL_BYTE_PERPLEXITY,
    FINAL_LOSS,
    FINAL_PERPLEXITY,
    FLOPS_PER_TOKEN,
    LAST_TRAIN_LOSS,
    LOSS_SPIKES,
    METRICS,
    OVERHEAD_PERCENT,
    PARAMETERS,
    PARAMETERS_NON_EMBEDDING,
    PRUNED_AT_STEP,
    STEPS,
    STEPS_TO_TARGET,
    TARGET_LOSS,
    TOKENS_PER_S,
    TRAINING_TIME_S,
)
from studies.records import Outcome, RunResult
from studies.run_spec import RunSpec
from studies.values import Scalar

LARGEST_LOSS = 700.0
"""Nats per token of which the exponential is a number."""


def run_result(
    context: RunContext,
    facts: ModelFacts,
    store: TokenStore,
    device: torch.device,
    run: RunCallback,
) -> RunResult:
    """The result of a run that ended."""
    spec = context.spec
    length = bytes_per_token(store, context.batches.evaluation_BT)
    return RunResult(
        outcome=_outcome(run),
        summary=_summary(spec, facts, run) | _other_units(run, length),
        leak=facts.leak,
        facts={**_tags(spec, facts, store, device), TARGET_LOSS: run.target.target},
        definitions=METRICS | definitions_of(spec.diagnostics.enabled),
        digests=run.digests(),
    )


def _outcome(run: RunCallback) -> Outcome:
    if run.losses.diverged_at_step is not None:
        return Outcome.DIVERGED
    return Outcome.COMPLETED if run.pruned_at_step is None else Outcome.PRUNED


def _summary(spec: RunSpec, facts: ModelFacts, run: RunCallback) -> dict[str, float]:
    times = run.clock.times
    # Too short a run has no steps after the warm-up: then all of them count.
    steps, seconds = (
        (times.timed_steps, times.timed_s) if times.timed_steps else (run.step, times.training_s)
    )
    tokens_per_step = spec.training.batch_size * spec.model.context_length
    values: dict[str, float | None] = {
        **run.summary,
        LAST_TRAIN_LOSS: run.losses.last_finite,
        DIVERGED_AT_STEP: run.losses.diverged_at_step,
        PRUNED_AT_STEP: run.pruned_at_step,
        LOSS_SPIKES: run.losses.spikes,
        STEPS_TO_TARGET: run.target.reached_at,
        TOKENS_PER_S: steps * tokens_per_step / seconds if seconds else None,
        TRAINING_TIME_S: times.training_s,
        OVERHEAD_PERCENT: (
            100 * times.diagnostics_s / times.training_s if times.training_s else None
        ),
        STEPS: run.step,
        PARAMETERS: facts.parameters,
        PARAMETERS_NON_EMBEDDING: facts.parameters_non_embedding,
        FLOPS_PER_TOKEN: facts.flops_per_token,
    }
    return {k: float(v) for k, v in values.items() if v is not None and math.isfinite(v)}


def _other_units(run: RunCallback, bytes_per_token: float | None) -> dict[str, float]:
    """The final loss as others give it."""
    loss = run.summary.get(FINAL_LOSS, math.inf)
    if loss > LARGEST_LOSS:
        return {}
    values = {FINAL_PERPLEXITY: math.exp(loss)}
    if bytes_per_token:
        bits = loss / math.log(2) / bytes_per_token
        values[BYTES_PER_TOKEN] = bytes_per_token
        values[FINAL_BITS_PER_BYTE] = bits
        values[FINAL_BYTE_PERPLEXITY] = 2**bits
    return values


def _tags(
    spec: RunSpec, facts: ModelFacts, store: TokenStore, device: torch.device
) -> dict[str, Scalar]:
    return {
        "device": device_name(device),
        "precision": spec.training.precision,
        "initialization": _initialization(spec),
        **({"batch_norm": "per device"} if facts.norms_per_device else {}),
        **store.describe(),
    }


def device_name(device: torch.device) -> str:
    """The GPU by its product name, anything else by its kind."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


def _initialization(spec: RunSpec) -> str:
    if spec.module is not None:
        return "own"
    if spec.model.weights is not None:
        return weights_text(spec.model.weights, spec.model.weights_digest)
    return resolve_initialization(spec.model)
