"""How long a fine-tuning takes, from rehearsing some of its steps on the device it trains on."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytorch_lightning as pl

from lightning_modules.clock import WARM_UP_STEPS, time_of
from lightning_modules.finetuning.batches import TaskBatch
from lightning_modules.finetuning.callback import TaskCallback, TaskContext
from lightning_modules.finetuning.training import context_of, finetuning_of, fit, start_and_data
from lightning_modules.manners import interruptible
from lightning_modules.pace import (
    EVALUATION_BATCHES,
    REHEARSAL_S,
    STILL_LEARNING_RATE,
    checkpoints_of,
    name_of,
    require_finite,
)
from studies.execution import ExecutionConfig
from studies.pace import Pace, Part
from studies.records import NoSink
from studies.run_spec import RunSpec

LEAST_STEPS = 10
"""Steps that are timed, however long they take: batches are of many lengths, and come shuffled."""
ENOUGH_STEPS = 1_000_000
"""A rehearsal ends before these."""


def measure_finetuning_pace(
    spec: RunSpec, *, execution: ExecutionConfig, cache: Path, directory: Path
) -> Pace:
    """Rehearse a fine-tuning, from initial weights, and work out what the whole of it takes.

    Args:
        spec: the run.
        execution: how it is executed.
        cache: where tokens are kept between runs.
        directory: where a checkpoint is tried, on the disk that runs use; it is left there.

    Raises:
        AblationError: the run cannot be trained as it stands.
    """
    began_s = time.perf_counter()
    finetuning = finetuning_of(spec)
    gpt, data = start_and_data(spec, None, cache)
    whole = context_of(spec, data, execution, directory, NoSink(), lambda: False)
    rehearsed = replace(
        whole,
        evaluation=_spread(whole.evaluation),
        steps=ENOUGH_STEPS,
        steps_per_epoch=ENOUGH_STEPS,
        loss_limit=math.inf,
        checkpoint_every_s=math.inf,
    )
    rehearsal = _Rehearsal(rehearsed, whole, began_s)
    still = finetuning.model_copy(update={"learning_rate": STILL_LEARNING_RATE})
    calm = spec.model_copy(update={"finetuning": still})
    with interruptible():
        device = fit(calm, gpt, data, rehearsal, execution, None).device
    return Pace(device=name_of(device), parts=tuple(rehearsal.parts(finetuning.epochs)))


def _spread(batches: Sequence[TaskBatch]) -> list[TaskBatch]:
    """A few batches that stand for all, which are in the order of their lengths."""
    count = min(EVALUATION_BATCHES, len(batches))
    return [batches[int((n + 0.5) * len(batches) / count)] for n in range(count)]


class _Rehearsal(TaskCallback):
    """Does what happens around the steps of a fine-tuning, times it, and ends it."""

    def __init__(self, context: TaskContext, whole: TaskContext, began_s: float) -> None:
        super().__init__(context)
        self._whole, self._began_s = whole, began_s
        self._ready_s = self._warm_s = began_s
        self._step_s = self._evaluation_s = self._save_s = 0.0

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Score a few examples, as before any first step."""
        super().on_train_start(trainer, pl_module)
        self._ready_s = time_of(pl_module.device)

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """What follows a step in any fine-tuning; then time the rest, once the steps are enough.

        Raises:
            AblationError: the loss is not finite.
        """
        super().on_train_batch_end(trainer, pl_module, outputs, batch, batch_idx)
        require_finite(self.losses, self.step)
        device = pl_module.device
        if self.step <= WARM_UP_STEPS:
            self._warm_s = time_of(device)
            return
        steps = self.step - WARM_UP_STEPS
        if steps < LEAST_STEPS or time.perf_counter() - self._warm_s < REHEARSAL_S:
            return
        stepped_s = time_of(device)
        self._step_s = (stepped_s - self._warm_s) / steps
        self._evaluate(trainer)
        evaluated_s = time_of(device)
        self._evaluation_s = evaluated_s - stepped_s
        if self._saves:
            self._saver.save(trainer)
            self._save_s = time_of(device) - evaluated_s
        trainer.should_stop = True

    def parts(self, epochs: int) -> Iterator[Part]:
        """What the fine-tuning is made of, scored before its first step and after each epoch."""
        start_s = self._ready_s - self._began_s - self._evaluation_s
        share = _examples(self.context.evaluation) / _examples(self._whole.evaluation)
        yield Part(name="start", times=1, seconds=max(0.0, start_s))
        yield Part(name="step", times=self._whole.steps, seconds=self._step_s)
        yield Part(name="evaluation", times=1 + epochs, seconds=self._evaluation_s / share)
        if self._saves:
            yield Part(name="checkpoint", times=self._saves, seconds=self._save_s)

    @property
    def _saves(self) -> int:
        return checkpoints_of(self._whole.steps, self._step_s, self._whole.checkpoint_every_s)


def _examples(batches: Sequence[TaskBatch]) -> int:
    return sum(len(batch.labels_E) for batch in batches)
