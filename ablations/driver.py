"""`ablate run`: queue what is missing, keep workers alive, show progress, sum up.

The driver holds no state of its own: stop it at any time and run it again.
"""

from __future__ import annotations

import logging
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from ablations.ended_runs import finish, new_record, spent_s
from ablations.launchers.local import LocalLauncher, LocalWorker, worker_command
from ablations.ledger import Ledger, RunState, RunStatus, owner_prefix
from ablations.machine import usual_workers, visible_gpus
from ablations.preflight import Preflight, preflight
from ablations.progress import Progress, measure
from ablations.run_directory import StudyDirectory
from ablations.search import SearchKeeper
from ablations.seed_pruning import give_up_seeds
from ablations.storage import sqlite_url
from studies.errors import AblationError
from studies.fairness import wants_measured_sizes
from studies.plan import Plan
from studies.records import Outcome

log = logging.getLogger(__name__)

POLL_S = 0.5
STOP_TIMEOUT_S = 60.0
MAX_DEATHS_PER_WORKER = 3
"""Deaths outside of any run, and without a run ending in between, before the driver gives up."""


@dataclass(frozen=True)
class RunSettings:
    """How a study is to be run on this machine."""

    home: Path
    tracking_uri: str
    workers: int | None = None
    """Worker processes; None is one for each GPU, or else for each core."""
    retry_failed: bool = False


@dataclass(frozen=True)
class RunSummary:
    """How `ablate run` ended."""

    progress: Progress
    statuses: dict[str, RunStatus]
    interrupted: bool


