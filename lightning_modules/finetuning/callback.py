"""What happens around the optimiser steps of fine-tuning."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor

from lightning_modules.clock import Clock
from lightning_modules.diagnostics.base import NO_READINGS
from lightning_modules.evaluation import evaluation_mode, loss_of
from lightning_modules.finetuning.batches import TaskBatch
from lightning_modules.finetuning.fine_tuner import FineTuner
from lightning_modules.finetuning.scores import score, scores_of
from lightning_modules.losses import LossWatch
from lightning_modules.manners import TerminationHandler
from lightning_modules.memory import peak_memory_gib, reset_peak_memory
from lightning_modules.recording import Recorder
from lightning_modules.saving import Saver
from lightning_modules.seeding import seed_global_generators, stream_seed
from studies.metrics import PEAK_MEMORY_GIB
from studies.records import MetricSink
from studies.task_metrics import (
    EVALUATION_LOSS,
    EVALUATION_SCORE,
    FINETUNING_LEARNING_RATE,
    FINETUNING_LOSS,
    SCORE_PREFIX,
    TASK_LOSS,
    TASK_SCORE,
)
from studies.tasks import Task


@dataclass(frozen=True)
class TaskContext:
    """What the callback needs to know about a fine-tuning."""

    task: Task
    evaluation: Sequence[TaskBatch]
    """On the host."""
    steps: int
    steps_per_epoch: int
    log_every_steps: int
    loss_limit: float
    """Above which a training loss counts as divergence."""
    seed: int
    sink: MetricSink
    directory: Path
    checkpoint_every_s: float
    should_stop: Callable[[], bool]


class TaskCallback(pl.Callback):
    """Records, judges, evaluates and saves, in that order, after an optimiser step."""

    def __init__(self, context: TaskContext) -> None:
        self.context = context
        self.losses = LossWatch(context.loss_limit)
        self.clock = Clock()
        self.summary: dict[str, float] = {}
        """Scores after the last step, and peak memory, by metric name."""
        self.step = 0
        self.interrupted = False
        self._recorder = Recorder(context.sink, self.losses, FINETUNING_LOSS)
        self._saver = Saver(context.directory, context.checkpoint_every_s)
        self._termination = TerminationHandler()
        self._learning_rate = math.nan

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Score the model before the first step; a resumed run takes up where it was."""
        self._termination.reinstate()
        self.step = trainer.global_step
        self.losses.start(self.step)
        reset_peak_memory(pl_module.device)
        self.clock.start(pl_module.device)
        if self.step == 0:
            self._evaluate(trainer)
        self._saver.start()
        if self.step >= self.context.steps:
            trainer.should_stop = True

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Seed dropout by step, so that a resumed run draws what it would have drawn."""
        seed = stream_seed(self.context.seed, "finetuning", self.step)
        seed_global_generators(seed, pl_module.device)

    def on_before_optimizer_step(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, optimizer: torch.optim.Optimizer
    ) -> None:
        """Note the rate that the step uses."""
        self._learning_rate = float(optimizer.param_groups[0]["lr"])

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Everything that follows a step."""
        self.losses.add(loss_of(outputs))
        self.step = trainer.global_step
        self.losses.end_step()
        self.clock.end_step()
        is_last = self.step == self.context.steps
        ends_epoch = is_last or self.step % self.context.steps_per_epoch == 0
        stop, save = self.context.should_stop(), self._saver.is_due()
        self._record(trainer, must=stop or save or ends_epoch)
        if self.losses.diverged_at_step is not None:
            trainer.should_stop = True
            return
        if ends_epoch:
            self._evaluate(trainer)
        if (stop or save) and not is_last:
            self._note_memory(pl_module.device)
            with self.clock.aside():
                self._saver.save(trainer)
        self.interrupted = stop and not is_last
        if self.interrupted or is_last:
            trainer.should_stop = True

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Close the books while the device is still there."""
        self._note_memory(pl_module.device)
        self.clock.read()

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint holds beside the trainer's own state."""
        return {
            "summary": dict(self.summary),
            "losses": self.losses.state_dict(),
            "clock": self.clock.state_dict(),
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take up where the checkpoint left off."""
        self.summary = dict(state_dict["summary"])
        self.losses.load_state_dict(state_dict["losses"])
        self.clock.load_state_dict(state_dict["clock"])

    def _record(self, trainer: pl.Trainer, *, must: bool) -> None:
        """Copy losses to the host where that is due: on a GPU it makes it wait."""
        every = self.context.log_every_steps
        logs = self.step % every == 0 or self.step in (1, self.context.steps)
        on_cpu = trainer.lightning_module.device.type == "cpu"
        if must or logs or on_cpu:
            rate = {FINETUNING_LEARNING_RATE: self._learning_rate} if logs else None
            self._recorder.record(trainer, NO_READINGS, rate)

    def _evaluate(self, trainer: pl.Trainer) -> None:
        """Score the evaluation examples; after the last step the scores are the run's."""
        module = trainer.lightning_module
        assert isinstance(module, FineTuner)
        with self.clock.aside():
            logits_EC, labels_E = self._predicted(trainer)
            loss = float(module.task_loss(logits_EC, labels_E))
            task = self.context.task
            classes = len(task.labels or ())
            predicted_E = module.predictions(logits_EC).cpu()
            scores = {
                name: score(name, predicted_E, labels_E.cpu(), classes) for name in scores_of(task)
            }
        seen = {EVALUATION_LOSS: loss, EVALUATION_SCORE: scores[task.metric]}
        self._recorder.write(trainer, seen)
        if self.step == self.context.steps:
            self.summary |= {TASK_LOSS: loss, TASK_SCORE: scores[task.metric]}
            self.summary |= {SCORE_PREFIX + name: value for name, value in scores.items()}

    def _predicted(self, trainer: pl.Trainer) -> tuple[Tensor, Tensor]:
        """Logits (E, C) and labels (E,) of all evaluation examples, through the strategy."""
        module, device = trainer.lightning_module, trainer.strategy.root_device
        logits, labels = [], []
        with evaluation_mode(module):
            for number, batch in enumerate(self.context.evaluation):
                moved = TaskBatch(*(part.to(device) for part in batch))
                step_logits: Any = trainer.strategy.validation_step(moved, number)
                logits.append(step_logits)
                labels.append(moved.labels_E)
        return torch.cat(logits), torch.cat(labels)

    def _note_memory(self, device: torch.device) -> None:
        peak = peak_memory_gib(device)
        self.summary[PEAK_MEMORY_GIB] = max(self.summary.get(PEAK_MEMORY_GIB, 0.0), peak)
