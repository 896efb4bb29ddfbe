"""Training one run: a run spec and a metric sink in, an outcome out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import pytorch_lightning as pl
import torch

from lightning_modules.callbacks import RunCallback
from lightning_modules.checkpoint_io import AtomicCheckpointIO
from lightning_modules.data.token_store import TokenStore, build_token_store
from lightning_modules.digests import SeenBatches
from lightning_modules.gpt.norms import has_norms_per_device, synchronise_norms
from lightning_modules.keepsakes import Keepsakes, samples_of_run, save_weights
from lightning_modules.manners import quiet_lightning
from lightning_modules.model_facts import ModelFacts, model_facts
from lightning_modules.modules import build_module
from lightning_modules.results import run_result
from lightning_modules.run_context import RunContext, ShouldPrune, go_on
from lightning_modules.schedule import Schedule
from lightning_modules.seeding import isolated_rng
from lightning_modules.stream import TrainingStream, fixed_batches
from lightning_modules.trainers import build_trainer
from studies.execution import ExecutionConfig
from studies.records import MetricSink, Outcome, RunResult
from studies.run_spec import RunSpec

NO_KEEPSAKES = Keepsakes()


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
    should_prune: ShouldPrune = go_on,
    keepsakes: Keepsakes = NO_KEEPSAKES,
) -> RunResult:
    """Train a run to its last step, or until it diverges or is pruned.

    Equal specs give equal numbers on one machine, whether or not the run was interrupted and
    resumed on the way; with a budget in minutes they see the same data in the same order, as far as
    the time reaches. Random state, signal handlers and log levels are left as they were.

    Args:
        spec: the run.
        execution: how it is executed; changes no number but those of time and memory.
        cache: where tokens are kept between runs.
        directory: where the newest checkpoint of this attempt is kept.
        resume_from: a checkpoint of this run to go on from.
        sink: takes the numbers as they come.
        should_stop: asked after every optimiser step.
        should_prune: asked on the first rank after each evaluation but the last, with the
            optimiser step and the validation loss.
        keepsakes: what stays in the directory, or goes into the result, of a run that completes.

    Raises:
        RunInterrupted: `should_stop()` turned true; a checkpoint was written.
        AblationError: the run cannot be trained as it stands.
    """
    store = build_token_store(spec.data, cache)
    target = spec.diagnostics.target_loss
    context = RunContext(
        spec=spec,
        schedule=Schedule.of(spec),
        vocabulary_size=store.vocabulary_size,
        target_loss=store.train_entropy if target is None else target,
        batches=fixed_batches(store, spec),
        seen=SeenBatches(),
        sink=sink,
        directory=directory,
        checkpoint_every_s=execution.checkpoint_every_s,
        should_stop=should_stop,
        should_prune=should_prune,
    )
    callback = RunCallback(context)
    fitted = fit(context, callback, store, execution, resume_from)
    if callback.interrupted:
        raise RunInterrupted(callback.step)
    result = run_result(context, fitted.facts, store, fitted.device, callback)
    if result.outcome is not Outcome.COMPLETED or not fitted.leads:
        return result
    return _with_keepsakes(result, fitted, context, store, keepsakes)


class Fitted(NamedTuple):
    """What is left of a training that has ended."""

    facts: ModelFacts
    device: torch.device
    module: pl.LightningModule
    leads: bool
    """Whether this is the first rank."""

    @property
    def gives_logits(self) -> bool:
        """Whether the module maps tokens to logits, which its leak label was measured on."""
        return self.facts.leak is not None


def fit(
    context: RunContext,
    callback: RunCallback,
    store: TokenStore,
    execution: ExecutionConfig,
    resume_from: Path | None,
) -> Fitted:
    """Build the module of a run and train it until the callback or the last step ends it."""
    spec = context.spec
    with isolated_rng(), quiet_lightning():
        module = build_module(spec, store.vocabulary_size, context.schedule)
        facts = model_facts(module, spec, store.vocabulary_size)
        checkpoint_io = AtomicCheckpointIO(spec.run_key, context.sink)
        trainer = build_trainer(
            spec.training, execution, context.directory, callback, checkpoint_io
        )
        if trainer.world_size > 1:
            synchronise_norms(module)
            facts = replace(facts, norms_per_device=has_norms_per_device(module))
        # Lightning converts once a checkpoint is loaded, which has by then lost the precision.
        trainer.precision_plugin.convert_module(module)
        stream = TrainingStream(store, spec, trainer, context.seen)
        trainer.fit(module, train_dataloaders=stream, ckpt_path=resume_from)
    device = trainer.strategy.root_device
    return Fitted(facts, device, module.to(device), trainer.is_global_zero)


def _with_keepsakes(
    result: RunResult, fitted: Fitted, context: RunContext, store: TokenStore, wanted: Keepsakes
) -> RunResult:
    """Keep what is wanted of a run that completed."""
    if wanted.weights:
        save_weights(fitted.module, store, context.directory)
    if wanted.samples is None or not fitted.gives_logits:
        return result
    samples = samples_of_run(fitted.module, context.spec, store, wanted.samples)
    return replace(result, samples=samples)
