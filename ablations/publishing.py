"""Sending what is in the run directories to the tracking store, from a thread of its own."""

from __future__ import annotations

import json
import logging
import math
import threading
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING

from ablations.claims import Claim
from ablations.listing import statuses_of
from ablations.metrics_file import MetricRow, MetricsTail
from ablations.run_directory import AttemptDirectory, RunDirectory, StudyDirectory
from ablations.run_status import RunState
from ablations.tracked_run import TrackedRun
from ablations.tracking_errors import reason
from studies.diagnostics import TAPS
from studies.digests import digest_tags
from studies.metrics import split_series
from studies.plan import Plan, PlannedRun
from studies.records import Outcome, RunRecord

if TYPE_CHECKING:
    from mlflow.entities import Run

    from ablations.tracking import TrackedStudy, Tracking

log = logging.getLogger(__name__)
logging.getLogger("urllib3.connectionpool").setLevel(logging.ERROR)  # not each retry: we tell once

INTERVAL_S = 2.0
"""How often rows are sent while a run trains."""
AWAY_INTERVAL_S = 15.0
"""How often a store that is away is asked again; the end of a run asks at once."""


def is_tracked(name: str, taps: Collection[str]) -> bool:
    """Whether a number is sent to the tracking store by name, and not only in the history.

    Everything is, but the curves of taps that are not among these: `history.parquet`, an artifact
    of each run, has all.
    """
    series = split_series(name)
    return series is None or series[1] not in TAPS or series[1] in taps


class RunPublisher:
    """Brings one run in the tracking store up to what its directory says."""

    def __init__(
        self,
        directory: RunDirectory,
        attempt: AttemptDirectory,
        plan: Plan,
        planned: PlannedRun,
        claim: Claim | None = None,
    ) -> None:
        self._claim = claim
        self._directory = directory
        self._attempt = attempt
        self._plan, self._planned = plan, planned
        self._run: Run | None = None
        self._tail = MetricsTail(attempt.metrics_path)
        self._unsent: list[MetricRow] = []
        self._record: RunRecord | None = None
        self._closed = False
        self.done = False
        """Whether there is nothing left to send."""

    def close(self, record: RunRecord | None) -> None:
        """Say that the attempt is over: the run has ended, or (None) was given back."""
        self._record = record
        self._closed = True

    def abandon(self) -> None:
        """Send nothing more: the run belongs to somebody else."""
        self.done = True

    def advance(self, tracking: Tracking, study: TrackedStudy) -> None:
        """Send what is not yet sent; whatever it raises, calling it again goes on from there."""
        closed = self._closed  # rows that are written after this line are for the next call
        final_step = self._final_step(closed)
        if self._run is None:
            self._run = self._opened(tracking, study)
        self._unsent += self._tail.new_rows()
        record = self._record if closed else None
        summary = record.summary if record else {}
        final = [row for row in self._unsent if row.step <= final_step]
        tracking.log(
            self._run,
            [*_triples(final, study.taps), *((0, k, v) for k, v in summary.items())],
        )
        self._unsent = [row for row in self._unsent if row.step > final_step]
        if not closed or self.done:
            return
        if record is not None:
            self._finish(tracking, self._run, record)
        elif self._is_latest(tracking, self._run):
            tracking.log(self._run, tags={"outcome": Outcome.MISSING.value})
            tracking.client.set_terminated(self._run.info.run_id, "KILLED")
        self.done = True

    def _final_step(self, closed: bool) -> float:
        """Step up to which rows stay as they are, whoever goes on with the run.

        What comes after it is trained again where this attempt dies, and is not the same to the
        last digit on a GPU: a step that was sent twice would show twice.
        """
        if closed and self._record is not None:
            return math.inf
        if not closed and self._claim is not None:
            return self._claim.confirmed
        return max((attempt.saved_step() for attempt in self._directory.attempts()), default=0)

    def _opened(self, tracking: Tracking, study: TrackedStudy) -> Run:
        from ablations.tracking_store import tracking_lock

        self._directory.path.mkdir(parents=True, exist_ok=True)
        with tracking_lock(self._directory.path):
            tracked = TrackedRun.of(self._plan, self._planned)
            return tracking.open_run(study, tracked, self._attempt.number)

    def _is_latest(self, tracking: Tracking, run: Run) -> bool:
        """Whether no other attempt goes on with the run, or has ended it, by the store's word."""
        tags = tracking.client.get_run(run.info.run_id).data.tags
        return bool(tags.get("attempt") == str(self._attempt.number))

    def _finish(self, tracking: Tracking, run: Run, record: RunRecord) -> None:
        directory = self._directory
        for path in (directory.record_path, directory.history_path, directory.spec_path):
            if path.exists():  # a run may have failed before it could be written down
                tracking.client.log_artifact(run.info.run_id, str(path))
        if record.samples:
            texts = [text.model_dump() for text in record.samples.texts]
            tracking.log_table(run, "samples.json", texts)
        environment = json.dumps(record.provenance, indent=1)
        tracking.client.log_text(run.info.run_id, environment, "environment.json")
        if record.error is None and "error" in run.data.tags:  # of an attempt before this one
            tracking.client.delete_tag(run.info.run_id, "error")
        status = "FAILED" if record.outcome is Outcome.FAILED else "FINISHED"
        tracking.close_run(run, status, record.wall_time_s)
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
        self._away = False

    def add(self, publisher: RunPublisher) -> None:
        """Publish a run from now on until it is done."""
        with self._lock:
            self._publishers.append(publisher)

    def wake(self) -> None:
        """Do not wait for the next interval: a run has just ended."""
        self._wake.set()

    def close(self, timeout_s: float) -> bool:
        """Send the rest, without waiting for a store that is away; False if something is left."""
        self._closing = True
        self._wake.set()
        if not self._away:
            self.join(timeout_s)
        return not self._publishers

    def run(self) -> None:
        """Send until closed and everything is sent, or until closed and the store is away."""
        opened = None
        while True:
            closing = self._closing
            try:
                if self._publishers:  # who finds nothing to train does not wait for MLflow
                    opened = opened or self._open()
                    self._advance_all(*opened)
                self._away = False
            except Exception as error:  # training goes on whatever the store does
                if not self._away:
                    told = "nothing reaches the tracking store (%s); it is sent later"
                    log.warning(told, reason(error))
                self._away = True
            if closing and (self._away or not self._publishers):
                return
            self._wake.wait(AWAY_INTERVAL_S if self._away else INTERVAL_S)
            self._wake.clear()

    def _advance_all(self, tracking: Tracking, study: TrackedStudy) -> None:
        with self._lock:
            current = list(self._publishers)
        errors = []
        for publisher in current:
            try:
                if not publisher.done:
                    publisher.advance(tracking, study)
            except Exception as error:  # one run that cannot be sent holds no other one up
                errors.append(error)
            if publisher.done:
                with self._lock:
                    self._publishers.remove(publisher)
        if errors and len(errors) == len(current):
            raise errors[0]


