"""From tensors on the device to finite numbers in the sink, by one copy at a time."""

from __future__ import annotations

import math
from collections.abc import Mapping

import pytorch_lightning as pl
import torch

from lightning_modules.diagnostics.base import Readings
from lightning_modules.losses import LossWatch
from studies.metrics import TRAIN_LOSS
from studies.records import MetricSink


class Recorder:
    """Writes what a run measures; the first rank writes, and a non-finite number is left out."""

    def __init__(self, sink: MetricSink, losses: LossWatch, loss_name: str = TRAIN_LOSS) -> None:
        """The loss of a step is recorded under `loss_name`."""
        self._sink, self._losses, self._loss_name = sink, losses, loss_name

    def record(
        self, trainer: pl.Trainer, readings: Readings, of_the_step: Mapping[str, float] | None
    ) -> None:
        """Judge the losses so far; unless the run has diverged, record what belongs to this step.

        Its loss is recorded where other numbers of the step are given.
        """
        losses, values = self._copy(trainer, readings)
        if of_the_step is not None:
            values = {self._loss_name: losses[-1], **of_the_step, **values}
        if self._losses.diverged_at_step is None:
            self.write(trainer, values)

    def write(self, trainer: pl.Trainer, values: Mapping[str, float]) -> None:
        """Record numbers at the current optimiser step."""
        finite = {name: value for name, value in values.items() if math.isfinite(value)}
        if finite and trainer.is_global_zero:
            self._sink.write(trainer.global_step, finite)

    def _copy(
        self, trainer: pl.Trainer, readings: Readings
    ) -> tuple[list[float], dict[str, float]]:
        losses = trainer.strategy.reduce(self._losses.pending(), reduce_op="mean")
        host = torch.cat([losses, readings.values.to(losses)]).tolist()
        self._losses.judge(host[: len(losses)])
        return host[: len(losses)], dict(zip(readings.names, host[len(losses) :], strict=True))
