"""A worker: claims runs of a study until none is left, and trains each to its end."""

from __future__ import annotations

import contextlib
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

from ablations.claims import Claim, Fenced
from ablations.ended_runs import finish, ledger_value, new_record, spent_s
from ablations.ledger import Ledger
from ablations.pruning import run_pruning
from ablations.publishing import PublishingThread, RunPublisher
from ablations.ranks import Assignment, Ranks
from ablations.run_directory import (
    AttemptDirectory,
    MetricsFile,
    RunDirectory,
    StoredPlan,
    StudyDirectory,
)
from ablations.search import SearchKeeper
from ablations.seed_pruning import give_up_seeds
from ablations.storage import sqlite_url
from studies.metrics import TRAINING_MINUTES
from studies.plan import PlannedRun
from studies.records import NoSink, Outcome, RunRecord
from studies.run_spec import RunSpec

if TYPE_CHECKING:
    from ablations.tracking import TrackedStudy, Tracking

log = logging.getLogger(__name__)

IDLE_S = 3.0
"""How long a worker looks for work before it ends."""
FLUSH_S = 20.0
"""How long a worker that is done waits for the tracking store; the driver sends what is left."""


@dataclass(frozen=True)
class WorkerSettings:
    """What a worker is told when it is started."""

    home: Path
    study: str
    tracking_uri: str
    parent: int | None = None
    """Process that started the worker; when it is gone, the worker stops as on a signal."""


@dataclass(frozen=True)
class Job:
    """A claimed run and where its attempt writes."""

    claim: Claim
    planned: PlannedRun
    spec: RunSpec
    run: RunDirectory
    attempt: AttemptDirectory


