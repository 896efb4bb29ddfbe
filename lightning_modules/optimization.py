"""AdamW over parameters grouped by role, and the learning rate of each step."""

from __future__ import annotations

import math
from collections.abc import Iterable

import pytorch_lightning as pl
import torch
from torch import nn

from studies.schema import TrainingConfig


def learning_rate_factor(training: TrainingConfig, step: int, expected_steps: float) -> float:
    """Share of the peak learning rate at an optimiser step; after the expected ones it stays.

    Linear warm-up that reaches 1 at `warmup_steps`, then half a cosine down to
    `final_learning_rate_fraction` at `expected_steps`: `max_steps`, or what the minutes of a run
    are good for. Source: Loshchilov & Hutter 2017, SGDR; Geiping & Goldstein 2022, Cramming (a
    schedule tied to a budget in time).
    """
    reached = min(step, expected_steps)
    if reached <= training.warmup_steps:
        return reached / training.warmup_steps
    decay_steps = expected_steps - training.warmup_steps
    progress = (reached - training.warmup_steps) / decay_steps
    floor = training.final_learning_rate_fraction
    return floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * progress))


def clip_global_norm(
    module: pl.LightningModule,
    optimizer: torch.optim.Optimizer,
    norm: int | float | None,
    precision: str,
) -> None:
    """Scale the gradients of a module down to a global norm, where one is given.

    Lightning refuses to clip for a fused optimiser under any autocast, though only fp16 gradients
    are scaled; with bf16 it is safe.
    """
    if precision == "bf16-mixed" and norm:
        nn.utils.clip_grad_norm_(module.parameters(), norm)
    else:
        module.clip_gradients(optimizer, norm, "norm")


def build_adamw(
    training: TrainingConfig, decaying: Iterable[nn.Parameter], others: Iterable[nn.Parameter]
) -> torch.optim.AdamW:
    """AdamW that decays the first group only.

    Fused, but for fp16: there the fused step unscales the gradients after they were clipped.
    """
    groups = [
        {"params": list(decaying), "weight_decay": training.weight_decay},
        {"params": list(others), "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(
        [group for group in groups if group["params"]],
        lr=training.learning_rate,
        betas=(training.beta1, training.beta2),
        eps=training.adam_eps,
        fused=training.precision != "16-mixed",
    )
