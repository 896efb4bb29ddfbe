"""One attempt at a run in the ledger: it beats while it lives, and says how it ended."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

import optuna
from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import TrialState

from ablations.storages.patience import within
from studies.records import Outcome

BEAT_S = 2.0
ASKED_EVERY = 3
"""Beats between looks at whether all workers shall end."""
END_PATIENCE_S = 3600.0
"""How long a worker that has trained a run waits to tell a database that is away."""

OWNER, PULSE = "owner", "pulse"
OUTCOME, PRUNED_BY, ERROR, KIND, RELEASED = "outcome", "pruned_by", "error", "kind", "released"


class Failure(StrEnum):
    """How an attempt ended that brought no result and was not given back."""

    ERROR = "error"
    """The run's own code or settings: another attempt would end in the same way."""
    OUT_OF_MEMORY = "out_of_memory"
    """Of the device or of the host: perhaps because somebody else was on it."""
    NODE = "node"
    """A device, driver or mounted file system that does not work."""
    DISK = "disk"
    """No room on the file system of the study, or no right to write there any more."""
    LOST = "lost"
    """The worker died without a word."""


class Fenced(Exception):
    """This attempt was given up for dead; its worker must write nothing more."""


@dataclass(frozen=True)
class Pulse:
    """What an attempt tells with each beat; one write to the storage."""

    beat: int = 0
    step: int = 0
    """Last optimiser step done."""
    minutes: float = 0.0
    """Of training, in a run of minutes."""
    began_at: int = 0
    """Step that the attempt went on from."""
    saved: int = 0
    """Step of the newest checkpoint."""

    @classmethod
    def of(cls, attrs: Mapping[str, Any]) -> Pulse:
        """The last one that a trial was told."""
        return cls(**attrs.get(PULSE, {}))

    @property
    def saved_more(self) -> bool:
        """Whether the next attempt goes on from a later step than this one did."""
        return self.saved > self.began_at


class Claim:
    """One attempt at a run, kept alive by a thread that beats until the attempt ends."""

    def __init__(
        self,
        storage: optuna.storages.BaseStorage,
        trial_id: int,
        number: int,
        key: str,
        owner: str,
        says_to_stop: Callable[[], bool],
    ) -> None:
        self._storage = storage
        self._says_to_stop = says_to_stop
        self._trial_id = trial_id
        self.attempt = number
        self.run_key = key
        self._owner = owner
        self.step, self.minutes = 0, 0.0
        """Told with each beat; set them while training."""
        self.confirmed = 0
        """Newest checkpoint that the ledger was told of while the attempt was still ours: whoever
        goes on with the run goes on from there or later."""
        self._began_at = 0
        self._saved_step: Callable[[], int] = int
        self.fenced = False
        self.cancelled = False
        """Whether all workers were asked to end."""
        self._ended, self._wake = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._live, name=f"beat-{number}", daemon=True)
        self._thread.start()

    @property
    def is_over(self) -> bool:
        """Whether the attempt shall stop: it was given up for dead, or all were asked to end."""
        return self.fenced or self.cancelled

    def begin(self, step: int, saved_step: Callable[[], int]) -> None:
        """Say from which step the attempt goes on, and who knows that of the newest checkpoint."""
        self.step = self.confirmed = self._began_at = step
        self._saved_step = saved_step
        self._wake.set()  # the ledger knows it at once, however short the attempt

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

    def fail(self, error: str, kind: Failure = Failure.ERROR) -> None:
        """Record that this attempt failed, and how: that decides whether there is another."""
        self._set(KIND, kind.value)
        self._set(ERROR, error[:2000])
        self._end(TrialState.FAIL)

    def release(self, why: str) -> None:
        """Give the run back to the queue: the next reconcile queues it again."""
        self._set(RELEASED, why)
        self._end(TrialState.FAIL)

    def _set(self, key: str, value: object) -> None:
        set_attr = self._storage.set_trial_user_attr
        try:
            within(END_PATIENCE_S, set_attr, self._trial_id, key, value)
        except UpdateFinishedTrialError:
            raise Fenced from None

    def _end(self, state: TrialState, values: Sequence[float] | None = None) -> None:
        self._ended.set()
        self._wake.set()
        self._thread.join()
        try:
            set_state = self._storage.set_trial_state_values
            within(END_PATIENCE_S, set_state, self._trial_id, state, values)
        except UpdateFinishedTrialError:
            # Given up for dead, or our own commit went through before its answer was lost.
            trial = within(END_PATIENCE_S, self._storage.get_trial, self._trial_id)
            if trial.state is not state or trial.user_attrs.get(OWNER) != self._owner:
                raise Fenced from None

    def _live(self) -> None:
        beat = 0
        while not self._ended.is_set():
            beat += 1
            try:
                saved = max(self._began_at, self._saved_step())
                pulse = Pulse(beat, self.step, self.minutes, self._began_at, saved)
                self._storage.set_trial_user_attr(self._trial_id, PULSE, asdict(pulse))
                self.confirmed = pulse.saved
                if beat % ASKED_EVERY == 0:
                    self.cancelled = self._says_to_stop()
            except UpdateFinishedTrialError:
                self.fenced = True
                return
            except Exception:  # the database or the disk is away: the next beat tries again
                pass
            self._wake.wait(BEAT_S)
            self._wake.clear()
