"""The training batches of a run, from the step that it stands at, in the shape Lightning takes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import pytorch_lightning as pl
from torch import Tensor

from lightning_modules.data.batches import evaluation_batches, probe_batch, train_batch
from lightning_modules.data.token_store import TokenStore
from studies.errors import AblationError
from studies.run_spec import RunSpec


class HeldOut(NamedTuple):
    """What a run looks at and never trains on."""

    evaluation_BT: list[Tensor]
    """The fixed evaluation set, in batches of (B, T+1) tokens."""
    probe_BT: Tensor
    """The fixed probe batch (B, T+1)."""


def held_out(store: TokenStore, spec: RunSpec) -> HeldOut:
    """The held-out batches of a run.

    Raises:
        AblationError: the held-out text is too short.
    """
    length, training = spec.model.context_length, spec.training
    return HeldOut(
        evaluation_batches(
            store,
            context_length=length,
            tokens=spec.data.evaluation_tokens,
            batch_size=training.batch_size // training.accumulate,
        ),
        probe_batch(store, context_length=length, tokens=spec.diagnostics.probe_tokens),
    )


def training_batch(store: TokenStore, spec: RunSpec, step: int) -> Tensor:
    """The (B, T+1) tokens of an optimiser step.

    Raises:
        AblationError: the training text is too short.
    """
    return train_batch(
        store,
        context_length=spec.model.context_length,
        batch_size=spec.training.batch_size,
        seed=spec.seed,
        step=step,
    )


class TrainingStream:
    """Micro-batches (b, T+1) from the trainer's current step on: one rank's share of them.

    Nothing is remembered between steps: a batch is a function of the seed and the step, so a
    resumed run needs no more than the step to see what it would have seen.
    """

    def __init__(self, store: TokenStore, spec: RunSpec, trainer: pl.Trainer) -> None:
        self._store, self._spec, self._trainer = store, spec, trainer

    def __iter__(self) -> Iterator[Tensor]:
        training = self._spec.training
        rank, world_size = self._trainer.global_rank, self._trainer.world_size
        parts = world_size * training.accumulate
        if training.batch_size % parts:
            raise AblationError(
                f"training.batch_size = {training.batch_size} cannot be shared by {world_size} "
                f"devices and {training.accumulate} accumulated micro-batches: make it a multiple "
                f"of {parts}"
            )
        for step in range(self._trainer.global_step, training.max_steps):
            batch = training_batch(self._store, self._spec, step)
            yield from batch.chunk(parts)[rank::world_size]
