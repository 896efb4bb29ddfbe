"""The launchers: who places the workers of a study. A new one is a file and a row here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ablations.driver import Driver, RunSummary
from ablations.launchers.fleet import Fleet
from ablations.launchers.slurm import SlurmFleet
from ablations.profiles import Profile
from ablations.progress import Progress
from ablations.run_directory import StudyDirectory
from ablations.worker import Worker
from studies.registry import Registry

OnProgress = Callable[[Progress], None]


@dataclass(frozen=True)
class Launcher:
    """One way of having workers; either of the two functions is there."""

    run: Callable[[Driver, OnProgress], RunSummary] | None = None
    """Trains what is missing while `ablate run` waits."""
    fleet: Callable[[StudyDirectory, str, list[str], Profile], Fleet] | None = None
    """Workers that go on without us: of a study, called so, with these arguments of `ablate`."""


def run_locally(driver: Driver, on_progress: OnProgress) -> RunSummary:
    """Train in worker processes of this machine, which end with this one."""
    return driver.run(on_progress)


def run_here(driver: Driver, on_progress: OnProgress) -> RunSummary:
    """Train in this very process, for a debugger: what a run raises comes out."""
    on_progress(driver.queue())
    must_stop = False
    while not must_stop and not driver.keeper.progress().is_over:
        worker = Worker(driver.worker_settings(raises=True))
        worker.work()
        must_stop = worker.was_stopped or driver.ledger.is_cancelled()
        driver.keeper.keep()
        on_progress(driver.keeper.progress())
    return driver.summary(interrupted=must_stop)


def slurm_fleet(directory: StudyDirectory, name: str, worker: list[str], profile: Profile) -> Fleet:
    """Workers as Slurm jobs."""
    return SlurmFleet(name, worker, directory.path / "logs" / "slurm", profile.slurm)


LAUNCHERS: Registry[Launcher] = Registry(
    "launcher",
    {
        "local": Launcher(run=run_locally),
        "slurm": Launcher(fleet=slurm_fleet),
        "debug": Launcher(run=run_here),
    },
)


def usual_storage(launcher: str, profile: Profile) -> str | None:
    """Where queues of new studies go if nobody says otherwise; None is what one machine takes."""
    on_other_machines = LAUNCHERS[launcher].fleet is not None
    return profile.storage or ("journal" if on_other_machines else None)
