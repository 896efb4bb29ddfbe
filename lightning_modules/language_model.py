"""The LightningModule that trains a GPT to predict the next token."""

from __future__ import annotations

from typing import Any, cast

import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lightning_modules.gpt.model import GPT
from lightning_modules.gpt.roles import named_roles
from lightning_modules.optimization import (
    build_adamw,
    clip_global_norm,
    learning_rate_factor,
)
from lightning_modules.schedule import Schedule
from studies.run_spec import RunSpec


class LanguageModel(pl.LightningModule):
    """A GPT with its loss and its optimiser.

    Shapes: B batch, T time, V vocabulary. A batch is (B, T+1) tokens: inputs and, one on, targets.
    """

    def __init__(
        self, spec: RunSpec, vocabulary_size: int, schedule: Schedule | None = None
    ) -> None:
        """The schedule says over how many steps the learning rate decays."""
        super().__init__()
        self.spec = spec
        self._schedule = schedule or Schedule.of(spec)
        self.model = GPT(spec.model, vocabulary_size, seed=spec.initialization_seed)
        compiled = torch.compile(self.model) if spec.training.compile else self.model
        # In a tuple, so that it is not a second sub-module: diagnostics and evaluations use
        # `self.model`, which stays uncompiled.
        self._training_forward: tuple[nn.Module] = (cast(nn.Module, compiled),)

    def forward(self, tokens_BT: Tensor) -> Tensor:
        """Logits (B, T, V) of the next tokens."""
        logits: Tensor = self.model(tokens_BT)
        return logits

    def training_step(self, batch_BT: Tensor, batch_idx: int) -> Tensor:
        """Mean loss of a micro-batch, nats per token."""
        return next_token_loss(self._training_forward[0], batch_BT)

    def validation_step(self, batch_BT: Tensor, batch_idx: int) -> Tensor:
        """Mean loss of an evaluation batch, nats per token."""
        return next_token_loss(self.model, batch_BT)

    def configure_optimizers(self) -> Any:
        """AdamW with decay by role; the learning rate changes every optimiser step."""
        decays = {name: role.decays for name, role in named_roles(self.model).items()}
        parameters = dict(self.model.named_parameters())
        optimizer = build_adamw(
            self.spec.training,
            decaying=[p for name, p in parameters.items() if decays[name]],
            others=[p for name, p in parameters.items() if not decays[name]],
        )
        scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, self._learning_rate_factor)
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": scheduler, "interval": "step"},
        }

    def _learning_rate_factor(self, steps_done: int) -> float:
        """Of the step after those that are done."""
        expected_steps = self._schedule.expected_steps
        return learning_rate_factor(self.spec.training, steps_done + 1, expected_steps)

    def configure_gradient_clipping(
        self,
        optimizer: torch.optim.Optimizer,
        gradient_clip_val: int | float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Clip by the global norm."""
        clip_global_norm(self, optimizer, gradient_clip_val, self.spec.training.precision)


def next_token_loss(model: nn.Module, batch_BT: Tensor) -> Tensor:
    """Mean cross-entropy of the next tokens of a (B, T+1) batch, in nats, in fp32 or better."""
    logits_BTV = model(batch_BT[:, :-1])
    precise = logits_BTV.to(torch.promote_types(logits_BTV.dtype, torch.float32))
    return F.cross_entropy(precise.flatten(0, 1), batch_BT[:, 1:].flatten())