def sync_study(tracking: Tracking, plan: Plan, directory: StudyDirectory) -> int:
    """Send what the store lacks of every run that is not being trained, and the aggregates.

    Returns:
        How many runs were sent.
    """
    from ablations.aggregates import log_aggregates

    study = tracking.open_study(plan, directory.path)
    statuses = statuses_of(plan, directory)
    sent = 0
    for planned in plan.all_runs:
        if statuses[planned.run_key].state is RunState.RUNNING:
            continue
        publisher = _publisher_of_rest(plan, planned, directory, study)
        if publisher is not None:
            publisher.advance(tracking, study)
            sent += 1
    records = [
        record.as_planned(plan, run)
        for run in plan.all_runs
        if (record := directory.run(run.run_key).record())
    ]
    log_aggregates(tracking, study, plan, records)
    return sent


def _publisher_of_rest(
    plan: Plan, planned: PlannedRun, directory: StudyDirectory, study: TrackedStudy
) -> RunPublisher | None:
    """A publisher for a run that nobody trains, None when the store has all of it."""
    run = directory.run(planned.run_key)
    record, attempts = run.record(), run.attempts()
    if record is None and not attempts:
        return None
    attempt = run.attempt(record.attempt) if record else attempts[-1]
    outcome = record.outcome if record else Outcome.MISSING
    tracked = study.runs.get(planned.run_key)
    if tracked is not None:
        tags = tracked.data.tags
        known = tags.get("recorded_attempt" if record else "attempt"), tags.get("outcome")
        if known == (str(attempt.number), outcome.value):
            return None
    publisher = RunPublisher(run, attempt, plan, planned)
    publisher.close(record)
    return publisher


def _triples(rows: list[MetricRow], taps: Collection[str]) -> list[tuple[int, str, float]]:
    return [
        (row.step, name, value)
        for row in rows
        for name, value in row.values.items()
        if is_tracked(name, taps)
    ]


def _tags(record: RunRecord) -> dict[str, object]:
    git = record.provenance.get("git") or {}
    versions = record.provenance.get("packages") or {}
    return {
        "outcome": record.outcome.value,
        "leak": record.leak.value if record.leak else "not measured",
        "git_commit": git.get("commit") or "not known",
        "git_dirty": "not known" if git.get("dirty") is None else git["dirty"],
        "host": record.provenance.get("host"),
        **{f"version.{name}": version for name, version in versions.items() if version},
        **{name: value for name, value in record.facts.items() if value is not None},
        **digest_tags(record.digests),
        **({"error": record.error} if record.error else {}),
        # Written last: a store that has it has everything.
        "recorded_attempt": record.attempt,
    }
