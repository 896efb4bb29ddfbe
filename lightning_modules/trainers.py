"""The Lightning trainer of a run, with everything off that costs time and is done elsewhere."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pytorch_lightning as pl
import torch
from lightning_fabric.plugins.environments.lightning import LightningEnvironment
from lightning_fabric.plugins.environments.slurm import SLURMEnvironment

from lightning_modules.checkpoint_io import AtomicCheckpointIO
from studies.errors import AblationError
from studies.execution import ExecutionConfig
from studies.schema import TrainingConfig


def build_trainer(
    training: TrainingConfig,
    execution: ExecutionConfig,
    directory: Path,
    callback: pl.Callback,
    checkpoint_io: AtomicCheckpointIO,
) -> pl.Trainer:
    """A lean trainer: what it would log, evaluate, save and show is the callback's business.

    Raises:
        AblationError: several devices, and nobody started a process for each.
    """
    trainer = pl.Trainer(
        accelerator=execution.accelerator,
        devices=execution.devices,
        strategy=execution.strategy,
        precision=training.precision,
        max_steps=training.max_steps,
        max_epochs=-1,
        accumulate_grad_batches=training.accumulate,
        gradient_clip_val=training.gradient_clip_norm,
        callbacks=[callback],
        plugins=[checkpoint_io, *_environment(execution)],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        limit_val_batches=0,
        default_root_dir=directory,
    )
    _refuse_own_launch(trainer)
    return trainer


def refuse_scaled_gradients(precision: str, optimizers: Iterable[torch.optim.Optimizer]) -> None:
    """Before training: fp16 leaves it to a fused optimiser to take the loss scale out of gradients.

    Raises:
        AblationError: everybody else, who clips and measures them, would see them scaled.
    """
    if precision == "16-mixed" and any(
        getattr(optimizer, "_step_supports_amp_scaling", False) for optimizer in optimizers
    ):
        raise AblationError(
            "training.precision = '16-mixed' with a fused optimiser, which alone would see "
            "gradients without the loss scale: use fused=False, or precision bf16-mixed"
        )


def _environment(execution: ExecutionConfig) -> list[LightningEnvironment | SLURMEnvironment]:
    """A run on one device is alone, also inside a Slurm job with several tasks."""
    if execution.devices == 1:
        return [LightningEnvironment()]
    # Requeueing is up to whoever started the worker: two owners would save over each other.
    return [SLURMEnvironment(auto_requeue=False)] if SLURMEnvironment.detect() else []


def _refuse_own_launch(trainer: pl.Trainer) -> None:
    """Lightning would start this program again for every further device, and claim runs anew.

    Raises:
        AblationError: several devices, and nobody started a process for each.
    """
    environment = getattr(trainer.strategy, "cluster_environment", None)
    started = environment is not None and environment.creates_processes_externally
    if trainer.world_size > 1 and not started:
        raise AblationError(
            f"execution.devices = {trainer.world_size}: start one process per device with torchrun "
            "or srun, or set execution.devices = 1 and run more workers"
        )
