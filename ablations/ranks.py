"""The processes of a worker that trains each run on several devices.

One process for each device, as `torch.distributed` wants it: rank 0 leads, which is to say claims,
records and tracks; the others train along with it.
"""

from __future__ import annotations

import os
import socket
import time
from dataclasses import dataclass

LEADER_WAITS_S = 2.0
"""After an error, in which the launcher ends a leader whose error is only that a rank has died."""
FOLLOWER_WAITS_S = 10.0
"""After an error, in which a leader that has the same one tells the ledger about it."""


@dataclass(frozen=True)
class Assignment:
    """A run that all ranks train now."""

    run_key: str
    attempt: int
    resume_from: str | None
    """Path of the checkpoint to go on from."""


class Ranks:
    """This process among those of its worker; alone where nothing in the environment says else."""

    def __init__(self) -> None:
        self.rank = int(os.environ.get("RANK", "0"))
        self.count = int(os.environ.get("WORLD_SIZE", "1"))

    @property
    def leads(self) -> bool:
        """Whether this process claims runs."""
        return self.rank == 0

    def join(self) -> None:
        """Meet the other ranks; Lightning trains in the group that is formed here."""
        if self.count == 1:
            return
        import torch
        from torch import distributed

        backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
        distributed.init_process_group(backend, rank=self.rank, world_size=self.count)

    def tell(self, assignment: Assignment | None) -> None:
        """Tell the others what to train, or with None that there is nothing more."""
        if self.count > 1:
            _broadcast(assignment)

    def wait_after_error(self) -> None:
        """Let come out whose error it is, before this process ends by it."""
        if self.count > 1:
            time.sleep(LEADER_WAITS_S if self.leads else FOLLOWER_WAITS_S)

    def hear(self) -> Assignment | None:
        """What the leader says next."""
        return _broadcast(None)


def _broadcast(assignment: Assignment | None) -> Assignment | None:
    import torch
    from torch import distributed

    message = [assignment]
    distributed.broadcast_object_list(message, src=0, device=torch.device("cpu"))
    return message[0]


def rank_environments(count: int) -> list[dict[str, str]]:
    """What each process of a worker finds in its environment; nothing for a single one."""
    if count == 1:
        return [{}]
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    shared = {"WORLD_SIZE": str(count), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    return [{**shared, "RANK": str(rank), "LOCAL_RANK": str(rank)} for rank in range(count)]
