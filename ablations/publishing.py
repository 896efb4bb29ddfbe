"""Sending what is in the run directories to the tracking store, from a thread of its own."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from ablations.run_directory import (
    AttemptDirectory,
    MetricRow,
    MetricsTail,
    RunDirectory,
    StudyDirectory,
)
from studies.plan import Plan
from studies.records import Outcome, RunRecord
from studies.run_spec import RunSpec

if TYPE_CHECKING:
    from mlflow.entities import Run

    from ablations.tracking import TrackedStudy, Tracking

log = logging.getLogger(__name__)

INTERVAL_S = 2.0
"""How often rows are sent while a run trains."""


class RunPublisher:
    """Brings one run in the tracking store up to what its directory says."""

    def __init__(self, directory: RunDirectory, attempt: AttemptDirectory, variant: str) -> None:
        self._directory = directory
        self._attempt = attempt
        self._variant = variant
        self._run: Run | None = None
        self._tail = MetricsTail(attempt)
        self._unsent: list[MetricRow] = []
        self.record: RunRecord | None = None
        """Set when the run has ended."""
        self.released = False
        """Set when the attempt gave the run back."""
        self.done = False

    def advance(self, tracking: Tracking, study: TrackedStudy) -> None:
        """Send what is not yet sent; whatever it raises, calling it again goes on from there."""
        if self._run is None:
            self._run = self._opened(tracking, study)
        ended, released = self.record, self.released
        self._unsent += self._tail.new_rows()
        tracking.log(self._run, _triples(self._unsent))
        self._unsent.clear()
        if ended is not None:
            self._finish(tracking, self._run, ended)
        elif released:
            tracking.client.set_terminated(self._run.info.run_id, "KILLED")
        self.done = ended is not None or released

    def _opened(self, tracking: Tracking, study: TrackedStudy) -> Run:
        spec = RunSpec.model_validate_json(self._directory.spec_path.read_text())
        run = tracking.get_or_create_run(study, spec, self._variant)
        if run.info.status != "RUNNING":
            tracking.client.update_run(run.info.run_id, status="RUNNING")
        tracking.log(run, tags={"outcome": "running", "attempt": self._attempt.number})
        return run

    def _finish(self, tracking: Tracking, run: Run, record: RunRecord) -> None:
        tracking.log(run, ((0, name, value) for name, value in record.summary.items()))
        for path in (
            self._directory.record_path,
            self._directory.history_path,
            self._directory.spec_path,
        ):
            tracking.client.log_artifact(run.info.run_id, str(path))
        status = "FAILED" if record.outcome is Outcome.FAILED else "FINISHED"
        tracking.client.set_terminated(run.info.run_id, status)
        tracking.log(run, tags=_tags(record))


class PublishingThread(threading.Thread):
    """Publishes runs in the background; training never waits for it and never dies of it."""

    def __init__(self, open_tracking: Callable[[], tuple[Tracking, TrackedStudy]]) -> None:
        super().__init__(name="publishing", daemon=True)
        self._open = open_tracking
        self._publishers: list[RunPublisher] = []
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._closing = False
        self._warned = False

    def add(self, publisher: RunPublisher) -> None:
        """Publish a run from now on until it is done."""
        with self._lock:
            self._publishers.append(publisher)

    def wake(self) -> None:
        """Do not wait for the next interval: a run has just ended."""
        self._wake.set()

    def close(self, timeout_s: float) -> bool:
        """Send the rest; False if it could not all be sent in time (`ablate sync` sends it)."""
        self._closing = True
        self._wake.set()
        self.join(timeout_s)
        return not self._publishers

    def run(self) -> None:
        """Send until closed and everything is sent, or until closed and the store is away."""
        opened = None
        while True:
            closing = self._closing
            try:
                opened = opened or self._open()
                self._advance_all(*opened)
            except Exception as error:  # training goes on whatever the store does
                if not self._warned:
                    log.warning(
                        "tracking is away (%s); runs go on and are sent later", _brief(error)
                    )
                    self._warned = True
                if closing:
                    return
            if closing and not self._publishers:
                return
            self._wake.wait(INTERVAL_S)
            self._wake.clear()

    def _advance_all(self, tracking: Tracking, study: TrackedStudy) -> None:
        with self._lock:
            current = list(self._publishers)
        errors = []
        for publisher in current:
            try:
                publisher.advance(tracking, study)
            except Exception as error:  # one run that cannot be sent holds no other one up
                errors.append(error)
            if publisher.done:
                with self._lock:
                    self._publishers.remove(publisher)
        if errors:
            raise errors[0]


def sync_study(tracking: Tracking, plan: Plan, directory: StudyDirectory) -> int:
    """Send every ended run that the store lacks, and the aggregates; returns how many were sent."""
    from ablations.aggregates import log_aggregates

    study = tracking.open_study(plan, directory.path)
    records: list[RunRecord] = []
    sent = 0
    for planned in plan.runs:
        run = directory.run(planned.run_key)
        record = run.record()
        if record is None:
            continue
        records.append(record)
        tracked = study.runs.get(planned.run_key)
        if tracked is None or tracked.data.tags.get("recorded_attempt") != str(record.attempt):
            publisher = RunPublisher(run, run.attempt(record.attempt), planned.variant)
            publisher.record = record
            publisher.advance(tracking, study)
            sent += 1
    log_aggregates(tracking, study, plan, records)
    return sent


def _triples(rows: list[MetricRow]) -> list[tuple[int, str, float]]:
    return [(row.step, name, value) for row in rows for name, value in row.values.items()]


def _tags(record: RunRecord) -> dict[str, object]:
    git = record.provenance.get("git") or {}
    versions = record.provenance.get("packages") or {}
    return {
        "outcome": record.outcome.value,
        "leak": record.leak.value if record.leak else "not measured",
        "git_commit": git.get("commit") or "not known",
        "git_dirty": git.get("dirty"),
        "host": record.provenance.get("host"),
        **{f"version.{name}": version for name, version in versions.items() if version},
        **{name: value for name, value in record.facts.items() if value is not None},
        **({"error": record.error} if record.error else {}),
        # Written last: a store that has it has everything.
        "recorded_attempt": record.attempt,
    }


def _brief(error: BaseException) -> str:
    return str(error).splitlines()[0][:200] if str(error) else type(error).__name__
