"""A worker: claims runs of a study until none is left, and trains each to its end."""

from __future__ import annotations

import logging
import os
import signal
import time
import traceback
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from ablations.attempt import Attempt, Bench
from ablations.claims import Claim, Failure, Fenced
from ablations.keeper import StudyKeeper
from ablations.ledger_location import worker_ledger
from ablations.publishing import PublishingThread, RunPublisher
from ablations.ranks import Ranks
from ablations.redaction import redacted
from ablations.run_directory import StoredPlan, StudyDirectory
from ablations.tracking_store import NONE
from studies.records import NoSink

if TYPE_CHECKING:
    from ablations.tracking import TrackedStudy, Tracking

log = logging.getLogger(__name__)

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)
"""Each only sets a flag, which is looked at after every optimiser step. Slurm sends SIGTERM when it
preempts, and what `launchers/slurm.py` asks it for before the time limit."""
IDLE_S = 3.0
"""How long a worker looks for work at least before it ends."""
LOOK_S = 0.5
"""Between looks at an empty queue."""
FLUSH_S = 20.0
"""How long a worker that is done waits for the tracking store; whoever syncs sends what is left."""
START_AFRESH, UNFIT = 75, 76
"""Exit statuses: a failed run may have spoiled this process, or its node is not to be used."""


@dataclass(frozen=True)
class WorkerSettings:
    """What a worker is told when it is started."""

    home: Path
    study: str
    tracking_uri: str
    """`none` sends nothing: what is recorded waits for `ablate sync`."""
    storage: str | None = None
    """Where to reach the queue, if not as the study's folder says."""
    parent: int | None = None
    """Process that started the worker; when it is gone, the worker stops as on a signal."""
    raises: bool = False
    """Whether the error of a run comes out of the worker, once it is recorded."""


class Worker:
    """One process that trains the runs of one study."""

    def __init__(self, settings: WorkerSettings) -> None:
        self._settings = settings
        self._directory = StudyDirectory(settings.home, settings.study)
        self._stored = StoredPlan(self._directory)
        self._take_plan()
        self._ledger = worker_ledger(self._directory, settings.storage)
        self._keeper = StudyKeeper(self._directory, self._ledger, self._plan)
        self._sends = settings.tracking_uri != NONE
        self._publishing = PublishingThread(self._open_tracking)
        self._ranks = Ranks()
        cache = settings.home / "cache"
        self._bench = Bench(
            self._directory, cache, self._ledger, self._ranks, self._must_stop, settings.raises
        )
        self._stop_signal = 0
        self._spoiled = self._unfit = False
        """Whether a failure may have left the device or the other ranks unusable to this process,
        or came of the node."""

    @property
    def was_stopped(self) -> bool:
        """Whether a signal asked to stop."""
        return self._stop_signal != 0

    def work(self) -> int:
        """Claim and train until nothing is left or a signal asks to stop; returns an exit status.

        Raises:
            SystemExit: this rank failed and the others wait for it; whoever started them ends them.
        """
        for name in STOP_SIGNALS:
            signal.signal(name, self._on_signal)
        _use_one_thread()
        self._ranks.join()
        if not self._ranks.leads:
            self._follow()
            return 0
        self._lead()
        if self._unfit:
            return UNFIT
        return START_AFRESH if self._spoiled else 0

    def _lead(self) -> None:
        """Claim runs and train them, with the other ranks where there are any."""
        if self._sends:
            self._publishing.start()
        idle_since, kept = time.monotonic(), False
        while not self._must_stop() and not self._ledger.is_cancelled():
            kept = self._keeper.keep() or kept  # another's look may not be over: it may queue more
            self._take_plan()  # a search may have gone on
            claim = self._ledger.claim(self._runs)
            if claim is not None:
                self._attempt(claim)
                idle_since, kept = time.monotonic(), False
            elif self._found_nothing(idle_since) and kept:
                break
            else:
                time.sleep(LOOK_S)
        self._keeper.keep()  # what was given back waits again
        if self._sends and not self._publishing.close(FLUSH_S):
            log.warning("some metrics were not sent; `ablate sync` sends them")
        if self._spoiled and self._ranks.count > 1:
            raise SystemExit(START_AFRESH)
        self._ranks.tell(None)

    def _found_nothing(self, since: float) -> bool:
        """Whether there was nothing for long enough, and nobody who trains may be dead."""
        return time.monotonic() - since > IDLE_S and self._ledger.all_seen_alive()

    def _follow(self) -> None:
        """Train what the leading rank claims; it alone records, and it alone asks to stop."""
        from lightning_modules.training import RunInterrupted, train_run

        while (assignment := self._ranks.hear()) is not None:
            run = self._directory.run(assignment.run_key)
            if assignment.run_key not in self._runs:
                self._take_plan()
            try:
                train_run(
                    self._plan.spec(self._runs[assignment.run_key]),
                    execution=self._plan.study.execution,
                    cache=self._settings.home / "cache",
                    directory=run.attempt(assignment.attempt).path,
                    resume_from=Path(assignment.resume_from) if assignment.resume_from else None,
                    sink=NoSink(),
                    should_stop=lambda: False,
                )
            except RunInterrupted:
                continue
            except Exception:
                trace = redacted(traceback.format_exc())
                log.error("rank %d, run %s: %s", self._ranks.rank, assignment.run_key, trace)
                self._ranks.wait_after_error()
                raise SystemExit(1) from None

    def _take_plan(self) -> None:
        """Take the plan as it is on disk."""
        self._plan = self._stored.read()
        self._runs = {run.run_key: run for run in self._plan.all_runs}

    def _attempt(self, claim: Claim) -> None:
        """One attempt at one run, whatever comes of it."""
        planned = self._runs[claim.run_key]
        attempt = Attempt(self._bench, self._plan, planned, claim)
        publisher = RunPublisher(attempt.run, attempt.directory, self._plan, planned, claim)
        if self._sends:
            self._publishing.add(publisher)
        try:
            record = attempt.make()
        except Fenced:
            log.warning("run %s was given to another worker; this attempt ends", claim.run_key)
            publisher.abandon()
            attempt.directory.remove_weights()
            return
        finally:
            if attempt.failure is not None:
                self._spoiled = _uses_cuda() or self._ranks.count > 1
                self._unfit = attempt.failure in (Failure.NODE, Failure.DISK)
        if record is not None and not attempt.publish(record):
            publisher.abandon()
            return
        publisher.close(record)
        self._publishing.wake()

    def _open_tracking(self) -> tuple[Tracking, TrackedStudy]:
        from ablations.tracking import Tracking

        tracking = Tracking(self._settings.tracking_uri)
        return tracking, tracking.open_study(self._plan, self._directory.path)

    def _must_stop(self) -> bool:
        orphaned = self._settings.parent is not None and os.getppid() != self._settings.parent
        return orphaned or self._spoiled or self._unfit or self.was_stopped

    def _on_signal(self, number: int, _: FrameType | None) -> None:
        self._stop_signal = number


def _uses_cuda() -> bool:
    """Whether this process holds a CUDA context, which an error on the device leaves broken."""
    import torch

    return bool(torch.cuda.is_initialized())  # type: ignore[no-untyped-call]


def _use_one_thread() -> None:
    """One torch thread: two workers with one thread each beat one worker with two."""
    import torch

    torch.set_num_threads(1)
