"""Taking a study's search further: what the records so far allow, written into the plan on disk."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import filelock

from ablations.run_directory import StoredPlan, StudyDirectory
from studies.plan import Plan
from studies.protocol import Tune
from studies.records import Outcome, RunRecord
from studies.search import advance, take_up
from studies.tried import Tried
from studies.values import Scalar

log = logging.getLogger(__name__)

LOCK_PATIENCE_S = 30.0
"""How long a process waits for another that takes the search further."""


def store_plan(plan: Plan, study_text: str, directory: StudyDirectory) -> Plan:
    """Make a plan the study's, with what its search has come to; returns it."""
    with _lock(directory):
        plan = with_stored_search(plan, directory)
        directory.save_plan(plan, study_text)
    return plan


def with_stored_search(plan: Plan, directory: StudyDirectory) -> Plan:
    """A plan made anew, with what the search of the study has come to in its folder."""
    if plan.is_settled or not directory.plan_path.exists():
        return plan
    return take_up(plan, directory.load_plan())


class SearchKeeper:
    """Extends the stored plan of a study; any number of processes may, and come to the same."""

    def __init__(self, directory: StudyDirectory) -> None:
        self._directory = directory
        self._stored = StoredPlan(directory)
        self._records: dict[str, RunRecord] = {}

    def go_on(self) -> Plan:
        """The stored plan, taken as far as the records allow.

        While another process is at it for very long, such as one that is suspended, the plan stays.
        """
        stored = self._stored.read()
        if stored.is_settled:
            return stored
        try:
            with _lock(self._directory, LOCK_PATIENCE_S):
                stored = self._stored.read()
                plan = self._advanced(stored)
                if plan is not stored:
                    self._directory.update_plan(plan)
        except filelock.Timeout:
            log.warning("the search waits: another process holds %s", self._directory.path)
            return stored
        return plan

    def _advanced(self, plan: Plan) -> Plan:
        while True:
            further = advance(plan, self.record, _propose)
            if further is plan:
                return plan
            plan = further

    def record(self, run_key: str) -> RunRecord | None:
        """The record of a run; one that may be trained again is read again."""
        if run_key not in self._records:
            record = self._directory.run(run_key).record()
            if record is None or record.outcome in (Outcome.FAILED, Outcome.PRUNED):
                return record
            self._records[run_key] = record
        return self._records[run_key]


def _lock(directory: StudyDirectory, timeout_s: float = -1) -> filelock.BaseFileLock:
    """Keeps the plan from being changed by two at once; waits for ever with a timeout of -1."""
    return filelock.FileLock(directory.path / ".plan.lock", timeout=timeout_s)


def _propose(
    search: Tune, seed: int, tried: Sequence[Tried], count: int
) -> list[dict[str, Scalar]]:
    from ablations.sampling import propose  # Optuna's samplers, which a sweep does without

    return propose(search, seed, tried, count)
