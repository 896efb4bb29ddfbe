"""Batches of examples, padded to the longest row, in an order that a seed and an epoch fix.

Legend: N rows of tokens (examples times rows of each), T time, E examples.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import ceil
from typing import NamedTuple

import pytorch_lightning as pl
import torch
from torch import Tensor

from lightning_modules.finetuning.inputs import Encoded
from lightning_modules.seeding import stream_seed

NO_TARGET = -100
"""Of a position after which nothing is to be predicted: padding."""


class TaskBatch(NamedTuple):
    """Examples as a model takes them; on the device that Lightning moves it to."""

    tokens_NT: Tensor
    """Rows of one example stand together. Padding is token 0, after the row's end, where a causal
    model's earlier outputs do not depend on it."""
    targets_NT: Tensor
    """The next token, or `NO_TARGET`."""
    last_N: Tensor
    """Position at which the head reads each row."""
    labels_E: Tensor
    """Numbers of labels (int64), or numbers to be predicted (float32)."""


def collate(examples: Sequence[Encoded], *, of_numbers: bool) -> TaskBatch:
    """One batch."""
    rows = [torch.tensor(row) for example in examples for row in example.rows]
    last_N = torch.tensor([len(row) - 1 for row in rows])
    tokens_NT = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)
    targets_NT = torch.full_like(tokens_NT, NO_TARGET)
    for row, last, targets in zip(tokens_NT, last_N.tolist(), targets_NT, strict=True):
        targets[:last] = row[1 : last + 1]
    dtype = torch.float32 if of_numbers else torch.int64
    labels_E = torch.tensor([example.label for example in examples]).to(dtype)
    return TaskBatch(tokens_NT, targets_NT, last_N, labels_E)


def steps_of_epoch(examples: int, batch_size: int) -> int:
    """Optimiser steps in which each example is trained on once; the last batch may be smaller."""
    return ceil(examples / batch_size)


SORTED_BATCHES = 16
"""Batches whose examples are dealt out by length, so that few tokens are padding."""


class TaskStream:
    """Training batches from the trainer's current step on: a resumed run sees what was to come.

    The examples of an epoch are shuffled; each few batches of them are sorted by length, divided,
    and shuffled as batches.
    """

    def __init__(
        self,
        examples: Sequence[Encoded],
        trainer: pl.Trainer,
        *,
        batch_size: int,
        steps: int,
        seed: int,
        of_numbers: bool,
    ) -> None:
        self._examples, self._trainer = examples, trainer
        self._batch_size, self._steps = batch_size, steps
        self._seed, self._of_numbers = seed, of_numbers

    def __iter__(self) -> Iterator[TaskBatch]:
        per_epoch = steps_of_epoch(len(self._examples), self._batch_size)
        batches: list[list[int]] = []
        known = -1
        for step in range(self._trainer.global_step, self._steps):
            epoch, number = divmod(step, per_epoch)
            if epoch != known:
                batches, known = self._batches(epoch), epoch
            chosen = [self._examples[i] for i in batches[number]]
            yield collate(chosen, of_numbers=self._of_numbers)

    def _batches(self, epoch: int) -> list[list[int]]:
        """Numbers of the examples of each batch of an epoch."""
        generator = torch.Generator().manual_seed(stream_seed(self._seed, "examples", epoch))
        order: list[int] = torch.randperm(len(self._examples), generator=generator).tolist()
        batches = []
        together = SORTED_BATCHES * self._batch_size
        for first in range(0, len(order), together):
            chunk = sorted(order[first : first + together], key=self._length)
            batches += [
                chunk[start : start + self._batch_size]
                for start in range(0, len(chunk), self._batch_size)
            ]
        return [batches[i] for i in torch.randperm(len(batches), generator=generator).tolist()]

    def _length(self, number: int) -> int:
        return longest_row(self._examples[number])


def longest_row(example: Encoded) -> int:
    """Tokens of the longest row of an example."""
    return max(map(len, example.rows))


def evaluation_batches(
    examples: Sequence[Encoded], batch_size: int, *, of_numbers: bool
) -> list[TaskBatch]:
    """All examples once, those of like length together: padding costs time."""
    by_length = sorted(examples, key=longest_row)
    return [
        collate(by_length[first : first + batch_size], of_numbers=of_numbers)
        for first in range(0, len(by_length), batch_size)
    ]
