"""Batch norms in a model: running them on a batch's own statistics, without leaving a trace."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from lightning_modules.gpt.norms import NormOverBatch


class BatchStatistics(NamedTuple):
    """Mean and unbiased variance of a batch, in the shape of the running ones."""

    mean: Tensor
    variance: Tensor


class BatchNorm(NamedTuple):
    """A module with running statistics, of torch or of one's own."""

    module: nn.Module
    running_mean: Tensor
    running_variance: Tensor


def batch_norms(module: nn.Module) -> dict[str, BatchNorm]:
    """The batch norms of a model by name, from the first layer to the last."""
    found = {}
    for name, part in module.named_modules():
        mean, variance = (getattr(part, key, None) for key in ("running_mean", "running_var"))
        moves = getattr(part, "momentum", None) != 0  # else nothing is ever learnt of a batch
        if moves and isinstance(mean, Tensor) and isinstance(variance, Tensor):
            found[name] = BatchNorm(part, mean, variance)
    return found


@contextmanager
def on_batch_statistics(norms: Mapping[str, BatchNorm]) -> Iterator[None]:
    """Let batch norms use the statistics of the batch; mode and buffers come back afterwards.

    In a run on several devices they are, as in training, those of the batches of all ranks.
    """
    modes = [(norm.module, norm.module.training) for norm in norms.values()]
    with buffers_kept(norms):
        for module, _ in modes:
            module.training = True
        try:
            yield
        finally:
            for module, training in modes:
                module.training = training


@contextmanager
def of_one_rank(norms: Mapping[str, BatchNorm]) -> Iterator[None]:
    """Let batch norms take the statistics of this rank's batch: all ranks look at the same one."""
    parts = [norm.module for norm in norms.values() if isinstance(norm.module, NormOverBatch)]
    before = [part.synchronised for part in parts]
    for part in parts:
        part.synchronised = False
    try:
        yield
    finally:
        for part, synchronised in zip(parts, before, strict=True):
            part.synchronised = synchronised


@contextmanager
def buffers_kept(norms: Mapping[str, BatchNorm]) -> Iterator[None]:
    """Give batch norms their buffers back as they were."""
    kept = [(buffer, buffer.clone()) for n in norms.values() for buffer in n.module.buffers()]
    try:
        yield
    finally:
        with torch.no_grad():
            for buffer, value in kept:
                buffer.copy_(value)


def measure_statistics(
    run: Callable[[], Any], norms: Mapping[str, BatchNorm]
) -> dict[str, BatchStatistics]:
    """The statistics that each batch norm takes of the batch that `run` shows the model.

    Running statistics that start from 0 are, after one batch, momentum times those of the batch;
    those of a norm that is called several times are a weighted mean of what it saw.
    """
    calls: Counter[nn.Module] = Counter()
    with on_batch_statistics(norms), of_one_rank(norms), ExitStack() as hooks:
        for norm in norms.values():
            for buffer in norm.module.buffers():
                buffer.zero_()
            count = norm.module.register_forward_hook(lambda part, *_: calls.update([part]))
            hooks.callback(count.remove)
        run()
        return {
            name: BatchStatistics(norm.running_mean / weight, norm.running_variance / weight)
            for name, norm in norms.items()
            for weight in [_weight(norm.module, calls[norm.module])]
        }


@contextmanager
def calibrated(runs: Sequence[Callable[[], Any]], norms: Mapping[str, BatchNorm]) -> Iterator[None]:
    """Let the running statistics be the mean of those of the batches that `runs` show the model.

    At initialisation they are 0 and 1, which is not what the model normalises by.
    """
    measured = [measure_statistics(run, norms) for run in runs] if norms else []
    with buffers_kept(norms):
        for name, norm in norms.items() if measured else ():
            norm.running_mean.copy_(torch.stack([m[name].mean for m in measured]).mean(0))
            norm.running_variance.copy_(torch.stack([m[name].variance for m in measured]).mean(0))
        yield


def _weight(module: nn.Module, calls: int) -> float:
    """Weight of new batches in the running statistics; None is a plain average, of these alone."""
    momentum = getattr(module, "momentum", None)
    return 1.0 if momentum is None else 1.0 - (1.0 - float(momentum)) ** calls
