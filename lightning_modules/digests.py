"""Digests of what a run was given and what it started from: pairing that is measured.

They cost next to nothing at any size: of a training batch and of a parameter a bounded number of
entries is read. These lie at even distances; their number is a prime, so that the distance is no
multiple of a row, and they meet every column.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from studies.digests import InitialValue
from studies.run_spec import KEY_DIGITS

ENTRIES_READ = 1021
"""Most entries that are read of a training batch or of a parameter."""
READ_EVERY_STEPS = 32
"""Of the training batches, these and those after a power of two of steps are read: in a small model
the fifty microseconds that it takes would be half a percent of every step."""
READ_AHEAD = 4
"""Batches read that are kept until training, which the stream runs ahead of, has come to them."""


class SeenBatches:
    """The batches of a run's steps as a chain of digests: equal if those read were, in order.

    They are entered as they are handed out. A state is that of steps made, so the chain of a
    resumed run is that of one that was not interrupted if it saw the same.
    """

    def __init__(self) -> None:
        self._chain: dict[int, str] = {}
        """Steps to the digest of their batches: powers of two, and the last few."""

    def hand_out(self, step: int, batch_BT: Tensor) -> None:
        """Enter the whole batch (B, T+1) of a step, which counts from 0, on the host."""
        steps = step + 1
        if steps % READ_EVERY_STEPS and not _is_power_of_two(steps):
            return
        link = hashlib.sha256(next(reversed(self._chain.values()), "").encode())
        link.update(repr(tuple(batch_BT.shape)).encode())
        tokens = batch_BT.numpy().ravel()
        link.update(tokens[_evenly_spread(len(tokens))].data)
        self._chain[steps] = link.hexdigest()[:KEY_DIGITS]
        for passed in list(self._chain)[:-READ_AHEAD]:
            if not _is_power_of_two(passed):
                del self._chain[passed]

    def after_steps(self, steps: int) -> dict[int, str]:
        """Steps to the digest of their batches: powers of two, and the last up to these steps."""
        made = [number for number in self._chain if number <= steps]
        kept = [number for number in made if _is_power_of_two(number) or number == made[-1]]
        return {number: self._chain[number] for number in kept}

    def resume(self, after_steps: Mapping[int, str]) -> None:
        """Go on from what there was after so many steps."""
        self._chain = dict(after_steps)


def digest_of_batches(batches_BT: Iterable[Tensor]) -> str:
    """Digest of every token of fixed batches (B, T+1) on the host, however they are divided."""
    found, width = hashlib.sha256(), 0
    for batch_BT in batches_BT:
        width = batch_BT.shape[1]
        found.update(batch_BT.contiguous().numpy().data)
    found.update(str(width).encode())
    return found.hexdigest()[:KEY_DIGITS]


@torch.no_grad()
def read_initial_values(module: nn.Module) -> dict[str, InitialValue]:
    """Shape and digest of each parameter of any module as it is now, shared ones once.

    Equal values have equal digests in every precision that holds them, and on every device.
    """
    return {
        name: InitialValue(tuple(parameter.shape), _digest_of_values(parameter))
        for name, parameter in module.named_parameters()
    }


def _digest_of_values(parameter: Tensor) -> str:
    indices = torch.from_numpy(_evenly_spread(parameter.numel())).to(parameter.device)
    # Every other type is part of this one.
    values = parameter.reshape(-1)[indices].cpu().to(torch.complex128)
    return hashlib.sha256(values.numpy().data).hexdigest()[:KEY_DIGITS]


@lru_cache(maxsize=64)
def _evenly_spread(entries: int) -> NDArray[np.int64]:
    """Indices of at most `ENTRIES_READ` of so many entries, from the first one on."""
    count = min(entries, ENTRIES_READ)
    return np.arange(count, dtype=np.int64) * entries // max(count, 1)


def _is_power_of_two(number: int) -> bool:
    return number & (number - 1) == 0
