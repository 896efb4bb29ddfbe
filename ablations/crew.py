"""The worker processes of one machine: replaced while there is work, buried when they die."""

from __future__ import annotations

import logging
import signal

from ablations.claims import Failure
from ablations.launchers.local import LocalLauncher, LocalWorker, worker_command
from ablations.ledger import Ledger, owner_prefix
from ablations.machine import gpus_for
from ablations.memory_events import oom_kills
from ablations.run_directory import StudyDirectory
from ablations.storages.patience import outliving
from ablations.worker import START_AFRESH, WorkerSettings
from studies.errors import AblationError
from studies.execution import ExecutionConfig

log = logging.getLogger(__name__)

POLL_S = 0.5
MAX_DEATHS = 3
"""Deaths of each worker outside of any run, without a run being trained to an end in between, that
are borne. To leave because the node does not work counts as one."""
GIVEN_UP_LATER = "what it trained is given up once it is silent for long enough"


class Crew:
    """Worker processes, and what the queue is told when one of them has died."""

    def __init__(self, launcher: LocalLauncher, ledger: Ledger, study: str) -> None:
        self._launcher = launcher
        self._ledger = ledger
        self._study = study
        self._deaths = 0
        self._killed_for_memory = oom_kills()

    @property
    def size(self) -> int:
        """Workers that are alive."""
        return len(self._launcher.workers)

    def start(self, count: int) -> None:
        """Start workers until so many are alive."""
        self._launcher.start(count)

    def reap(self) -> list[int]:
        """Exit statuses of the workers that have ended; their attempts are given up.

        Raises:
            AblationError: workers die again and again before they train anything.
        """
        ended = self._launcher.reap()
        for worker in ended:
            self._bury(worker)
        if self._deaths >= MAX_DEATHS * max(1, self._launcher.most):
            raise AblationError(
                f"workers of study {self._study!r} die again and again, and train nothing to an "
                f"end; their logs: {self._launcher.log_folder}. "
                "Mend what the logs say, then run the same command again."
            )
        return [worker.process.returncode for worker in ended]

    def forget_deaths(self) -> None:
        """A run was trained to an end: whatever workers died of before, they can train."""
        self._deaths = 0

    def stop(self, timeout_s: float) -> None:
        """Ask all workers to give their runs back, and kill those that do not."""
        for worker in self._launcher.stop(timeout_s):
            owner = owner_prefix(worker.process.pid)
            with outliving(GIVEN_UP_LATER):
                self._ledger.fail_attempts_of(owner, None, "killed while stopping")

    def _bury(self, worker: LocalWorker) -> None:
        """Give up the attempts of a worker that has ended.

        A death within a run is counted by the ledger, against that run.
        """
        status = worker.process.returncode
        died = status not in (0, START_AFRESH)
        words = worker.obituary() if died else "ended"
        failure = Failure.LOST
        if status == -signal.SIGKILL and (kills := oom_kills()) > self._killed_for_memory:
            self._killed_for_memory, failure = kills, Failure.OUT_OF_MEMORY
            words = f"killed by the kernel for its memory: {words}"
        if died:
            log.warning("%s", words)
        with outliving(GIVEN_UP_LATER):
            owner = owner_prefix(worker.process.pid)
            attempts = self._ledger.fail_attempts_of(owner, failure, words)
            self._deaths += died and attempts == 0


def crew_of(
    settings: WorkerSettings, execution: ExecutionConfig, ledger: Ledger, log_name: str
) -> Crew:
    """A crew on this machine, each worker with GPUs of its own where there are any."""
    gpus, devices = gpus_for(execution), execution.devices
    groups = [",".join(gpus[i : i + devices]) for i in range(0, len(gpus), devices)]
    folder = StudyDirectory(settings.home, settings.study).path / "logs"
    launcher = LocalLauncher(worker_command(settings), folder, groups, devices, log_name)
    return Crew(launcher, ledger, settings.study)