class Driver:
    """Runs the plan of one study to its end."""

    def __init__(self, plan: Plan, settings: RunSettings) -> None:
        self.plan = plan
        self.directory = StudyDirectory(settings.home, plan.study.name)
        self.directory.path.mkdir(parents=True, exist_ok=True)
        self._settings = settings
        self._search = SearchKeeper(self.directory)
        self._ledger = Ledger(sqlite_url(self.directory.ledger_path), plan.study.name)
        self._stopping = False

    def _statuses(self) -> dict[str, RunStatus]:
        return self._ledger.statuses(self._keys, pruners=self.plan.pruners)

    def _reconcile(self, *, retry_failed: bool = False) -> None:
        self._ledger.reconcile(self._keys, retry_failed=retry_failed, pruners=self.plan.pruners)
        give_up_seeds(self.plan, self._search.record, self.directory, self._ledger)

    @property
    def _keys(self) -> list[str]:
        return [run.run_key for run in self.plan.runs]

    def progress(self) -> Progress:
        """Where the study stands."""
        return measure(self.plan, self._statuses())

    def is_done(self) -> bool:
        """Whether every run has ended, and the search asks for no more."""
        return self.plan.is_settled and self.progress().is_complete

    def unfinished_plan(self) -> Plan:
        """The plan without the cells of which every run has ended."""
        statuses = self._statuses()
        open_variants = {
            run.variant
            for run in self.plan.runs
            if not (state := statuses[run.run_key].state).is_ended()
            or (self._settings.retry_failed and state is RunState.FAILED)
        }
        cells = tuple(cell for cell in self.plan.cells if cell.variant in open_variants)
        return self.plan.model_copy(update={"cells": cells})

    def check(self, on_step: Callable[[str], None]) -> Preflight:
        """Pre-flight of what is still to run; of all cells where their sizes have to be compared.

        Raises:
            AblationError: a variant cannot be trained as it is.
        """
        plan = self.plan if wants_measured_sizes(self.plan) else self.unfinished_plan()
        found = preflight(plan, self._settings.home / "cache", on_step)
        found.raise_for_problems()
        return found

    def run(self, on_progress: Callable[[Progress], None]) -> RunSummary:
        """Queue and train until every run has ended, or until a signal asks to stop.

        Raises:
            AblationError: workers cannot start, or another `ablate run` changed the plan.
        """
        self._go_on()
        self._reconcile(retry_failed=self._settings.retry_failed)
        progress = self.progress()
        on_progress(progress)
        if not progress.is_complete:
            self._train(on_progress)
        self.repair()
        statuses = self._statuses()
        return RunSummary(measure(self.plan, statuses), statuses, self._stopping)

    def _train(self, on_progress: Callable[[Progress], None]) -> None:
        launcher = self._launcher()
        previous = {
            name: signal.signal(name, self._on_signal)
            for name in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        }
        try:
            self._supervise(launcher, on_progress)
        finally:
            if self._stopping:
                print("stopping: runs are saved first", file=sys.stderr, flush=True)
            for worker in launcher.stop(STOP_TIMEOUT_S):
                owner = owner_prefix(worker.process.pid)
                self._ledger.fail_attempts_of(owner, released="killed while stopping")
            for name, handler in previous.items():
                signal.signal(name, handler)

    def repair(self) -> None:
        """Publish the ended runs whose worker died before it could."""
        statuses = self._statuses()
        for planned in self.plan.runs:
            status = statuses[planned.run_key]
            run = self.directory.run(planned.run_key)
            published = run.record()
            if not status.state.is_ended() or status.attempt is None:
                continue
            if (
                published is not None
                and published.attempt == status.attempt
                and run.history_path.exists()
            ):
                continue
            record = run.attempt(status.attempt).record()
            if record is None and status.state is RunState.FAILED:
                record = new_record(self.plan, planned, status.attempt, Outcome.FAILED)
                told = {"error": status.error, "wall_time_s": round(spent_s(run), 3)}
                record = record.model_copy(update=told)
            if record is not None:
                finish(run, record)

    def _supervise(self, launcher: LocalLauncher, on_progress: Callable[[Progress], None]) -> None:
        count = self._worker_count()
        deaths, ended_before = 0, 0
        while not self._stopping:
            deaths += sum(self._bury(worker) for worker in launcher.reap())
            self._go_on()
            self._reconcile()
            progress = self.progress()
            on_progress(progress)
            if progress.is_complete and not self._go_on():
                return
            if progress.ended > ended_before:
                deaths, ended_before = 0, progress.ended
            if deaths >= MAX_DEATHS_PER_WORKER * count:
                raise AblationError(
                    f"workers of study {self.plan.study.name!r} die before they train anything; "
                    f"their logs: {launcher.log_folder}. "
                    "Mend what the logs say, then run the same command again."
                )
            waiting = progress.counts.get(RunState.WAITING, 0)
            wanted = min(count, len(launcher.workers) + waiting)
            if wanted > len(launcher.workers):
                launcher.start(wanted)
            time.sleep(POLL_S)

    def _bury(self, worker: LocalWorker) -> bool:
        """Give up the attempts of a worker that has ended; whether it died outside of any run.

        A death within a run is counted by the ledger, against that run.
        """
        attempts = self._ledger.fail_attempts_of(owner_prefix(worker.process.pid))
        died = worker.process.returncode != 0
        if died:
            log.warning("%s", worker.obituary())
        return died and attempts == 0

    def _go_on(self) -> bool:
        """Take the search further, on the plan on disk, which workers train; whether it went on.

        A worker that died may have left a record that the search waits for.
        """
        if not self.plan.is_settled and self.progress().is_complete:
            self.repair()
        plan, known = self._search.go_on(), self.plan.run_keys
        if plan.asked != self.plan.asked:
            raise AblationError(
                f"another `ablate run` has changed the plan of study {self.plan.study.name!r} "
                "while this one was running; this one stops, and nothing that was trained is "
                "lost. Run one set of settings after the other, or give each a name of its own "
                "(--set name=...)."
            )
        self.plan = plan
        return plan.run_keys != known

    def _launcher(self) -> LocalLauncher:
        command = worker_command(
            self.plan.study.name, self._settings.home, self._settings.tracking_uri
        )
        devices = self.plan.study.execution.devices
        gpus = visible_gpus()
        groups = [",".join(gpus[i : i + devices]) for i in range(0, len(gpus), devices)]
        return LocalLauncher(command, self.directory.path / "logs", groups, devices)

    def _worker_count(self) -> int:
        return self._settings.workers or usual_workers(self.plan.study.execution)

    def _on_signal(self, number: int, _: FrameType | None) -> None:
        self._stopping = True
