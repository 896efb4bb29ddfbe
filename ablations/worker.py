"""A worker: claims runs of a study until none is left, and trains each to its end."""

from __future__ import annotations

import logging
import os
import signal
import time
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from ablations.ledger import Claim, Fenced, Ledger
from ablations.provenance import provenance
from ablations.publishing import PublishingThread, RunPublisher
from ablations.run_directory import AttemptDirectory, MetricsFile, RunDirectory, StudyDirectory
from ablations.storage import sqlite_url
from studies.plan import Plan, PlannedRun
from studies.records import FINAL_LOSS, INITIAL_LOSS, LAST_TRAIN_LOSS, Outcome, RunRecord, RunResult

if TYPE_CHECKING:
    from ablations.tracking import TrackedStudy, Tracking

log = logging.getLogger(__name__)

IDLE_S = 3.0
"""How long a worker looks for work before it ends."""
FLUSH_S = 60.0
"""How long a worker that is done waits for the tracking store."""


@dataclass(frozen=True)
class WorkerSettings:
    """What a worker is told when it is started."""

    home: Path
    study: str
    tracking_uri: str
    parent: int | None = None
    """Process that started the worker; when it is gone, the worker stops as on a signal."""


class Worker:
    """One process that trains the runs of one study."""

    def __init__(self, settings: WorkerSettings) -> None:
        self._settings = settings
        self._directory = StudyDirectory(settings.home, settings.study)
        self._plan = self._directory.load_plan()
        self._runs = {run.run_key: run for run in self._plan.runs}
        self._ledger = Ledger(sqlite_url(self._directory.ledger_path), settings.study)
        self._publishing = PublishingThread(self._open_tracking)
        self._stop_signal = 0

    def work(self) -> None:
        """Claim and train until the queue is empty or a signal asks to stop."""
        for name in (signal.SIGTERM, signal.SIGUSR1):
            signal.signal(name, self._on_signal)
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the driver's, which sends SIGTERM
        _use_one_thread()
        self._publishing.start()
        idle_since = time.monotonic()
        while not self._must_stop() and time.monotonic() - idle_since < IDLE_S:
            claim = self._ledger.claim(self._runs)
            if claim is None:
                time.sleep(0.3)
                continue
            self._attempt(claim)
            idle_since = time.monotonic()
        if not self._publishing.close(FLUSH_S):
            log.warning("some metrics were not sent; `ablate sync` sends them")

    def _attempt(self, claim: Claim) -> None:
        """One attempt at one run, whatever comes of it."""
        planned = self._runs[claim.run_key]
        run = self._directory.run(claim.run_key)
        attempt = run.attempt(claim.attempt)
        publisher = RunPublisher(run, attempt, planned.variant)
        started = time.monotonic()
        try:
            run.save_spec(self._plan.spec(planned))
            self._publishing.add(publisher)
            result = self._train(claim, planned, run, attempt)
            record = self._record(planned, claim, result.outcome).model_copy(
                update={
                    "leak": result.leak,
                    "summary": result.summary,
                    "facts": result.facts,
                    "definitions": result.definitions,
                    "wall_time_s": round(time.monotonic() - started, 3),
                }
            )
            attempt.save_record(record)
            claim.complete(record.outcome, _ledger_value(record.summary))
            finish(run, record)
            publisher.record = record
        except Fenced:
            log.warning("run %s was given to another worker; this attempt ends", claim.run_key)
            publisher.released = True
        except Exception as error:
            self._give_back_or_fail(claim, planned, run, publisher, error)
        self._publishing.wake()

    def _train(
        self, claim: Claim, planned: PlannedRun, run: RunDirectory, attempt: AttemptDirectory
    ) -> RunResult:
        from lightning_modules.checkpoints import newest_checkpoint
        from lightning_modules.training import train_run

        attempt.path.mkdir(parents=True, exist_ok=True)
        earlier = newest_checkpoint(other.path for other in run.attempts())
        if earlier is not None:
            attempt.continue_from(AttemptDirectory(earlier.path.parent), earlier.step)
        return train_run(
            self._plan.spec(planned),
            execution=self._plan.study.execution,
            cache=self._settings.home / "cache",
            directory=attempt.path,
            resume_from=earlier.path if earlier else None,
            sink=_ProgressSink(MetricsFile(attempt), claim),
            should_stop=lambda: claim.fenced or self._must_stop(),
        )

    def _give_back_or_fail(
        self,
        claim: Claim,
        planned: PlannedRun,
        run: RunDirectory,
        publisher: RunPublisher,
        error: Exception,
    ) -> None:
        from lightning_modules.training import RunInterrupted

        try:
            if isinstance(error, RunInterrupted):
                claim.release(f"interrupted at step {error.step}")
                publisher.released = True
                return
            text = "".join(traceback.format_exception(error))
            attempt = run.attempt(claim.attempt)
            attempt.path.mkdir(parents=True, exist_ok=True)
            (attempt.path / "error.txt").write_text(text, encoding="utf-8")
            log.error(
                "run %s (%s, seed %d) failed: %s",
                claim.run_key,
                planned.variant,
                planned.seed,
                error,
            )
            record = self._record(planned, claim, Outcome.FAILED).model_copy(
                update={"error": f"{type(error).__name__}: {error}"[:2000]}
            )
            attempt.save_record(record)
            claim.fail(record.error or "")
            finish(run, record)
            publisher.record = record
        except Fenced:
            publisher.released = True

    def _record(self, planned: PlannedRun, claim: Claim, outcome: Outcome) -> RunRecord:
        """The record of an attempt that ends now, still without its numbers."""
        return new_record(self._plan, planned, claim.attempt, outcome)

    def _open_tracking(self) -> tuple[Tracking, TrackedStudy]:
        from ablations.tracking import Tracking

        tracking = Tracking(self._settings.tracking_uri)
        return tracking, tracking.open_study(self._plan, self._directory.path)

    def _must_stop(self) -> bool:
        orphaned = self._settings.parent is not None and os.getppid() != self._settings.parent
        return orphaned or self._stop_signal != 0

    def _on_signal(self, number: int, _: FrameType | None) -> None:
        self._stop_signal = number


class _ProgressSink:
    """Writes metrics to the attempt's file and tells the ledger how far the run is."""

    def __init__(self, file: MetricsFile, claim: Claim) -> None:
        self._file = file
        self._claim = claim

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Record values at a step."""
        self._claim.step = step
        self._file.write(step, values)


def new_record(plan: Plan, planned: PlannedRun, attempt: int, outcome: Outcome) -> RunRecord:
    """The record of a run, still without its numbers."""
    return RunRecord(
        run_key=planned.run_key,
        study=plan.study.name,
        variant=planned.variant,
        seed=planned.seed,
        levels=plan.cell(planned.variant).levels,
        attempt=attempt,
        outcome=outcome,
        provenance=provenance(),
    )


def finish(run: RunDirectory, record: RunRecord) -> None:
    """Publish the record of an attempt that the ledger knows to be the run's end."""
    run.publish(record)
    if record.outcome is not Outcome.FAILED:  # a retry goes on from there
        for attempt in run.attempts():
            attempt.remove_checkpoints()


def _ledger_value(summary: Mapping[str, float]) -> float:
    """A finite number for the trial: the final loss, or the last that a diverged run had."""
    for name in (FINAL_LOSS, LAST_TRAIN_LOSS, INITIAL_LOSS):
        if name in summary:
            return summary[name]
    return 0.0


def _use_one_thread() -> None:
    """One torch thread: two workers with one thread each beat one worker with two."""
    import torch

    torch.set_num_threads(1)
