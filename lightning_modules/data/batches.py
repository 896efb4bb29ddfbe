"""Batches as pure functions: of seed and step for training, of the data alone for evaluation.

Shapes: B sequences, T = `context_length`. A batch is (B, T+1): inputs [:, :-1], targets [:, 1:].

The held-out tokens are divided into slots of T+1, and every eighth slot is kept for the probe
batch. Evaluation and probe each take slots at even distances over the whole text, and go into the
other's slots only when they ask for more than their own.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from lightning_modules.data.corpus import DataError
from lightning_modules.data.token_store import TokenMap, TokenStore

PROBE_PERIOD = 8

Offsets = NDArray[np.int64]


def train_batch(
    store: TokenStore, *, context_length: int, batch_size: int, seed: int, step: int
) -> torch.Tensor:
    """The training batch of a step, int64 (B, T+1): windows at uniformly random positions.

    It depends on seed and step alone: not on the model, nor on the batches drawn before, so that
    a resumed run goes on where it was.
    """
    positions = len(store.train) - context_length
    if positions < 1:
        raise _too_short(store, "training", len(store.train), context_length)
    # Raw bits are the part of numpy's randomness that no release may change; the modulo favours
    # no position by more than one part in 1e9, even with 1e10 tokens.
    raw = np.random.PCG64(np.random.SeedSequence((seed, step))).random_raw(batch_size)
    offsets = (raw % np.uint64(positions)).astype(np.int64)
    return _windows(store.train, offsets, context_length)


def training_sample(
    store: TokenStore, *, context_length: int, tokens: int, batch_size: int
) -> list[torch.Tensor]:
    """Windows (B, T+1) at even distances over the training text: what to hold evaluations against.

    `tokens` as for `evaluation_batches`.
    """
    positions = len(store.train) - context_length
    if positions < 1:
        raise _too_short(store, "training", len(store.train), context_length)
    count = min(max(tokens // context_length, 1), positions)
    offsets = np.arange(count) * positions // count
    return list(torch.split(_windows(store.train, offsets, context_length), batch_size))


def evaluation_batches(
    store: TokenStore, *, context_length: int, tokens: int, batch_size: int
) -> list[torch.Tensor]:
    """The fixed evaluation set, int64 (B, T+1) each, the last one possibly of fewer sequences.

    `tokens` are predicted tokens, rounded down to whole windows, at least one; a smaller held-out
    text is used whole. Windows do not overlap.
    """
    slots = _slots(store, context_length)
    own = slots[slots % PROBE_PERIOD != PROBE_PERIOD - 1]
    offsets = _choose(own, slots, tokens // context_length) * (context_length + 1)
    return list(torch.split(_windows(store.validation, offsets, context_length), batch_size))


def probe_batch(store: TokenStore, *, context_length: int, tokens: int) -> torch.Tensor:
    """The fixed, held-out batch for diagnostics, int64 (B, T+1) with B T close to `tokens`."""
    slots = _slots(store, context_length)
    own = slots[slots % PROBE_PERIOD == PROBE_PERIOD - 1]
    offsets = _choose(own, slots, tokens // context_length) * (context_length + 1)
    return _windows(store.validation, offsets, context_length)


def bytes_per_token(store: TokenStore, batches_BT: Iterable[torch.Tensor]) -> float | None:
    """Mean UTF-8 bytes of the tokens that (B, T+1) batches predict; None where it is not known."""
    if store.token_bytes is None:
        return None
    targets = np.concatenate([batch[:, 1:].flatten().cpu().numpy() for batch in batches_BT])
    return float(store.token_bytes[targets].mean())


def _slots(store: TokenStore, context_length: int) -> Offsets:
    count = len(store.validation) // (context_length + 1)
    if count < 1:
        raise _too_short(store, "held-out", len(store.validation), context_length)
    return np.arange(count)


def _choose(own: Offsets, every: Offsets, count: int) -> Offsets:
    """`count` slots at even distances (at least one): own ones if there are enough."""
    count = min(max(count, 1), len(every))
    slots = own if len(own) >= count else every
    return slots[np.arange(count) * len(slots) // count]


def _windows(tokens: TokenMap, offsets: Offsets, context_length: int) -> torch.Tensor:
    rows: NDArray[Any] = tokens[offsets[:, None] + np.arange(context_length + 1)]
    return torch.from_numpy(rows.astype(np.int64))


def _too_short(store: TokenStore, split: str, tokens: int, context_length: int) -> DataError:
    return DataError(
        "model.context_length",
        context_length,
        allowed=f"at most {max(tokens - 1, 0)}: the {split} split of {store.corpus} has {tokens} "
        f"tokens, and a window takes context_length + 1",
        remedy="lower model.context_length, use a longer corpus, or change "
        "data.validation_fraction",
    )
