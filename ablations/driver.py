"""`ablate run`: queue what is missing, keep workers alive, show progress, sum up.

The driver holds no state of its own: stop it at any time and run it again.
"""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from ablations.crew import POLL_S, Crew, crew_of
from ablations.keeper import StudyKeeper
from ablations.ledger_location import planner_ledger
from ablations.machine import usual_workers
from ablations.preflight import Preflight, preflight
from ablations.progress import Progress, measure
from ablations.run_directory import StudyDirectory
from ablations.run_status import RunState, RunStatus
from ablations.storages.patience import outliving
from ablations.worker import WorkerSettings
from studies.errors import AblationError
from studies.fairness import wants_measured_sizes
from studies.plan import Plan

STOP_TIMEOUT_S = 60.0


@dataclass(frozen=True)
class RunSettings:
    """How a study is to be run."""

    home: Path
    tracking_uri: str
    workers: int | None = None
    """Worker processes; None is one for each GPU, or else for each core."""
    retry_failed: bool = False
    storage: str | None = None
    """Where `--storage` says that the queue is; None is what the study's folder says."""
    usual_storage: str | None = None
    """Where the queue of a new study goes if nobody says otherwise."""


@dataclass(frozen=True)
class RunSummary:
    """How `ablate run` ended."""

    progress: Progress
    statuses: dict[str, RunStatus]
    interrupted: bool


class Driver:
    """Runs the plan of one study to its end."""

    def __init__(self, plan: Plan, settings: RunSettings) -> None:
        self.directory = StudyDirectory(settings.home, plan.study.name)
        self._settings = settings
        self.ledger = planner_ledger(self.directory, settings.storage, settings.usual_storage)
        self.keeper = StudyKeeper(self.directory, self.ledger, plan)
        self._stopping = False

    @property
    def plan(self) -> Plan:
        """The plan that is run."""
        return self.keeper.plan

    @plan.setter
    def plan(self, plan: Plan) -> None:
        self.keeper.plan = plan

    def is_done(self) -> bool:
        """Whether every run has ended, and the search asks for no more."""
        return self.keeper.is_done()

    def unfinished_plan(self) -> Plan:
        """The plan without the cells of which every run has ended."""
        statuses = self.keeper.statuses()
        open_variants = {
            run.variant
            for run in self.plan.all_runs
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

    def queue(self) -> Progress:
        """Queue what is missing, for workers that somebody else places.

        Raises:
            AblationError: another `ablate run` changed the plan.
        """
        self.ledger.take_up()
        self._go_on()
        self.keeper.reconcile(retry_failed=self._settings.retry_failed)
        return self.keeper.progress()

    def run(self, on_progress: Callable[[Progress], None]) -> RunSummary:
        """Queue and train until every run has ended, or until a signal asks to stop.

        Raises:
            AblationError: workers cannot start, or another `ablate run` changed the plan.
        """
        progress = self.queue()
        on_progress(progress)
        if not progress.is_complete:
            self._train(on_progress)
        return self.summary(interrupted=self._stopping)

    def summary(self, *, interrupted: bool = False) -> RunSummary:
        """Where the study stands, once what has ended is published."""
        self.keeper.repair()
        statuses = self.keeper.statuses()
        return RunSummary(measure(self.plan, statuses), statuses, interrupted)

    def worker_settings(self, *, raises: bool = False) -> WorkerSettings:
        """What a worker of this driver is told."""
        settings = self._settings
        name, uri = self.plan.study.name, settings.tracking_uri
        return WorkerSettings(settings.home, name, uri, settings.storage, raises=raises)

    def _train(self, on_progress: Callable[[Progress], None]) -> None:
        execution = self.plan.study.execution
        crew = crew_of(self.worker_settings(), execution, self.ledger, "worker")
        count = self._settings.workers or usual_workers(execution)
        previous = {
            name: signal.signal(name, self._on_signal)
            for name in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        }
        try:
            self._supervise(crew, count, on_progress)
        finally:
            if self._stopping:
                print("stopping: runs are saved first", file=sys.stderr, flush=True)
            crew.stop(STOP_TIMEOUT_S)
            for name, handler in previous.items():
                signal.signal(name, handler)

    def _supervise(self, crew: Crew, count: int, on_progress: Callable[[Progress], None]) -> None:
        trained_before = 0
        while not self._stopping:
            crew.reap()
            progress, is_over = None, False
            with outliving("the workers go on, and it is asked again"):
                self._go_on()
                self.keeper.reconcile()
                progress = self.keeper.progress()
                is_over = progress.is_complete and not self._go_on()
                self._stopping = self._stopping or self.ledger.is_cancelled()
            if progress is not None:
                on_progress(progress)
                if is_over:
                    return
                trained = progress.ended - progress.counts.get(RunState.FAILED, 0)
                if trained > trained_before:
                    trained_before = trained
                    crew.forget_deaths()
                waiting = progress.counts.get(RunState.WAITING, 0)
                crew.start(min(count, crew.size + waiting))
            time.sleep(POLL_S)

    def _go_on(self) -> bool:
        """Take the search further; whether it went on."""
        asked = self.plan.asked
        went_on = self.keeper.go_on()
        if self.plan.asked != asked:
            raise AblationError(
                f"another `ablate run` has changed the plan of study {self.plan.study.name!r} "
                "while this one was running; this one stops, and nothing that was trained is "
                "lost. Run one set of settings after the other, or give each a name of its own "
                "(--set name=...)."
            )
        return went_on

    def _on_signal(self, number: int, _: FrameType | None) -> None:
        self._stopping = True
