"""The training batches of a run, from the step that it stands at, in the shape Lightning takes."""

from __future__ import annotations

from collections.abc import Iterator

import pytorch_lightning as pl
from torch import Tensor

from lightning_modules.data.batches import train_batch
from lightning_modules.data.token_store import TokenStore
from studies.errors import AblationError
from studies.run_spec import RunSpec


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
            batch = train_batch(
                self._store,
                context_length=self._spec.model.context_length,
                batch_size=training.batch_size,
                seed=self._spec.seed,
                step=step,
            )
            yield from batch.chunk(parts)[rank::world_size]
