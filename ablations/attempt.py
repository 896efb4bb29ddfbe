"""One attempt at a run: train it, record it, tell the ledger, whatever comes of it."""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

from ablations.claims import Claim, Failure
from ablations.ended_runs import finish, ledger_value, new_record, spent_s
from ablations.failure_kinds import failure_of
from ablations.ledger import Ledger
from ablations.metrics_file import MetricsFile
from ablations.pruning import run_pruning
from ablations.ranks import Assignment, Ranks
from ablations.redaction import redacted
from ablations.run_directory import AttemptDirectory, RunDirectory, StudyDirectory
from ablations.run_lookup import FoundRun
from ablations.stall_alarm import StallAlarm
from ablations.trained_runs import trained_attempt
from lightning_modules.checkpoints import Checkpoint, newest_checkpoint
from studies.execution import ExecutionConfig
from studies.files import replacing
from studies.metrics import TRAINING_MINUTES, Metric
from studies.plan import Plan, PlannedRun
from studies.records import MetricSink, Outcome, RunRecord
from studies.task_metrics import TASK_METRICS

if TYPE_CHECKING:
    from lightning_modules.keepsakes import Keepsakes

log = logging.getLogger(__name__)


class _Common(TypedDict):
    """What every kind of run is given."""

    execution: ExecutionConfig
    cache: Path
    directory: Path
    resume_from: Path | None
    sink: MetricSink
    should_stop: Callable[[], bool]


@dataclass(frozen=True)
class Bench:
    """What a worker lends each of its attempts."""

    directory: StudyDirectory
    cache: Path
    ledger: Ledger
    ranks: Ranks
    must_stop: Callable[[], bool]
    raises: bool
    """Whether the error of a run comes out, once it is recorded."""


