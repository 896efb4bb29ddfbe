"""The fleet of a study: found again by whoever watches, tops up or cancels it."""

from __future__ import annotations

from ablations.launchers.fleet import Fleet, FleetFile, read_fleet_file, save_fleet_file, top_up
from ablations.launchers.registry import LAUNCHERS
from ablations.ledger import Ledger
from ablations.profiles import Profile, load_profile
from ablations.progress import Progress
from ablations.run_directory import StudyDirectory
from ablations.storages.urls import kind_of
from studies.errors import AblationError


def place_fleet(
    file: FleetFile, profile: Profile, directory: StudyDirectory, ledger: Ledger, progress: Progress
) -> list[str]:
    """Have a fleet work on a study from now on; returns what was placed just now.

    Raises:
        AblationError: the queue is where only this machine reaches it, or the scheduler refuses.
    """
    if kind_of(ledger.url) == "sqlite":
        raise AblationError(
            f"the queue of study {directory.study!r} is a SQLite file, which only one machine can "
            "use. `ablate move STUDY --storage journal` takes it to a file that machines share, "
            "--storage postgresql://USER@HOST/DATABASE to a database."
        )
    save_fleet_file(directory, file)
    try:
        return top_up(_fleet(file, profile, directory, ledger), directory, ledger, progress)
    except AblationError as error:
        raise AblationError(
            f"{error}\nThe runs are queued; `ablate doctor {directory.study}` looks for what keeps "
            "workers from them, and `ablate run` places workers then."
        ) from None


def known_fleet(directory: StudyDirectory, ledger: Ledger) -> Fleet | None:
    """The fleet of a study, None where it has none.

    Raises:
        AblationError: the user who asks has no such profile, or is not on the cluster.
    """
    file = read_fleet_file(directory)
    if file is None:
        return None
    return _fleet(file, load_profile(file.profile), directory, ledger)


def _fleet(file: FleetFile, profile: Profile, directory: StudyDirectory, ledger: Ledger) -> Fleet:
    make = LAUNCHERS[file.launcher].fleet
    assert make is not None
    return make(directory, f"ablate-{ledger.name}", _arguments(file, profile, directory), profile)


def _arguments(file: FleetFile, profile: Profile, directory: StudyDirectory) -> list[str]:
    """A worker's arguments of `ablate`, as one would type them."""
    words = ["worker", directory.study, "--home", str(directory.path.parent)]
    words += ["--tracking-uri", file.tracking_uri]
    if file.storage is not None:
        words += ["--storage", file.storage]
    if file.profile is not None:
        words += ["--profile", file.profile]
    return words + (["--top-up"] if profile.slurm.workers_submit else [])
