"""Moving a study on from what is on disk and in its queue; anybody may, at any time.

Drivers, workers and whoever watches do the same here, and none of them holds a state of its own.
"""

from __future__ import annotations

import filelock

from ablations.ended_runs import finish, new_record, spent_s
from ablations.ledger import Ledger
from ablations.plan_statuses import ready_keys, statuses_in
from ablations.progress import Progress, measure
from ablations.run_directory import StoredPlan, StudyDirectory
from ablations.run_status import RunState, RunStatus
from ablations.search import SearchKeeper
from ablations.seed_pruning import give_up_seeds
from studies.plan import Plan
from studies.records import Outcome

MOST_REFUSALS = 60
"""Times that we find another process at it before we do its work: half a minute of a worker."""


class StudyKeeper:
    """Queues what is missing of a study, takes its search further, publishes what has ended."""

    def __init__(self, directory: StudyDirectory, ledger: Ledger, plan: Plan) -> None:
        self.plan = plan
        """As it is on disk, once `go_on` was called."""
        self._directory = directory
        self._ledger = ledger
        self._stored = StoredPlan(directory)
        self._search = SearchKeeper(directory)
        self._lock = filelock.FileLock(directory.path / ".keeper.lock")
        self._refusals = 0
        self._published = set[tuple[str, int | None]]()
        """Run keys, with the attempts that ended them."""

    def take_plan(self) -> None:
        """Take the plan as it is on disk: a search may have gone on."""
        self.plan = self._stored.read()

    def statuses(self) -> dict[str, RunStatus]:
        """Where each run stands."""
        return statuses_in(self._ledger, self.plan)

    def progress(self) -> Progress:
        """Where the study stands."""
        return measure(self.plan, self.statuses())

    def waiting(self) -> int:
        """Runs that wait for a worker, by the plan on disk."""
        self.take_plan()
        return self.progress().counts.get(RunState.WAITING, 0)

    def is_done(self) -> bool:
        """Whether every run has ended, and the search asks for no more."""
        return self.plan.is_settled and self.progress().is_complete

    def keep(self) -> bool:
        """All that moves the study on; False where another process is at it just now.

        The lock only spares work: many that queue at once would queue every run many times. One
        that is held on and on, by a process that is suspended, holds nobody up.
        """
        try:
            self._lock.acquire(timeout=0)
        except filelock.Timeout:
            self._refusals += 1
            if self._refusals < MOST_REFUSALS:
                return False
        try:
            self.go_on()
            self.reconcile()
        finally:
            self._lock.release()
        self._refusals = 0
        return True

    def go_on(self) -> bool:
        """Take the search further, on the plan on disk, which workers train; whether it went on.

        A worker that died may have left a record that the search waits for.
        """
        if not self.plan.is_settled:
            self.repair()
        known = self.plan.run_keys
        self.plan = self._search.go_on()
        return self.plan.run_keys != known

    def reconcile(self, *, retry_failed: bool = False) -> None:
        """Queue what is missing, and give up the seeds of what is worse already."""
        keys = ready_keys(self._ledger, self.plan)
        self._ledger.reconcile(keys, retry_failed=retry_failed, pruners=self.plan.pruners)
        give_up_seeds(self.plan, self._search.record, self._directory, self._ledger)

    def repair(self) -> None:
        """Publish the ended runs whose worker died before it could."""
        statuses = self.statuses()
        for planned in self.plan.all_runs:
            status = statuses[planned.run_key]
            run = self._directory.run(planned.run_key)
            end = planned.run_key, status.attempt
            if not status.state.is_ended() or status.attempt is None or end in self._published:
                continue
            published = run.record()
            if (
                published is not None
                and published.attempt == status.attempt
                and run.history_path.exists()
            ):
                self._published.add(end)
                continue
            record = run.attempt(status.attempt).record()
            if record is None and status.state is RunState.FAILED:
                record = new_record(self.plan, planned, status.attempt, Outcome.FAILED)
                told = {"error": status.error, "wall_time_s": round(spent_s(run), 3)}
                record = record.model_copy(update=told)
            if record is not None:
                finish(run, record)
