"""Workers as processes of this machine."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ablations.ranks import rank_environments
from ablations.stall_alarm import STALLED
from ablations.worker import WorkerSettings

FAREWELL_S = 10.0
"""How long the other processes of a worker may take to end once the first is done."""


@dataclass
class LocalWorker:
    """One worker: a process, or one for each device of a run, of which the first leads."""

    process: subprocess.Popen[bytes]
    followers: list[subprocess.Popen[bytes]]
    slot: int
    log_path: Path
    log_start: int
    """Where in the log this worker's part begins, in bytes."""

    def has_ended(self) -> bool:
        """Whether a process has ended; where the worker is broken or done, all of them then."""
        processes = [self.process, *self.followers]
        if all(process.poll() is None for process in processes):
            return False
        if self.process.poll() == 0:
            _wait(self.followers, FAREWELL_S)
        for process in processes:
            if process.poll() is None:
                process.kill()
            process.wait()
        return True

    def obituary(self) -> str:
        """How a worker that has ended did so, with its last line, and where to read more."""
        code = self.process.returncode
        how = f"died of {signal.Signals(-code).name}" if code < 0 else f"ended with {code}"
        with self.log_path.open("rb") as log:
            log.seek(self.log_start)
            lines = log.read().decode(errors="replace").strip().splitlines()
        if any(line.startswith(STALLED) for line in lines):
            how = "made no step within execution.stall_minutes; its stacks:"
            return f"worker {self.slot} {how} {self.log_path}"
        words = f": {lines[-1][:300]} (log: {self.log_path})" if lines else " without a word"
        return f"worker {self.slot} {how}{words}"


@dataclass
class LocalLauncher:
    """Keeps a number of worker processes, each with a device or a core of its own."""

    command: Sequence[str]
    """A worker's command line, `--parent` is added."""
    log_folder: Path
    devices: Sequence[str]
    """`CUDA_VISIBLE_DEVICES` of the workers, in turn; empty on a machine without GPUs."""
    processes_per_worker: int = 1
    """One for each device that a run trains on."""
    log_name: str = "worker"
    """Logs are called so, with the number of the worker."""
    workers: list[LocalWorker] = field(default_factory=list)
    most: int = 0
    """Most workers that were to be alive."""

    def start(self, count: int) -> None:
        """Start workers until `count` are alive."""
        self.most = max(self.most, count)
        self.log_folder.mkdir(parents=True, exist_ok=True)
        taken = {worker.slot for worker in self.workers}
        free = (slot for slot in range(count) if slot not in taken)
        for slot in list(free)[: count - len(self.workers)]:
            self.workers.append(self._start_one(slot))

    def reap(self) -> list[LocalWorker]:
        """The workers that have ended since the last call."""
        ended = [worker for worker in self.workers if worker.has_ended()]
        self.workers = [worker for worker in self.workers if worker not in ended]
        return ended

    def stop(self, timeout_s: float) -> list[LocalWorker]:
        """Ask all workers to stop at their next step, kill those that do not; returns them."""
        leaders = [worker.process for worker in self.workers]
        for process in leaders:
            process.terminate()
        _wait(leaders, timeout_s)
        for process in leaders:
            if process.poll() is None:
                process.kill()
                process.wait()
        return self.reap()

    def _start_one(self, slot: int) -> LocalWorker:
        log_path = self.log_folder / f"{self.log_name}-{slot}.log"
        environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}
        if self.devices:
            environment["CUDA_VISIBLE_DEVICES"] = self.devices[slot % len(self.devices)]
        with log_path.open("ab") as log:
            log_start = log.tell()
            leader, *followers = (
                subprocess.Popen(
                    [*self.command, "--parent", str(os.getpid())],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    env=environment | rank,
                    start_new_session=True,  # Ctrl-C is for the driver, which asks workers to stop
                )
                for rank in rank_environments(self.processes_per_worker)
            )
        return LocalWorker(leader, followers, slot, log_path, log_start)


def _wait(processes: Sequence[subprocess.Popen[bytes]], timeout_s: float) -> None:
    """Wait until all have ended, or for the timeout."""
    deadline = time.monotonic() + timeout_s
    for process in processes:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(max(0.0, deadline - time.monotonic()))


def worker_command(settings: WorkerSettings) -> list[str]:
    """The command line of a worker, as one would type it.

    With -P the modules of the working directory stay out of the way, as they do for `ablate`.
    """
    words = [
        *(sys.executable, "-P", "-m", "ablations.cli", "worker", settings.study),
        *("--home", str(settings.home), "--tracking-uri", settings.tracking_uri),
    ]
    return words + (["--storage", settings.storage] if settings.storage else [])
