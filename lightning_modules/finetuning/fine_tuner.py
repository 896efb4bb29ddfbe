"""The LightningModule that fine-tunes a GPT on a task."""

from __future__ import annotations

from typing import Any, NamedTuple

import pytorch_lightning as pl
import torch
from torch import Tensor
from torch.nn import functional as F

from lightning_modules.finetuning.batches import TaskBatch
from lightning_modules.finetuning.task_model import TaskModel, TaskOutputs
from lightning_modules.gpt.roles import named_roles
from lightning_modules.optimization import build_adamw, clip_global_norm
from studies.finetuning import Finetuning
from studies.schema import TrainingConfig


class LabelScale(NamedTuple):
    """Mean and standard deviation of numbers to be predicted, in training."""

    mean: float
    deviation: float


class FineTuner(pl.LightningModule):
    """A task model with its loss and its optimiser."""

    def __init__(
        self,
        model: TaskModel,
        finetuning: Finetuning,
        training: TrainingConfig,
        *,
        steps: int,
        scale: LabelScale | None,
    ) -> None:
        """What `training` says of AdamW, clipping and precision goes on; `scale` in regression."""
        super().__init__()
        self.model = model
        self._finetuning, self._steps, self._scale = finetuning, steps, scale
        self._training = training.model_copy(update={"learning_rate": finetuning.learning_rate})

    def training_step(self, batch: TaskBatch, batch_idx: int) -> Tensor:
        """Loss of the task plus lambda times that of the language model.

        Source: Radford et al. 2018, equation 5.
        """
        weight = self._finetuning.auxiliary_weight
        outputs: TaskOutputs = self.model(batch, auxiliary=weight > 0)
        loss = self.task_loss(outputs.logits_EC, batch.labels_E)
        if outputs.language_model_loss is not None:
            loss = loss + weight * outputs.language_model_loss
        return loss

    def validation_step(self, batch: TaskBatch, batch_idx: int) -> Tensor:
        """Logits (E, C) of a batch."""
        outputs: TaskOutputs = self.model(batch)
        return outputs.logits_EC

    def task_loss(self, logits_EC: Tensor, labels_E: Tensor) -> Tensor:
        """Mean cross-entropy in nats, or in regression the mean squared error of scaled labels."""
        if self._scale is None:
            return F.cross_entropy(logits_EC, labels_E)
        target_E = (labels_E - self._scale.mean) / self._scale.deviation
        return F.mse_loss(logits_EC.squeeze(-1), target_E.to(logits_EC.dtype))

    def predictions(self, logits_EC: Tensor) -> Tensor:
        """Number of the likeliest label or answer, or the number predicted, up to its scale."""
        return logits_EC.argmax(-1) if self._scale is None else logits_EC.squeeze(-1)

    def configure_optimizers(self) -> Any:
        """AdamW with decay by role, and a rate that rises and falls linearly."""
        roles = named_roles(self.model)
        parameters = dict(self.model.named_parameters())
        optimizer = build_adamw(
            self._training,
            decaying=[p for name, p in parameters.items() if roles[name].decays],
            others=[p for name, p in parameters.items() if not roles[name].decays],
        )
        scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, self._learning_rate_factor)
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": scheduler, "interval": "step"},
        }

    def configure_gradient_clipping(
        self,
        optimizer: torch.optim.Optimizer,
        gradient_clip_val: int | float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Clip by the global norm."""
        clip_global_norm(self, optimizer, gradient_clip_val, self._training.precision)

    def _learning_rate_factor(self, steps_done: int) -> float:
        """Of the step after those that are done; 0 after the last."""
        warmup = self._finetuning.warmup_fraction * self._steps
        if steps_done + 1 <= warmup:
            return (steps_done + 1) / warmup
        return max(0.0, (self._steps - steps_done) / max(self._steps - warmup, 1.0))
