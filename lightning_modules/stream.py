"""The training batches of a run, from the step that it stands at, in the shape Lightning takes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import pytorch_lightning as pl
from torch import Tensor

from lightning_modules.data.batches import (
    evaluation_batches,
    probe_batch,
    train_batch,
    training_sample,
)
from lightning_modules.data.token_store import TokenStore
from lightning_modules.digests import SeenBatches
from studies.errors import AblationError
from studies.run_spec import RunSpec


class FixedBatches(NamedTuple):
    """What a run is measured on, the same for every seed and variant; (B, T+1) tokens each."""

    evaluation_BT: list[Tensor]
    """The evaluation set, held out."""
    training_BT: list[Tensor]
    """As many tokens of the training text."""
    probe_BT: Tensor
    """The probe batch, held out."""


def fixed_batches(store: TokenStore, spec: RunSpec) -> FixedBatches:
    """The batches that a run is measured on.

    Raises:
        AblationError: the text is too short.
    """
    length, tokens = spec.model.context_length, spec.data.evaluation_tokens
    size = spec.training.batch_size // spec.training.accumulate
    return FixedBatches(
        evaluation_batches(store, context_length=length, tokens=tokens, batch_size=size),
        training_sample(store, context_length=length, tokens=tokens, batch_size=size),
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
        seed=spec.data_seed,
        step=step,
    )


class TrainingStream:
    """Micro-batches (b, T+1) from the trainer's current step on: one rank's share of them.

    Nothing is remembered between steps: a batch is a function of the seed and the step, so a
    resumed run needs no more than the step to see what it would have seen. What is handed out is
    entered in `seen`, all ranks' shares of it.
    """

    def __init__(
        self, store: TokenStore, spec: RunSpec, trainer: pl.Trainer, seen: SeenBatches
    ) -> None:
        self._store, self._spec, self._trainer, self._seen = store, spec, trainer, seen

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
            self._seen.hand_out(step, batch)
            yield from batch.chunk(parts)[rank::world_size]