class Worker:
    """One process that trains the runs of one study."""

    def __init__(self, settings: WorkerSettings) -> None:
        self._settings = settings
        self._directory = StudyDirectory(settings.home, settings.study)
        self._stored = StoredPlan(self._directory)
        self._search = SearchKeeper(self._directory)
        self._load_plan()
        self._ledger = Ledger(sqlite_url(self._directory.ledger_path), settings.study)
        self._publishing = PublishingThread(self._open_tracking)
        self._ranks = Ranks()
        self._stop_signal = 0
        self._spoiled = False
        """Whether a failure may have left the device or the other ranks unusable to this one."""

    def work(self) -> None:
        """Claim and train until the queue is empty or a signal asks to stop.

        A worker whose device a failed run may have spoiled ends too: the next one starts afresh.

        Raises:
            SystemExit: this rank failed and the others wait for it; whoever started them ends them.
        """
        for name in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1):
            signal.signal(name, self._on_signal)
        _use_one_thread()
        self._ranks.join()
        if self._ranks.leads:
            self._lead()
        else:
            self._follow()

    def _lead(self) -> None:
        """Claim runs and train them, with the other ranks where there are any."""
        self._publishing.start()
        idle_since = time.monotonic()
        while not self._must_stop() and time.monotonic() - idle_since < IDLE_S:
            self._load_plan()  # a search may have gone on
            give_up_seeds(self._plan, self._search.record, self._directory, self._ledger)
            claim = self._ledger.claim(self._runs)
            if claim is None:
                time.sleep(0.3)
                continue
            self._attempt(claim)
            idle_since = time.monotonic()
        if not self._publishing.close(FLUSH_S):
            log.warning("some metrics were not sent; `ablate sync` sends them")
        if self._spoiled and self._ranks.count > 1:
            raise SystemExit(1)
        self._ranks.tell(None)

    def _follow(self) -> None:
        """Train what the leading rank claims; it alone records, and it alone asks to stop."""
        from lightning_modules.training import RunInterrupted, train_run

        while (assignment := self._ranks.hear()) is not None:
            run = self._directory.run(assignment.run_key)
            if assignment.run_key not in self._runs:
                self._load_plan()
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
                log.exception("rank %d, run %s", self._ranks.rank, assignment.run_key)
                self._ranks.wait_after_error()
                raise SystemExit(1) from None

    def _load_plan(self) -> None:
        """Take the plan as it is on disk."""
        self._plan = self._stored.read()
        self._runs = {run.run_key: run for run in self._plan.runs}

    def _attempt(self, claim: Claim) -> None:
        """One attempt at one run, whatever comes of it."""
        planned = self._runs[claim.run_key]
        run = self._directory.run(claim.run_key)
        attempt = run.attempt(claim.attempt)
        job = Job(claim, planned, self._plan.spec(planned), run, attempt)
        publisher = RunPublisher(run, attempt, self._plan, planned)
        self._publishing.add(publisher)
        try:
            record = self._end_of(job)
        except Fenced:
            log.warning("run %s was given to another worker; this attempt ends", claim.run_key)
            publisher.abandon()
            return
        if record is not None:
            try:
                finish(run, record)
            except OSError as error:  # the ledger knows: the next `ablate run` publishes it
                log.error("run %s ended and could not be published: %s", claim.run_key, error)
                publisher.abandon()
                return
        publisher.close(record)
        self._publishing.wake()

    def _end_of(self, job: Job) -> RunRecord | None:
        """Train a run and tell the ledger how it ended; None when it was given back.

        Raises:
            Fenced: the run belongs to another worker by now.
        """
        from lightning_modules.training import RunInterrupted

        try:
            record = self._train(job)
            job.attempt.save_record(record)
        except RunInterrupted as stop:
            job.claim.release(f"interrupted at step {stop.step}")
            return None
        except Exception as error:
            return self._fail(job, error)
        job.claim.complete(record.outcome, ledger_value(record.summary), record.pruned_by)
        return record

    def _train(self, job: Job) -> RunRecord:
        from lightning_modules.checkpoints import newest_checkpoint
        from lightning_modules.diagnostics.suite import definitions_of
        from lightning_modules.run_context import go_on
        from lightning_modules.training import train_run

        started = time.monotonic() - spent_s(job.run, before=job.attempt.number)
        job.run.save_spec(job.spec)
        earlier = newest_checkpoint(other.path for other in job.run.attempts())
        if earlier is None:
            job.attempt.start()
        else:
            job.attempt.continue_from(AttemptDirectory(earlier.path.parent), earlier.step)
        job.attempt.save_definitions(definitions_of(job.spec.diagnostics.enabled))
        metrics = MetricsFile(job.attempt)
        rows = job.attempt.read_metrics()
        pruning = run_pruning(self._plan, job.planned, self._ledger.storage, rows)
        resume_from = str(earlier.path) if earlier else None
        self._ranks.tell(Assignment(job.planned.run_key, job.attempt.number, resume_from))
        result = train_run(
            job.spec,
            execution=self._plan.study.execution,
            cache=self._settings.home / "cache",
            directory=job.attempt.path,
            resume_from=earlier.path if earlier else None,
            sink=_ProgressSink(metrics, job.claim),
            should_stop=lambda: job.claim.fenced or self._must_stop(),
            should_prune=pruning.should_prune if pruning else go_on,
        )
        metrics.close()
        if pruning:
            pruning.end(result.outcome, ledger_value(result.summary))
        return new_record(self._plan, job.planned, job.attempt.number, result.outcome).model_copy(
            update={
                "leak": result.leak,
                "summary": result.summary,
                "facts": result.facts,
                "definitions": result.definitions,
                "digests": result.digests,
                "wall_time_s": round(time.monotonic() - started, 3),
            }
        )

    def _fail(self, job: Job, error: Exception) -> RunRecord:
        """Keep the error of a run, and tell the ledger."""
        self._ranks.wait_after_error()
        text = f"{type(error).__name__}: {error}"[:2000]
        planned = job.planned
        log.error("%s, seed %d (%s): %s", planned.variant, planned.seed, planned.run_key, text)
        record = new_record(self._plan, planned, job.attempt.number, Outcome.FAILED)
        record = record.model_copy(update={"error": text})
        with contextlib.suppress(OSError):  # a full disk: the ledger is told all the same
            job.attempt.path.mkdir(parents=True, exist_ok=True)
            trace = "".join(traceback.format_exception(error))
            (job.attempt.path / "error.txt").write_text(trace, encoding="utf-8")
            record = record.model_copy(update={"wall_time_s": round(spent_s(job.run), 3)})
            job.attempt.save_record(record)
        job.claim.fail(text)
        self._spoiled = _uses_cuda() or self._ranks.count > 1
        return record

    def _open_tracking(self) -> tuple[Tracking, TrackedStudy]:
        from ablations.tracking import Tracking

        tracking = Tracking(self._settings.tracking_uri)
        return tracking, tracking.open_study(self._plan, self._directory.path)

    def _must_stop(self) -> bool:
        orphaned = self._settings.parent is not None and os.getppid() != self._settings.parent
        return orphaned or self._spoiled or self._stop_signal != 0

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
        self._claim.minutes = values.get(TRAINING_MINUTES, self._claim.minutes)
        self._file.write(step, values)


def _uses_cuda() -> bool:
    """Whether this process holds a CUDA context, which an error on the device leaves broken."""
    import torch

    return bool(torch.cuda.is_initialized())  # type: ignore[no-untyped-call]


def _use_one_thread() -> None:
    """One torch thread: two workers with one thread each beat one worker with two."""
    import torch

    torch.set_num_threads(1)
