"""`ablate worker`: what a cluster starts on a node, identical everywhere.

It trains nothing itself: the processes that do may be killed for their memory or leave a device
behind that only another process can use, and this one tells the queue so and starts the next.
"""

from __future__ import annotations

import logging
import os
import signal
import time
from collections.abc import Callable
from types import FrameType

import filelock

from ablations.crew import POLL_S, Crew, crew_of
from ablations.fleets import known_fleet
from ablations.keeper import StudyKeeper
from ablations.launchers.fleet import top_up
from ablations.launchers.slurm import own_job
from ablations.ledger import Ledger
from ablations.ledger_location import worker_ledger
from ablations.machine import gpus_for, node_name
from ablations.run_directory import StudyDirectory
from ablations.storages.patience import outliving
from ablations.tracking_store import NONE
from ablations.worker import STOP_SIGNALS, UNFIT, WorkerSettings
from studies.errors import AblationError

log = logging.getLogger(__name__)

TIME_LIMIT_SIGNALS = (signal.SIGUSR1, signal.SIGUSR2)
"""What a scheduler sends before the time limit; SIGTERM says that somebody wants us gone."""
LOOK_S = 10.0
"""Between looks at whether runs wait for workers that have ended."""
STOP_TIMEOUT_S = 600.0
"""How long a checkpoint may take after a signal; a scheduler kills sooner than that."""


def attend(settings: WorkerSettings, workers: int | None, *, tops_up: bool) -> int:
    """Keep worker processes alive until nothing is left, or until a signal asks to stop.

    Args:
        settings: of each process.
        workers: how many; None is one for each GPU, or for each group that a run needs, or else
            one.
        tops_up: whether to place a successor when the time limit is near.

    Returns:
        An exit status: 0, 1 where this node does not work, or 128 and the number of the signal
        that asked to stop: a scheduler that counts what has ended well must start another one.

    Raises:
        AblationError: the study was not queued, or workers die before they train anything.
    """
    directory = StudyDirectory(settings.home, settings.study)
    plan = directory.load_plan()
    execution = plan.study.execution
    ledger = worker_ledger(directory, settings.storage)
    place = own_job() or str(os.getpid())
    crew = crew_of(settings, execution, ledger, f"{node_name()}-{place}")
    count = workers or max(1, len(gpus_for(execution)) // execution.devices)
    attendance = Attendance(crew, count, StudyKeeper(directory, ledger, plan).waiting)
    status = attendance.attend()
    if status == 0 and not attendance.stop_signal:
        _conclude(settings, directory, ledger)
    if tops_up and attendance.stop_signal in TIME_LIMIT_SIGNALS:
        _place_successor(directory, ledger)
    return status


class Attendance:
    """A crew, and the signals that ask it to stop.

    Workers that found nothing have ended, and come back where runs wait again while others still
    train: this node is ours as long as one of them does.
    """

    def __init__(self, crew: Crew, count: int, waiting: Callable[[], int] = int) -> None:
        """Take the most workers at a time, and what says how many runs wait."""
        self._crew, self._count, self._waiting = crew, count, waiting
        self._looked_at = time.monotonic()
        self.stop_signal = 0

    def attend(self) -> int:
        """Keep the workers alive; returns an exit status."""
        for name in STOP_SIGNALS:
            signal.signal(name, self._on_signal)
        wanted = self._count
        try:
            while wanted and not self.stop_signal:
                self._crew.start(wanted)
                time.sleep(POLL_S)
                statuses = self._crew.reap()
                if UNFIT in statuses:
                    log.error("a run failed of this node or its disk: no worker is started here")
                    return 1
                wanted -= statuses.count(0)
                if 0 < wanted < self._count:
                    wanted = min(self._count, wanted + self._work_for())
        finally:
            self._crew.stop(STOP_TIMEOUT_S)
        return 128 + self.stop_signal if self.stop_signal else 0

    def _work_for(self) -> int:
        """How many more workers have something to do, looked at now and then."""
        if time.monotonic() - self._looked_at < LOOK_S:
            return 0
        self._looked_at = time.monotonic()
        with outliving("no worker comes back for now"):
            return self._waiting()
        return 0

    def _on_signal(self, number: int, _: FrameType | None) -> None:
        self.stop_signal = number


def _conclude(settings: WorkerSettings, directory: StudyDirectory, ledger: Ledger) -> None:
    """Where every run has ended, publish what is left and send the tracking store the means.

    Of several workers that end together one does so; what it cannot send, `ablate sync` does.
    """
    from ablations.publishing import sync_study
    from ablations.tracking import Tracking

    keeper = StudyKeeper(directory, ledger, directory.load_plan())
    if not keeper.progress().is_over:
        return
    try:
        with filelock.FileLock(directory.path / ".sync.lock", timeout=0):
            keeper.repair()
            if settings.tracking_uri != NONE:
                sync_study(Tracking(settings.tracking_uri), keeper.plan, directory)
    except filelock.Timeout:
        return
    except Exception as error:  # a store that is away must not make a failure of a finished study
        log.warning("the tracking store lacks something (%s); `ablate sync` sends it", error)


def _place_successor(directory: StudyDirectory, ledger: Ledger) -> None:
    """Have workers placed where they are missing, this one not counted."""
    keeper = StudyKeeper(directory, ledger, directory.load_plan())
    try:
        if fleet := known_fleet(directory, ledger):
            names = top_up(fleet, directory, ledger, keeper.progress(), is_leaving=True)
            log.warning("placed %s", ", ".join(names) or "no successor: there is no work for one")
    except AblationError as error:
        log.error("no successor was placed: %s", error)
