"""Workers that a scheduler keeps for us: how many are placed, and placing those that are missing.

A fleet lives on when the command that placed it has ended. `fleet.json` in the study's folder says
whose it is, so that whoever watches the study can top it up: Slurm does not start a job again whose
process was killed.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

import filelock

from ablations.ledger import Ledger
from ablations.progress import Progress
from ablations.run_directory import StudyDirectory
from studies.errors import AblationError
from studies.files import write_atomically
from studies.section import Section

MAX_WASTED = 3
"""Workers placed in the room of each, without one of them claiming a run, before we give up."""

LOCK_PATIENCE_S = 60.0
"""How long we wait for another process that places workers."""


@dataclass(frozen=True)
class PlacedWorker:
    """One worker by the scheduler's word."""

    name: str
    """What the scheduler calls it."""
    is_running: bool
    node: str = ""


class Fleet(Protocol):
    """The workers of one study in the hands of one scheduler."""

    def placed(self) -> list[PlacedWorker]:
        """Those that run or wait to be started."""

    def own(self) -> str | None:
        """The one that this process is part of, None elsewhere."""

    def place(self, count: int, avoided: Sequence[str] = ()) -> list[str]:
        """Have so many more started, but for these nodes; returns what the scheduler calls them."""

    def withdraw(self, *, running: bool) -> None:
        """Take back those that wait, and with `running` end the others as well."""


class FleetFile(Section):
    """What `fleet.json` says."""

    launcher: str
    profile: str | None
    """Name in the profiles of the user who placed it."""
    tracking_uri: str
    storage: str | None
    workers: int
    """Workers at a time."""
    runs_per_worker: int = 1
    """Runs that one worker trains at a time."""
    wasted: int = 0
    """Placed since an attempt last began."""
    attempts: int = 0
    """Attempts that had begun by then."""
    leaving: tuple[str, ...] = ()
    """Workers near their time limit, which others replace though the scheduler still has them."""


def read_fleet_file(directory: StudyDirectory) -> FleetFile | None:
    """Who works on a study, None where nobody was placed."""
    try:
        return FleetFile.model_validate_json(directory.fleet_path.read_bytes())
    except FileNotFoundError:
        return None


def save_fleet_file(directory: StudyDirectory, file: FleetFile) -> None:
    """Remember who works on a study."""
    write_atomically(directory.fleet_path, file.model_dump_json(indent=1))


def top_up(
    fleet: Fleet,
    directory: StudyDirectory,
    ledger: Ledger,
    progress: Progress,
    *,
    is_leaving: bool = False,
) -> list[str]:
    """Place the workers that are missing, where there is work for them; returns their names.

    Any number of processes may: a lock in the study's folder keeps them from doing so at once, and
    a worker too many finds nothing and ends. Workers that leave say so: of several that do at once,
    each would take the others for such as stay.

    Args:
        fleet: whose workers.
        directory: of the study.
        ledger: its queue.
        progress: where it stands.
        is_leaving: whether this process is a worker that is about to end.

    Raises:
        AblationError: the scheduler refuses, or workers end again and again without claiming a run.
    """
    with _fleet_lock(directory):
        file = read_fleet_file(directory)
        if file is None or progress.is_over or ledger.is_cancelled():
            return []
        attempts = ledger.attempts()
        wasted = file.wasted if attempts == file.attempts else 0
        open_runs = progress.total - progress.ended  # what a search asks for later is of no use yet
        useful = math.ceil(open_runs / file.runs_per_worker)
        placed = {worker.name for worker in fleet.placed()}
        own = {fleet.own()} if is_leaving else set()
        leaving = placed & {*file.leaving, *own}
        if leaving != {*file.leaving}:
            file = file.model_copy(update={"leaving": tuple(sorted(leaving))})
            save_fleet_file(directory, file)
        missing = min(file.workers, useful) - len(placed - leaving)
        if missing <= 0:
            return []
        if wasted >= MAX_WASTED * file.workers:
            raise AblationError(
                f"{wasted} workers of study {directory.study!r} have ended without claiming a run; "
                f"their logs: {directory.path / 'logs'}. Mend what they say, then `ablate run` "
                "places workers again."
            )
        names = fleet.place(missing, ledger.bad_nodes())
        update = {"wasted": wasted + len(names), "attempts": attempts}
        save_fleet_file(directory, file.model_copy(update=update))
        return names


@contextmanager
def _fleet_lock(directory: StudyDirectory) -> Iterator[None]:
    """Keeps two processes from placing workers at once.

    Raises:
        AblationError: another one has been at it for long.
    """
    path = directory.path / ".fleet.lock"
    lock = filelock.FileLock(path, timeout=LOCK_PATIENCE_S)
    try:
        lock.acquire()
    except filelock.Timeout:
        raise AblationError(f"another process holds {path}: is it suspended?") from None
    try:
        yield
    finally:
        lock.release()
