"""What is known of a module before it is trained: leak label, size, cost."""

from __future__ import annotations

import copy
from dataclasses import dataclass

import pytorch_lightning as pl
import torch
from torch import Tensor, nn

from lightning_modules.accounting import (
    count_parameters,
    flops_per_token,
    measured_flops_per_token,
)
from lightning_modules.evaluation import returned_loss
from lightning_modules.language_model import LanguageModel
from lightning_modules.leaks import measure_leak
from lightning_modules.manners import unlogged
from studies.records import Leak
from studies.run_spec import RunSpec

LEAK_TOKENS = 16
"""Length of the sequences on which a built-in GPT is tested: long enough for any leak to show, and
cheap for any size of model."""


@dataclass(frozen=True)
class ModelFacts:
    """Measured and counted on a module as built."""

    leak: Leak | None
    """None where `forward(tokens) -> logits` is not to be had."""
    parameters: int
    parameters_non_embedding: int
    flops_per_token: float | None
    """Forward and backward; None where it cannot be counted."""
    norms_per_device: bool = False
    """Whether it has batch norms that take the statistics of each device's share of a batch."""


def model_facts(module: pl.LightningModule, spec: RunSpec, vocabulary_size: int) -> ModelFacts:
    """Measure a module; it is left as it was."""
    if isinstance(module, LanguageModel):
        tokens = min(LEAK_TOKENS, spec.model.context_length)
        leak: Leak | None = _leak(module.model, vocabulary_size, tokens)
        flops: float | None = flops_per_token(spec.model, vocabulary_size)
    else:
        leak = _own_leak(module, vocabulary_size, spec.model.context_length)
        flops = _own_flops(module, vocabulary_size, spec.model.context_length)
    count = count_parameters(module)
    return ModelFacts(leak, count.total, count.non_embedding, flops)


def _leak(model: nn.Module, vocabulary_size: int, tokens: int) -> Leak:
    return measure_leak(
        model, vocabulary_size=vocabulary_size, sequence_length=tokens, batch_size=2, draws=1
    )


def _own_leak(module: pl.LightningModule, vocabulary_size: int, tokens: int) -> Leak | None:
    if type(module).forward is pl.LightningModule.forward:
        return None
    try:
        return _leak(module, vocabulary_size, tokens)
    except Exception:  # a forward of another kind may fail in any way
        return None


def _own_flops(
    module: pl.LightningModule, vocabulary_size: int, context_length: int
) -> float | None:
    """Counted on a copy. Fused recurrences are invisible to the counter, so none is better."""
    if any(isinstance(part, nn.RNNBase) for part in module.modules()):
        return None
    tokens_BT = torch.zeros(2, context_length + 1, dtype=torch.long)
    trainee = copy.deepcopy(module)

    def loss(batch_BT: Tensor) -> Tensor:
        return returned_loss(trainee.training_step(batch_BT, 0))

    try:
        with unlogged(trainee):
            counted = measured_flops_per_token(loss, tokens_BT)
    except Exception:  # a training step may need a trainer, which there is not yet
        return None
    # A sequence of T+1 tokens is T predictions.
    return counted * (context_length + 1) / context_length or None
