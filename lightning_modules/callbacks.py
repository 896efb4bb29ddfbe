"""What happens around the optimiser steps of a run, in the one order in which it may happen."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor

from lightning_modules.clock import Clock
from lightning_modules.diagnostics.base import NO_READINGS, Readings
from lightning_modules.diagnostics.suite import DiagnosticSuite
from lightning_modules.digests import digest_of_batches, read_initial_values
from lightning_modules.evaluation import evaluation_loss, loss_of
from lightning_modules.losses import LossWatch, TargetWatch
from lightning_modules.manners import TerminationHandler
from lightning_modules.memory import peak_memory_gib, reset_peak_memory
from lightning_modules.recording import Recorder
from lightning_modules.run_context import RunContext
from lightning_modules.saving import Saver
from lightning_modules.seeding import seed_global_generators, stream_seed
from lightning_modules.trainers import refuse_scaled_gradients
from studies.digests import EVALUATION_DATA, PROBE_DATA, parameter_entries, training_entries
from studies.metrics import (
    EARLY_LOSS,
    FINAL_LOSS,
    GENERALIZATION_GAP,
    INITIAL_LOSS,
    LAST_VALIDATION_LOSS,
    LEARNING_RATE,
    PEAK_MEMORY_GIB,
    TRAIN_SET_LOSS,
    TRAINING_MINUTES,
    VALIDATION_LOSS,
)


class RunCallback(pl.Callback):
    """Records, judges, evaluates, probes and saves, in that order, after an optimiser step.

    One callback, since the order matters: a diverged step is neither evaluated nor saved, and a
    checkpoint holds everything that was measured up to its step.
    """

    def __init__(self, context: RunContext) -> None:
        self._context = context
        self._schedule = context.schedule
        limit = context.spec.training.divergence_factor * math.log(context.vocabulary_size)
        self.losses = LossWatch(limit)
        self.target = TargetWatch(context.target_loss)
        self.clock = Clock()
        self.summary: dict[str, float] = {}
        """Evaluations that the summary keeps, and peak memory, by metric name."""
        self.step = 0
        """Optimiser steps done."""
        self.interrupted = False
        self.pruned_at_step: int | None = None
        self._initial_values: dict[str, str] = {}
        """Entry of each parameter in the digests."""
        self._recorder = Recorder(context.sink, self.losses)
        self._saver = Saver(context.directory, context.checkpoint_every_s)
        self._termination = TerminationHandler()
        self._diagnostics: DiagnosticSuite | None = None
        self._diagnostics_state: Mapping[str, Any] = {}
        self._learning_rate = math.nan

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Look at the model as initialised; a resumed run takes up where it was."""
        refuse_scaled_gradients(self._context.spec.training.precision, trainer.optimizers)
        self._termination.reinstate()
        device = pl_module.device
        self.step = trainer.global_step
        self.losses.start(self.step)
        if self.step == 0:
            self._initial_values = parameter_entries(read_initial_values(pl_module))
        batches, config = self._context.batches, self._context.spec.diagnostics
        self._evaluation_BT = [batch.to(device) for batch in batches.evaluation_BT]
        probe_BT = batches.probe_BT.to(device)
        self._diagnostics = DiagnosticSuite(
            config,
            self._schedule,
            pl_module,
            probe_BT,
            self._evaluation_BT,
            trainer,
        )
        self._diagnostics.load_state_dict(self._diagnostics_state)
        reset_peak_memory(device)
        self.clock.start(device)
        if INITIAL_LOSS not in self.summary:
            self._evaluate(trainer)
            self._probe(trainer)
        self._saver.start()
        if self.step >= self._schedule.last_step:
            trainer.should_stop = True

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Seed dropout by step, so that a resumed run draws what it would have drawn."""
        if not self.losses.mid_step:
            seed = self._context.spec.dropout_seed
            seed = stream_seed(seed, "step", self.step, trainer.global_rank)
            seed_global_generators(seed, pl_module.device)

    def on_before_optimizer_step(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, optimizer: torch.optim.Optimizer
    ) -> None:
        """Look at the gradients before they are clipped; note the rate that the step uses."""
        assert self._diagnostics is not None
        self._learning_rate = float(optimizer.param_groups[0]["lr"])
        if self._diagnostics.watches(self.step + 1):
            with self.clock.diagnostics_in_step():
                self._diagnostics.before_step(self.step + 1)

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Everything that follows a step, once all its micro-batches are done."""
        self.losses.add(loss_of(outputs))
        if trainer.global_step == self.step:
            return
        self.step = trainer.global_step
        self.losses.end_step()
        self.clock.end_step()
        self._spend_time(trainer)
        stop, save = self._wishes(trainer)
        must = stop or save or pl_module.device.type == "cpu"
        self._record(trainer, self._step_readings(batch), must=must)
        if self.losses.diverged_at_step is None and self._schedule.evaluates(self.step):
            self._evaluate(trainer)
        if self.losses.diverged_at_step is not None or self.pruned_at_step is not None:
            trainer.should_stop = True
            return
        self._probe(trainer)
        if stop or save:
            self._save(trainer, pl_module.device)
        if stop and self.step < self._schedule.last_step:
            self.interrupted = True
        if self.interrupted or self.step == self._schedule.last_step:
            trainer.should_stop = True

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint holds beside the trainer's own state."""
        assert self._diagnostics is not None
        return {
            "step": self.step,
            "summary": dict(self.summary),
            "losses": self.losses.state_dict(),
            "target": self.target.state_dict(),
            "clock": self.clock.state_dict(),
            "schedule": self._schedule.state_dict(),
            "diagnostics": self._diagnostics.state_dict(),
            "seen": self._context.seen.after_steps(self.step),
            "initial_values": dict(self._initial_values),
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take up where the checkpoint left off; diagnostics follow when the model is in place."""
        self.step = state_dict["step"]
        self.summary = dict(state_dict["summary"])
        self.losses.load_state_dict(state_dict["losses"])
        self.target.load_state_dict(state_dict["target"])
        self.clock.load_state_dict(state_dict["clock"])
        self._schedule.load_state_dict(state_dict["schedule"])
        self._diagnostics_state = state_dict["diagnostics"]
        self._context.seen.resume(state_dict["seen"])
        self._initial_values = dict(state_dict["initial_values"])

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Close the books while the device is still there."""
        self._note_memory(pl_module.device)
        self.clock.read()

    def digests(self) -> dict[str, str]:
        """What the run was given so far, and what it started from, by keys of `studies.digests`."""
        return {
            **training_entries(self._context.seen.after_steps(self.step)),
            EVALUATION_DATA: digest_of_batches(self._context.batches.evaluation_BT),
            PROBE_DATA: digest_of_batches([self._context.batches.probe_BT]),
            **self._initial_values,
        }

    def _spend_time(self, trainer: pl.Trainer) -> None:
        """Let the schedule of a run of minutes know the time; the same on every rank."""
        if self._schedule.max_minutes is None:
            return
        training_s = _mean_of_ranks(trainer, self.clock.elapsed_s())
        step_s = self.clock.step_s()  # known to all ranks or to none: they make the same steps
        if step_s is not None:
            step_s = _mean_of_ranks(trainer, step_s)
        self._schedule.spend(self.step, training_s, step_s)

    def _wishes(self, trainer: pl.Trainer) -> tuple[bool, bool]:
        """Whether to stop, and whether to save; the same on every rank."""
        wishes = self._context.should_stop(), self._saver.is_due()
        stop, save = _of_any_rank(trainer, *wishes)
        return stop, save

    def _step_readings(self, batch: Tensor) -> Readings:
        """What diagnostics say of the step that was just made."""
        assert self._diagnostics is not None
        if not self._diagnostics.watches(self.step):
            return NO_READINGS
        with self.clock.diagnostics_in_step():
            return self._diagnostics.after_step(self.step, batch)

    def _record(self, trainer: pl.Trainer, readings: Readings, *, must: bool) -> None:
        """Copy losses and readings to the host where that is due: on a GPU it makes it wait."""
        assert self._diagnostics is not None
        logs = self._schedule.logs(self.step)
        looks = self._schedule.evaluates(self.step) or self._diagnostics.probes(self.step)
        if must or logs or looks or readings.names:
            self._recorder.record(trainer, readings, self._of_the_step() if logs else None)

    def _of_the_step(self) -> dict[str, float]:
        """What is recorded beside the loss of a step."""
        minutes = self._schedule.spent_minutes
        timed = {} if minutes is None else {TRAINING_MINUTES: minutes}
        return {LEARNING_RATE: self._learning_rate, **timed}

    def _evaluate(self, trainer: pl.Trainer) -> None:
        with self.clock.aside():
            loss = evaluation_loss(trainer, self._evaluation_BT)
        if not math.isfinite(loss):
            self.losses.diverged_at_step = self.step
            return
        self._recorder.write(trainer, {VALIDATION_LOSS: loss})
        self.target.see(self.step, loss)
        kept = {
            INITIAL_LOSS: 0,
            EARLY_LOSS: self._schedule.early_step,
            FINAL_LOSS: self._schedule.last_step,
        }
        self.summary.update({name: loss for name, step in kept.items() if step == self.step})
        if self.step == self._schedule.last_step:
            self._compare_with_training(trainer, loss)
        elif self.step > 0:
            self._prune(trainer, loss)

    def _prune(self, trainer: pl.Trainer, loss: float) -> None:
        """Ask whether to go on; what is pruned has a last loss and no final one."""
        leads = trainer.is_global_zero
        (pruned,) = _of_any_rank(trainer, leads and self._context.should_prune(self.step, loss))
        if pruned:
            self.pruned_at_step = self.step
            self.summary[LAST_VALIDATION_LOSS] = loss

    def _compare_with_training(self, trainer: pl.Trainer, loss: float) -> None:
        device = trainer.lightning_module.device
        with self.clock.aside():
            seen_BT = [batch.to(device) for batch in self._context.batches.training_BT]
            train_loss = evaluation_loss(trainer, seen_BT)
        if math.isfinite(train_loss):
            self.summary |= {TRAIN_SET_LOSS: train_loss, GENERALIZATION_GAP: loss - train_loss}

    def _probe(self, trainer: pl.Trainer) -> None:
        assert self._diagnostics is not None
        if not self._diagnostics.probes(self.step):
            return
        with self.clock.aside(diagnostics=True):
            readings = self._diagnostics.probe(self.step)
            values = dict(zip(readings.names, readings.values.tolist(), strict=True))
        self._recorder.write(trainer, values)

    def _save(self, trainer: pl.Trainer, device: torch.device) -> None:
        self._note_memory(device)
        with self.clock.aside():
            self._saver.save(trainer)

    def _note_memory(self, device: torch.device) -> None:
        peak = peak_memory_gib(device)
        self.summary[PEAK_MEMORY_GIB] = max(self.summary.get(PEAK_MEMORY_GIB, 0.0), peak)


def _mean_of_ranks(trainer: pl.Trainer, seconds: float) -> float:
    if trainer.world_size == 1:
        return seconds
    own = torch.tensor(seconds, device=trainer.strategy.root_device)
    return float(trainer.strategy.reduce(own, reduce_op="mean"))


def _of_any_rank(trainer: pl.Trainer, *wishes: bool) -> list[bool]:
    """Each wish, if any rank has it; the same on every rank."""
    if trainer.world_size == 1:
        return list(wishes)
    own = torch.tensor(wishes, device=trainer.strategy.root_device).int()
    all_: list[bool] = trainer.strategy.reduce(own, reduce_op="sum").bool().tolist()
    return all_
