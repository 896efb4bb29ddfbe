"""Two processes that meet in a group, and what tests have them do there."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from pathlib import Path

import torch
from torch import Tensor, distributed, multiprocessing

from ablations.ranks import rank_environments
from lightning_modules.checkpoints import newest_checkpoint
from lightning_modules.synchronisation import synchronised_batch_norm
from lightning_modules.training import RunInterrupted, train_run
from studies.execution import ExecutionConfig
from studies.records import RunResult
from studies.run_spec import RunSpec
from tests.lightning_modules_tests.tiny_runs import RowsSink

TWO = ExecutionConfig(accelerator="cpu", devices=2, strategy="ddp", checkpoint_every_s=0)
DEADLINE = timedelta(seconds=60)

Work = Callable[[int, Path], None]
"""What a rank does in a folder."""


def in_two_ranks(work: Sequence[Work], home: Path) -> None:
    """Do one piece of work after the other in two processes; to wait in vain is an error."""
    multiprocessing.spawn(_rank, (rank_environments(2), work, home), nprocs=2)


def _rank(rank: int, environments: list[dict[str, str]], work: Sequence[Work], home: Path) -> None:
    os.environ.update(environments[rank])
    torch.set_num_threads(1)
    distributed.init_process_group("gloo", rank=rank, world_size=2, timeout=DEADLINE)
    for piece in work:
        piece(rank, home)
    distributed.destroy_process_group()


def train_together(specs: Mapping[str, RunSpec], rank: int, home: Path) -> None:
    """Train runs; the first rank keeps rows, facts and checkpoints."""
    for name, spec in specs.items():
        sink = RowsSink()
        result = _train(spec, home / name, sink)
        if rank == 0:
            torch.save((sink.rows, result.facts), home / f"{name}.pt")


def resume_together(spec: RunSpec, rank: int, home: Path) -> None:
    """Train a run that is asked to stop after its third step, and resume it."""
    sink, asked = RowsSink(), [False, False, True]
    try:
        _train(spec, home / "interrupted", sink, should_stop=lambda: asked.pop(0))
    except RunInterrupted:
        distributed.barrier()  # the first rank may still be removing older checkpoints
        checkpoint = newest_checkpoint([home / "interrupted"])
        assert checkpoint is not None
        _train(spec, home / "resumed", sink, resume_from=checkpoint.path)
    if rank == 0:
        torch.save(sink.rows, home / "resumed.pt")


def normalise_shares(shares: Mapping[str, list[list[Tensor]]], rank: int, home: Path) -> None:
    """Normalise this rank's rows of inputs, and take the gradient by them of a weighted sum."""
    for name, of_ranks in shares.items():
        x_NC, weights_NC, mean_C, variance_C = of_ranks[rank]
        x_NC.requires_grad_()
        y_NC = synchronised_batch_norm(x_NC, mean_C, variance_C, momentum=0.3, eps=1e-3)
        (y_NC * weights_NC).sum().backward()
        torch.save([y_NC.detach(), x_NC.grad, mean_C, variance_C], home / f"{name}-{rank}.pt")


def _train(
    spec: RunSpec,
    directory: Path,
    sink: RowsSink,
    *,
    should_stop: Callable[[], bool] = lambda: False,
    resume_from: Path | None = None,
) -> RunResult:
    return train_run(
        spec,
        execution=TWO,
        cache=Path(spec.data.corpus).parent / "cache",
        directory=directory,
        resume_from=resume_from,
        sink=sink,
        should_stop=should_stop,
    )