class Attempt:
    """A claimed run, trained from its newest checkpoint on."""

    def __init__(self, bench: Bench, plan: Plan, planned: PlannedRun, claim: Claim) -> None:
        self.claim = claim
        self.planned = planned
        self.run: RunDirectory = bench.directory.run(claim.run_key)
        self.directory: AttemptDirectory = self.run.attempt(claim.attempt)
        self.failure: Failure | None = None
        """How it failed, if it did."""
        self._bench = bench
        self._plan = plan
        self._spec = plan.spec(self.planned)
        # Who debugs takes their time.
        self._alarm = StallAlarm(None if bench.raises else plan.study.execution.stall_minutes)

    def make(self) -> RunRecord | None:
        """Train the run and tell the ledger how it ended; None when it was given back.

        Raises:
            Fenced: the run belongs to another worker by now.
        """
        from lightning_modules.training import RunInterrupted

        try:
            with contextlib.closing(self._alarm):
                record = self._train()
            self.directory.save_record(record)
        except RunInterrupted as stop:
            self.claim.release(f"interrupted at step {stop.step}")
            return None
        except Exception as error:
            return self._fail(error)
        self.claim.complete(record.outcome, ledger_value(record.summary), record.pruned_by)
        return record

    def publish(self, record: RunRecord) -> bool:
        """Make the record the run's own; False where the disk refuses: whoever looks next does.

        False as well where the run was tried again in the meantime, and has a newer record.
        """
        try:
            return finish(self.run, record)
        except OSError as error:
            log.error("run %s ended and could not be published: %s", self.claim.run_key, error)
            return False

    def _train(self) -> RunRecord:
        from lightning_modules.finetuning.training import finetune_run
        from lightning_modules.run_context import go_on
        from lightning_modules.training import train_run

        started = time.monotonic() - spent_s(self.run, before=self.directory.number)
        self.run.save_spec(self._spec)
        earlier = self._take_over()
        self.claim.begin(earlier.step if earlier else 0, self.directory.saved_step)
        self.directory.save_definitions(self._definitions())
        metrics = MetricsFile(self.directory.metrics_path)
        rows = self.directory.read_metrics()
        pruning = run_pruning(self._plan, self.planned, self._bench.ledger, rows)
        resume_from = str(earlier.path) if earlier else None
        self._bench.ranks.tell(Assignment(self.run.run_key, self.directory.number, resume_from))
        common: _Common = {
            "execution": self._plan.study.execution,
            "cache": self._bench.cache,
            "directory": self.directory.path,
            "resume_from": earlier.path if earlier else None,
            "sink": _ProgressSink(metrics, self.claim, self._alarm),
            "should_stop": self._must_stop,
        }
        if self._spec.finetuning is not None:
            result = finetune_run(self._spec, pretrained=self._pretrained(), **common)
        else:
            prune = pruning.should_prune if pruning else go_on
            keepsakes = self._keepsakes()
            result = train_run(self._spec, should_prune=prune, keepsakes=keepsakes, **common)
        metrics.close()
        if pruning:
            pruning.end(result.outcome, ledger_value(result.summary))
        return self._new_record(result.outcome).model_copy(
            update={
                "leak": result.leak,
                "summary": result.summary,
                "facts": result.facts,
                "definitions": result.definitions,
                "digests": result.digests,
                "samples": result.samples,
                "wall_time_s": round(time.monotonic() - started, 3),
            }
        )

    def _definitions(self) -> dict[str, Metric]:
        from lightning_modules.diagnostics.suite import definitions_of

        if self._spec.finetuning is not None:
            return TASK_METRICS
        return definitions_of(self._spec.diagnostics.enabled)

    def _keepsakes(self) -> Keepsakes:
        """A run of a search is compared with nothing, and leaves numbers alone."""
        from lightning_modules.keepsakes import Keepsakes

        plan, study = self._plan, self._plan.study
        if self.planned.stage != "report":
            return Keepsakes()
        weights = study.execution.keep_weights or any(a.settings.pretrained for a in plan.arms)
        return Keepsakes(weights=weights, samples=study.samples)

    def _pretrained(self) -> Path | None:
        """The folder with the weights that the run goes on from."""
        key = self.planned.parent
        if key is None:
            return None
        parent = next(run for run in self._plan.runs if run.run_key == key)
        run = self._bench.directory.run(key)
        return trained_attempt(FoundRun(run, self._bench.directory, self._plan, parent)).path

    def _must_stop(self) -> bool:
        """Asked after every optimiser step."""
        self._alarm.step()
        return self.claim.is_over or self._bench.must_stop()

    def _take_over(self) -> Checkpoint | None:
        """Begin where the furthest attempt was saved, with that checkpoint as our own.

        A worker that was given up for dead and lives removes its checkpoint after the next one.
        """
        while earlier := newest_checkpoint(other.path for other in self.run.attempts()):
            self.directory.continue_from(AttemptDirectory(earlier.path.parent), earlier.step)
            try:
                return _kept(earlier, self.directory.path)
            except FileNotFoundError:
                continue  # by now there is a newer one
        self.directory.start()
        return None

    def _fail(self, error: Exception) -> RunRecord | None:
        """Keep the error of a run, and tell the ledger; None where there is another attempt."""
        self._bench.ranks.wait_after_error()
        self.failure = failure_of(error)
        text = redacted(f"{type(error).__name__}: {error}")[:2000]
        planned = self.planned
        log.error("%s, seed %d (%s): %s", planned.variant, planned.seed, planned.run_key, text)
        record = self._new_record(Outcome.FAILED).model_copy(update={"error": text})
        with contextlib.suppress(OSError):  # a full disk: the ledger is told all the same
            self.directory.path.mkdir(parents=True, exist_ok=True)
            trace = redacted("".join(traceback.format_exception(error)))
            (self.directory.path / "error.txt").write_text(trace, encoding="utf-8")
            record = record.model_copy(update={"wall_time_s": round(spent_s(self.run), 3)})
            self.directory.save_record(record)
        self.claim.fail(text, self.failure)
        if self._bench.raises:
            raise error
        status = self._bench.ledger.statuses([self.run.run_key])[self.run.run_key]
        return record if status.state.is_ended() else None

    def _new_record(self, outcome: Outcome) -> RunRecord:
        return new_record(self._plan, self.planned, self.directory.number, outcome)


class _ProgressSink:
    """Writes metrics to the attempt's file and tells the ledger how far the run is."""

    def __init__(self, file: MetricsFile, claim: Claim, alarm: StallAlarm) -> None:
        self._file = file
        self._claim = claim
        self._alarm = alarm

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Record values at a step."""
        self._alarm.put_off()
        self._claim.step = step
        self._claim.minutes = values.get(TRAINING_MINUTES, self._claim.minutes)
        self._file.write(step, values)

    def keep(self) -> bool:
        """Have the rows on disk before a checkpoint is, after which nobody makes them again."""
        return self._file.keep()


def _kept(checkpoint: Checkpoint, folder: Path) -> Checkpoint:
    """The same checkpoint in another folder, whatever becomes of the one that it was written to.

    Raises:
        FileNotFoundError: it is gone.
    """
    own = folder / checkpoint.path.name
    try:
        os.link(checkpoint.path, own)
    except FileNotFoundError:
        raise
    except OSError:  # a file system without links
        with replacing(own) as temporary:
            shutil.copyfile(checkpoint.path, temporary)
    return Checkpoint(own, checkpoint.step)
