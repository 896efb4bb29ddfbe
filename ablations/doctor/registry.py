"""The checks of `ablate doctor`, in the order in which they are made. A new one is a row here."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from ablations.doctor import folder, gpus, packages, queue, slurm, threads, tracking
from ablations.doctor.findings import Finding
from ablations.doctor.situation import Situation
from studies.registry import Registry


@dataclass(frozen=True)
class Check:
    """One look at one thing."""

    group: str
    """Heading that it stands under."""
    look: Callable[[Situation], Iterable[Finding]]
    limit_s: float = 15.0
    """After so long it is given up."""
    after: str | None = None
    """Check without which this one makes no sense: left out where that one found a problem."""


CHECKS: Registry[Check] = Registry(
    "check",
    {
        "packages": Check("Python", packages.ranges),
        "driver": Check("Python", packages.driver),
        "cores": Check("processor", threads.cores),
        "gpus": Check("GPUs", gpus.listed, limit_s=30),
        "torch": Check("GPUs", gpus.used, limit_s=180),
        "home": Check("home folder", folder.writable),
        "file-system": Check("home folder", folder.file_system),
        "locks": Check("home folder", folder.locks, limit_s=30, after="home"),
        "creation": Check("home folder", folder.creation, after="home"),
        "renaming": Check("home folder", folder.renaming, after="home"),
        "clock": Check("home folder", folder.clock, after="home"),
        "storage": Check("storage", queue.reachable, after="driver"),
        "claims": Check("storage", queue.claims, limit_s=30, after="storage"),
        "round-trip": Check("storage", queue.round_trip_time, after="storage"),
        "connections": Check("storage", queue.connections, after="storage"),
        "tracking": Check("tracking", tracking.store, limit_s=30),
        "slurm": Check("Slurm", slurm.answers, limit_s=30),
        "partition": Check("Slurm", slurm.partition, after="slurm"),
        "account": Check("Slurm", slurm.account, after="slurm"),
        "submission": Check("Slurm", slurm.submission, limit_s=30, after="slurm"),
        "grace": Check("Slurm", slurm.grace, after="slurm"),
    },
)
