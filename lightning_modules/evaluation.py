"""Looking at a model without changing it: evaluation mode, and the loss on the evaluation set."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import pytorch_lightning as pl
import torch
from torch import Tensor, nn

from lightning_modules.manners import unlogged
from studies.errors import AblationError


@contextmanager
def evaluation_mode(module: nn.Module) -> Iterator[None]:
    """Evaluation mode without gradients; every sub-module gets its own mode back."""
    modes = [(part, part.training) for part in module.modules()]
    module.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for part, training in modes:
            part.training = training


def evaluation_loss(trainer: pl.Trainer, batches_BT: Sequence[Tensor]) -> float:
    """Mean of the module's `validation_step` over batches of (B, T+1) tokens, nats per token.

    Through the strategy, so that precision and sharding are those of training. Every rank reads
    the whole set: the number is the same whatever the number of devices.
    """
    step = trainer.strategy.validation_step
    module = trainer.lightning_module
    with evaluation_mode(module), unlogged(module):
        losses = [loss_of(step(batch, index)) for index, batch in enumerate(batches_BT)]
    means: list[float] = torch.stack(losses).tolist()
    sequences = [len(batch) for batch in batches_BT]
    return sum(m * n for m, n in zip(means, sequences, strict=True)) / sum(sequences)


def loss_of(output: object) -> Tensor:
    """The loss () that a training or validation step returned: detached, in single precision.

    Raises:
        AblationError: it returned none.
    """
    return returned_loss(output).detach().float()


def returned_loss(output: object) -> Tensor:
    """The loss () that a training or validation step returned, with its gradient.

    Raises:
        AblationError: it returned none.
    """
    loss = output.get("loss") if isinstance(output, Mapping) else output
    if not (isinstance(loss, Tensor) and loss.numel() == 1):
        raise AblationError(
            f"training_step and validation_step must return the mean loss, a tensor of one number "
            f"(or a mapping with it under 'loss'); one returned {output!r}"
        )
    return loss.reshape(())
