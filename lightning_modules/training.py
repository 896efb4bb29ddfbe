"""Training one run: a run spec and a metric sink in, an outcome out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytorch_lightning as pl
from lightning_fabric.plugins.environments.lightning import LightningEnvironment
from lightning_fabric.plugins.environments.slurm import SLURMEnvironment

from lightning_modules.callbacks import RunCallback, RunContext
from lightning_modules.checkpoint_io import AtomicCheckpointIO
from lightning_modules.data.batches import evaluation_batches, probe_batch
from lightning_modules.data.token_store import build_token_store
from lightning_modules.manners import quiet_lightning
from lightning_modules.model_facts import model_facts
from lightning_modules.modules import build_module
from lightning_modules.results import run_result
from lightning_modules.seeding import isolated_rng
from lightning_modules.stream import TrainingStream
from studies.errors import AblationError
from studies.records import MetricSink, RunResult
from studies.run_spec import RunSpec
from studies.schema import ExecutionConfig


class RunInterrupted(Exception):
    """A run that was asked to stop, and wrote a checkpoint to go on from."""

    def __init__(self, step: int) -> None:
        super().__init__(f"stopped after optimiser step {step}")
        self.step = step


def train_run(
    spec: RunSpec,
    *,
    execution: ExecutionConfig,
    cache: Path,
    directory: Path,
    resume_from: Path | None,
    sink: MetricSink,
    should_stop: Callable[[], bool],
    base_directory: Path | None = None,
) -> RunResult:
    """Train a run to its last step, or until it diverges.

    Equal specs give equal numbers on one machine, whether or not the run was interrupted and
    resumed on the way. Random state, signal handlers and log levels are left as they were.

    Args:
        spec: the run.
        execution: how it is executed; changes no number but those of time and memory.
        cache: where tokens are kept between runs.
        directory: where the newest checkpoint of this attempt is kept.
        resume_from: a checkpoint of this run to go on from.
        sink: takes the numbers as they come.
        should_stop: asked after every optimiser step.
        base_directory: folder that the file path of a module of one's own is relative to.

    Raises:
        RunInterrupted: `should_stop()` turned true; a checkpoint was written.
        AblationError: the run cannot be trained as it stands.
    """
    store = build_token_store(spec.data, cache)
    context_length = spec.model.context_length
    context = RunContext(
        spec=spec,
        vocabulary_size=store.vocabulary_size,
        evaluation_BT=evaluation_batches(
            store,
            context_length=context_length,
            tokens=spec.data.evaluation_tokens,
            batch_size=spec.training.batch_size // spec.training.accumulate,
        ),
        probe_BT=probe_batch(
            store, context_length=context_length, tokens=spec.diagnostics.probe_tokens
        ),
        sink=sink,
        directory=directory,
        checkpoint_every_s=execution.checkpoint_every_s,
        should_stop=should_stop,
    )
    callback = RunCallback(context)
    with isolated_rng(), quiet_lightning():
        module = build_module(spec, store.vocabulary_size, base_directory)
        facts = model_facts(module, spec, store.vocabulary_size)
        trainer = _build_trainer(spec, execution, directory, callback)
        stream = TrainingStream(store, spec, trainer)
        trainer.fit(module, train_dataloaders=stream, ckpt_path=resume_from)
    if callback.interrupted:
        raise RunInterrupted(callback.step)
    return run_result(spec, facts, store, trainer.strategy.root_device, callback)


def _build_trainer(
    spec: RunSpec, execution: ExecutionConfig, directory: Path, callback: RunCallback
) -> pl.Trainer:
    """A lean trainer: what it would log, save and show is the callback's business."""
    training = spec.training
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
        plugins=[AtomicCheckpointIO(spec.run_key), *_environment(execution)],
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
