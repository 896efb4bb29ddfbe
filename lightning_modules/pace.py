"""How long a run takes, from rehearsing a few of its steps on the device that it will train on.

A run is optimiser steps of a few kinds: plain ones, and those after which something is recorded,
diagnostics look, or the evaluation set is read. A rehearsal is a run in every respect but that each
kind comes up a few times within a second or two. What the run has of each is counted, not guessed.
"""

from __future__ import annotations

import math
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from statistics import median, median_low
from typing import Any

import pytorch_lightning as pl
import torch

from lightning_modules.callbacks import RunCallback
from lightning_modules.clock import WARM_UP_STEPS, time_of
from lightning_modules.data.token_store import build_token_store
from lightning_modules.digests import SeenBatches
from lightning_modules.losses import LossWatch
from lightning_modules.manners import interruptible
from lightning_modules.programme import EVALUATION, PLAIN, Act, Programme, Script, programme
from lightning_modules.run_context import RunContext, go_on
from lightning_modules.stream import FixedBatches, fixed_batches
from lightning_modules.training import fit
from studies.errors import AblationError
from studies.execution import ExecutionConfig
from studies.pace import Pace, Part
from studies.records import NoSink
from studies.run_spec import RunSpec

REHEARSAL_S = 0.7
"""How long a rehearsal goes on after its warm-up, once every kind of step has come up."""
MOST_ROUNDS = 5
"""Rounds of all kinds of steps that a rehearsal has at most."""
BLOCK_S = 0.2
"""Length of the blocks of plain steps, of one step at least. A GPU is waited for at its ends."""
MOST_BLOCK_STEPS = 20
"""Plain steps in a block at most."""
EVALUATION_BATCHES = 4
"""Batches that stand for the evaluation set: what the others cost follows from their number."""
LEAST_MAX_STEPS = 1000
"""A shorter run is rehearsed as one of so many steps, lest it end before the rehearsal does."""
STILL_LEARNING_RATE = 1e-9
"""The weights of a rehearsal hardly move: no learning rate makes it diverge."""
ANY_LOSS = 1e9
"""Divergence factor of a rehearsal: a finite loss, however large, is time like any other."""


def measure_pace(
    spec: RunSpec, *, execution: ExecutionConfig, cache: Path, directory: Path
) -> Pace:
    """Rehearse a run, and work out what the whole of it takes.

    A run on several devices is rehearsed on one of them, with its share of every batch (where the
    norm is `batch_position`, of two sequences at least): what they say to each other is left out.

    Args:
        spec: the run.
        execution: how it is executed.
        cache: where tokens are kept between runs.
        directory: where a checkpoint is tried, on the disk that runs use; it is left there.

    Raises:
        AblationError: the run cannot be trained as it stands.
    """
    began_s = time.perf_counter()
    spec, alone = _on_one_device(spec, execution)
    store = build_token_store(spec.data, cache)
    batches = fixed_batches(store, spec)
    few = batches.evaluation_BT[:EVALUATION_BATCHES]
    context = RunContext(
        spec=_still(spec),
        schedule=Script.of(spec),
        vocabulary_size=store.vocabulary_size,
        target_loss=0.0,
        batches=FixedBatches(few, batches.training_BT, batches.probe_BT),
        seen=SeenBatches(),
        sink=NoSink(),
        directory=directory,
        checkpoint_every_s=math.inf,
        should_stop=lambda: False,
        should_prune=go_on,
    )
    rehearsal = _Rehearsal(context, programme(spec), execution.checkpoint_every_s, began_s)
    with interruptible():
        device = fit(context, rehearsal, store, alone, resume_from=None).device
    return Pace(device=name_of(device), parts=tuple(rehearsal.parts(batches)))


