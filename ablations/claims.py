"""One attempt at a run in the ledger: it beats while it lives, and says how it ended."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import optuna
from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import TrialState

from ablations.storage import patiently
from studies.records import Outcome

BEAT_S = 2.0

OWNER, BEAT, STEP, MINUTES = "owner", "beat", "step", "minutes"
OUTCOME, PRUNED_BY, ERROR, RELEASED = "outcome", "pruned_by", "error", "released"


class Fenced(Exception):
    """This attempt was given up for dead; its worker must write nothing more."""


class Claim:
    """One attempt at a run, kept alive by a thread that beats until the attempt ends."""

    def __init__(
        self, storage: optuna.storages.BaseStorage, trial_id: int, number: int, key: str, owner: str
    ) -> None:
        self._storage = storage
        self._trial_id = trial_id
        self.attempt = number
        self.run_key = key
        self._owner = owner
        self.step, self.minutes = 0, 0.0
        """Told with each beat; set them while training, the minutes in a run of minutes."""
        self.fenced = False
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._beat, name=f"beat-{number}", daemon=True)
        self._thread.start()

    def complete(self, outcome: Outcome, value: float, pruned_by: str | None = None) -> None:
        """Record the run as done, or as pruned: by what, says the record of the run.

        Raises:
            Fenced: the attempt was given up for dead; another one owns the run.
        """
        self._set(OUTCOME, outcome.value)
        if pruned_by is not None:
            self._set(PRUNED_BY, pruned_by)
        pruned = outcome is Outcome.PRUNED
        self._end(TrialState.PRUNED if pruned else TrialState.COMPLETE, [value])

    def fail(self, error: str) -> None:
        """Record that the run cannot be trained as it is."""
        self._set(ERROR, error[:2000])
        self._end(TrialState.FAIL)

    def release(self, why: str) -> None:
        """Give the run back to the queue: the next reconcile queues it again."""
        self._set(RELEASED, why)
        self._end(TrialState.FAIL)

    def _set(self, key: str, value: object) -> None:
        try:
            patiently(self._storage.set_trial_user_attr, self._trial_id, key, value)
        except UpdateFinishedTrialError:
            raise Fenced from None

    def _end(self, state: TrialState, values: Sequence[float] | None = None) -> None:
        self._ended.set()
        self._thread.join()
        try:
            patiently(self._storage.set_trial_state_values, self._trial_id, state, values)
        except UpdateFinishedTrialError:
            # Given up for dead, or our own commit went through before its answer was lost.
            trial = patiently(self._storage.get_trial, self._trial_id)
            if trial.state is not state or trial.user_attrs.get(OWNER) != self._owner:
                raise Fenced from None

    def _beat(self) -> None:
        beat, told = 0, -1
        while not self._ended.wait(BEAT_S if beat else 0):
            beat += 1
            try:
                self._storage.set_trial_user_attr(self._trial_id, BEAT, beat)
                if (step := self.step) != told:
                    self._storage.set_trial_user_attr(self._trial_id, STEP, step)
                    if self.minutes:
                        self._storage.set_trial_user_attr(self._trial_id, MINUTES, self.minutes)
                    told = step
            except UpdateFinishedTrialError:
                self.fenced = True
                return
            except Exception:  # the database is away: the next beat tries again
                continue