def _on_one_device(spec: RunSpec, execution: ExecutionConfig) -> tuple[RunSpec, ExecutionConfig]:
    least = 2 * spec.training.accumulate if spec.model.norm == "batch_position" else 1
    share = max(least, spec.training.batch_size // execution.devices)
    training = spec.training.model_copy(update={"batch_size": share})
    alone = execution.model_copy(update={"devices": 1, "strategy": "auto"})
    return spec.model_copy(update={"training": training}), alone


def _still(spec: RunSpec) -> RunSpec:
    """The run with weights that hardly move, and with steps enough for a rehearsal."""
    update = {
        "learning_rate": STILL_LEARNING_RATE,
        "max_steps": max(spec.training.max_steps, LEAST_MAX_STEPS),
        "divergence_factor": ANY_LOSS,
    }
    return spec.model_copy(update={"training": spec.training.model_copy(update=update)})


def name_of(device: torch.device) -> str:
    """Model of a GPU, or the type of any other device."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


def require_finite(losses: LossWatch, step: int) -> None:
    """Let a rehearsal end where its loss does not stay finite.

    Raises:
        AblationError: it has not.
    """
    if losses.diverged_at_step is not None:
        raise AblationError(
            f"the loss is not finite after {step} steps that hardly moved a "
            "weight: check the initialisation and the precision"
        )


def checkpoints_of(steps: int, step_s: float, every_s: float) -> int:
    """Checkpoints that a run writes; none where it is over before the first is due.

    Args:
        steps: optimiser steps of the run.
        step_s: seconds of one.
        every_s: seconds between checkpoints, each of which waits for the end of a step.
    """
    training_s = steps * step_s
    return int(training_s / max(every_s, step_s)) if training_s > every_s else 0


class _Rehearsal(RunCallback):
    """Does what happens around the steps of a run, chooses what comes next, and times it."""

    def __init__(
        self, context: RunContext, counted: Programme, checkpoint_every_s: float, began_s: float
    ) -> None:
        super().__init__(context)
        assert isinstance(context.schedule, Script)
        self._script, self._counted = context.schedule.acts, counted
        self._checkpoint_every_s, self._began_s = checkpoint_every_s, began_s
        self._ready_s = began_s
        self._warm_up_steps = 0
        self._steps_s: list[float] = []
        self._acts_s: dict[Act, list[float]] = defaultdict(list)
        self._save_s = 0.0

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Look at the model as any run does, then begin."""
        super().on_train_start(trainer, pl_module)
        self._to_come = self._direct(trainer, pl_module.device)
        self._script.append(next(self._to_come))

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """What follows a step in any run; then choose the next.

        Raises:
            AblationError: the loss is not finite.
        """
        before = self.step
        super().on_train_batch_end(trainer, pl_module, outputs, batch, batch_idx)
        require_finite(self.losses, self.step)
        if self.step == before:
            return
        act = next(self._to_come, None)
        self._script.append(act or PLAIN)
        if act is None:
            trainer.should_stop = True

    def parts(self, batches: FixedBatches) -> Iterator[Part]:
        """What the run is made of, with all the batches that it is measured on."""
        step_s, evaluation_s = self._step_s, self._extra_s(EVALUATION)
        sequence_s = evaluation_s / sum(map(len, self._context.batches.evaluation_BT))
        trained_s = self._warm_up_steps * step_s
        start_s = self._ready_s - self._began_s - trained_s - evaluation_s
        yield Part(name="start", times=1, seconds=max(0.0, start_s))
        yield Part(name="step", times=self._counted.steps, seconds=step_s)
        for act, times in self._counted.looks.items():
            yield Part(name="look", times=times, seconds=self._extra_s(act))
        for times, read_BT in (
            (self._counted.evaluations, batches.evaluation_BT),
            (1, batches.training_BT),  # after the last step
        ):
            yield Part(name="evaluation", times=times, seconds=sequence_s * sum(map(len, read_BT)))
        if self._saves:
            yield Part(name="checkpoint", times=self._saves, seconds=self._save_s)

    def _direct(self, trainer: pl.Trainer, device: torch.device) -> Iterator[Act]:
        """The acts in their order; when the next is asked for, the last has been played."""
        yield from self._warm_up(device)
        for _ in range(MOST_ROUNDS):
            yield from self._block(device)
            for act in (EVALUATION, *self._counted.looks):
                before_s = time_of(device)
                yield act
                self._acts_s[act].append(time_of(device) - before_s)
            if time_of(device) - self._ready_s > REHEARSAL_S:
                break
        if self._saves:
            before_s = time_of(device)
            self._save(trainer, device)
            self._save_s = time_of(device) - before_s

    def _warm_up(self, device: torch.device) -> Iterator[Act]:
        """Steps that may take longer than others; fewer where they take long anyway."""
        before_s = time_of(device)
        while self._warm_up_steps < WARM_UP_STEPS and self._ready_s - before_s < REHEARSAL_S:
            yield PLAIN
            self._warm_up_steps += 1
            self._ready_s = time_of(device)

    def _block(self, device: torch.device) -> Iterator[Act]:
        before_s, steps = time_of(device), 0
        while steps < MOST_BLOCK_STEPS and (steps == 0 or time.perf_counter() - before_s < BLOCK_S):
            yield PLAIN
            steps += 1
        self._steps_s.append((time_of(device) - before_s) / steps)

    @property
    def _step_s(self) -> float:
        return median(self._steps_s)

    @property
    def _saves(self) -> int:
        return checkpoints_of(self._counted.steps, self._step_s, self._checkpoint_every_s)

    def _extra_s(self, act: Act) -> float:
        """What an act takes beyond a plain step; of two plays the shorter, which is warm."""
        return max(0.0, median_low(self._acts_s[act]) - self._step_s)
