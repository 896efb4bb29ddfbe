"""The queue and the memory of who trains what, held wholly in an Optuna storage.

Each run of a plan is trained to its end exactly once, whoever plans and however often:

1. a run waits as a WAITING trial that carries its run key; WAITING to RUNNING is compare-and-set;
2. a worker that claimed a trial gives it up when a lower-numbered trial of the run is live, or
   ended in an error that nobody has asked to retry;
3. FAIL is the fence: Optuna refuses every later write to a failed trial, so a worker that was
   presumed dead and comes back can finish nothing;
4. `reconcile` works from the state and not from events, so that whoever runs it next repairs what
   the last one left.
"""

from __future__ import annotations

import os
import socket
import threading
import time
import uuid
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

import optuna
from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import FrozenTrial, TrialState, create_trial

from ablations.storage import open_storage, patiently
from studies.records import Outcome

BEAT_S = 2.0
GRACE_S = 30.0
MAX_LOST_ATTEMPTS = 5
"""Attempts at a run that may die without a word before the run counts as failed."""

RUN_KEY, OWNER, BEAT, STEP, MINUTES = "run_key", "owner", "beat", "step", "minutes"
OUTCOME, ERROR, RELEASED = "outcome", "error", "released"
RETRY_OF = "retry_of"
"""Number of the failed trial that a trial was queued to retry."""


class RunState(StrEnum):
    """Where a planned run stands."""

    UNQUEUED = "unqueued"
    WAITING = "waiting"
    RUNNING = "running"
    COMPLETED = "completed"
    DIVERGED = "diverged"
    FAILED = "failed"

    def is_ended(self) -> bool:
        """Whether nothing more happens to the run by itself."""
        return self in (RunState.COMPLETED, RunState.DIVERGED, RunState.FAILED)


@dataclass(frozen=True)
class RunStatus:
    """State of one run, from its trials."""

    state: RunState
    attempt: int | None = None
    """Trial that the state comes from."""
    step: int = 0
    """Last step that a running attempt told."""
    minutes: float = 0.0
    """Of training up to there, in a run of minutes."""
    owner: str = ""
    error: str = ""


class Fenced(Exception):
    """This attempt was given up for dead; its worker must write nothing more."""


class Ledger:
    """The runs of one study in one Optuna storage; `existing` only reads a ledger that is there."""

    def __init__(
        self, url: str, study: str, *, grace_s: float = GRACE_S, existing: bool = False
    ) -> None:
        self._storage = patiently(open_storage, url, existing=existing)
        if not existing:
            patiently(
                optuna.create_study, study_name=study, storage=self._storage, load_if_exists=True
            )
        self._study_id = patiently(self._storage.get_study_id_from_name, study)
        self._grace_s = grace_s
        self._watched: dict[int, tuple[object, float]] = {}
        self._watched_at = time.monotonic()

    def statuses(self, run_keys: Iterable[str]) -> dict[str, RunStatus]:
        """The status of each run."""
        return {key: _status(trials) for key, trials in self._by_run_key(run_keys).items()}

    def reconcile(self, run_keys: Iterable[str], *, retry_failed: bool = False) -> None:
        """Queue every run that is neither done, queued, running nor failed; fail silent attempts.

        Any number of processes may do this at once: a run that is queued twice is trained once.
        """
        self._fail_silent_attempts()
        for key, trials in self._by_run_key(run_keys).items():
            status = _status(trials)
            retry = retry_failed and status.state is RunState.FAILED
            if retry or status.state is RunState.UNQUEUED:
                attrs = {RUN_KEY: key, **({RETRY_OF: status.attempt} if retry else {})}
                template = create_trial(state=TrialState.WAITING, user_attrs=attrs)
                patiently(self._storage.create_new_trial, self._study_id, template)

    def claim(self, run_keys: Iterable[str]) -> Claim | None:
        """Take the waiting run that comes first among these, or None when there is none."""
        place = {key: number for number, key in enumerate(run_keys)}
        waiting = self._trials((TrialState.WAITING,))
        known = [trial for trial in waiting if trial.user_attrs.get(RUN_KEY) in place]
        for trial in sorted(known, key=lambda trial: place[trial.user_attrs[RUN_KEY]]):
            claim = self._try_to_claim(trial)
            if claim is not None:
                return claim
        return None

    def fail_attempts_of(self, owner_prefix: str, *, released: str | None = None) -> int:
        """Fail the running attempts of a worker that is known to be dead; returns how many.

        `released` says why the worker was killed on purpose: that is not held against its run.
        """
        trials = self._trials((TrialState.RUNNING,))
        own = [t for t in trials if str(t.user_attrs.get(OWNER, "")).startswith(owner_prefix)]
        for trial in own:
            self._fail(trial, released)
        return len(own)

    def _try_to_claim(self, trial: FrozenTrial) -> Claim | None:
        owner = f"{owner_prefix()}{uuid.uuid4().hex[:8]}"
        trial_id, key = trial._trial_id, trial.user_attrs[RUN_KEY]
        set_attr = self._storage.set_trial_user_attr
        try:
            if not patiently(self._storage.set_trial_state_values, trial_id, TrialState.RUNNING):
                return None
            patiently(set_attr, trial_id, OWNER, owner)
            others = self._by_run_key([key])[key]
            if _is_superseded(trial, others):
                patiently(set_attr, trial_id, RELEASED, "the run was queued twice")
                patiently(self._storage.set_trial_state_values, trial_id, TrialState.FAIL)
                return None
        except UpdateFinishedTrialError:
            return None
        return Claim(self._storage, trial_id, trial.number, key, owner)

    def _fail_silent_attempts(self) -> None:
        """Fail the attempts whose beat stood still for a whole grace period, on our own clock."""
        now = time.monotonic()
        if now - self._watched_at > self._grace_s / 2:
            self._watched.clear()  # we were not looking: nobody may be judged by that time
        self._watched_at = now
        running = {t.number: t for t in self._trials((TrialState.RUNNING,))}
        self._watched = {n: seen for n, seen in self._watched.items() if n in running}
        for number, trial in running.items():
            beat = trial.user_attrs.get(BEAT)
            last_beat, since = self._watched.setdefault(number, (beat, now))
            if last_beat != beat:
                self._watched[number] = (beat, now)
            elif now - since > self._grace_s:
                self._fail(trial)

    def _fail(self, trial: FrozenTrial, released: str | None = None) -> None:
        try:
            if released:
                patiently(self._storage.set_trial_user_attr, trial._trial_id, RELEASED, released)
            patiently(self._storage.set_trial_state_values, trial._trial_id, TrialState.FAIL)
        except UpdateFinishedTrialError:
            return  # it ended by itself in the meantime

    def _trials(self, states: tuple[TrialState, ...] | None = None) -> list[FrozenTrial]:
        get = self._storage.get_all_trials
        trials = patiently(get, self._study_id, deepcopy=False, states=states)
        return sorted(trials, key=lambda trial: trial.number)

    def _by_run_key(self, run_keys: Iterable[str]) -> dict[str, list[FrozenTrial]]:
        found: dict[str, list[FrozenTrial]] = defaultdict(list)
        for trial in self._trials():
            found[trial.user_attrs.get(RUN_KEY, "")].append(trial)
        return {key: found.get(key, []) for key in run_keys}


def owner_prefix(pid: int | None = None) -> str:
    """Start of the owner name of the claims of a process on this host."""
    return f"{socket.gethostname()}:{pid or os.getpid()}:"


def _status(trials: Sequence[FrozenTrial]) -> RunStatus:
    for state in (TrialState.COMPLETE, TrialState.RUNNING, TrialState.WAITING):
        trial = next((t for t in trials if t.state is state), None)
        if trial is not None:
            attrs, ended = trial.user_attrs, trial.state.is_finished()
            name = attrs.get(OUTCOME, Outcome.COMPLETED) if ended else state.name
            return RunStatus(
                RunState(str(name).lower()),
                trial.number,
                step=attrs.get(STEP, 0),
                minutes=attrs.get(MINUTES, 0.0),
                owner=attrs.get(OWNER, ""),
            )
    retried = _last_retried(trials)
    recent = [t for t in trials if RELEASED not in t.user_attrs and t.number > retried]
    last = recent[-1] if recent else None
    if last is not None and ERROR in last.user_attrs:
        return RunStatus(RunState.FAILED, last.number, error=last.user_attrs[ERROR])
    if last is not None and len(recent) >= MAX_LOST_ATTEMPTS:
        error = f"the worker died {len(recent)} times without a word (out of memory?)"
        return RunStatus(RunState.FAILED, last.number, error=error)
    return RunStatus(RunState.UNQUEUED)


def _is_superseded(trial: FrozenTrial, trials: Sequence[FrozenTrial]) -> bool:
    """Whether an earlier trial of the run makes this one needless: it was queued twice."""
    earlier = [t for t in trials if t.number < trial.number]
    retried = _last_retried([*earlier, trial])
    return any(
        t.state is not TrialState.FAIL or (ERROR in t.user_attrs and t.number > retried)
        for t in earlier
    )


def _last_retried(trials: Sequence[FrozenTrial]) -> int:
    """The failed trial up to which failures of a run no longer count, -1 for none."""
    return max((int(t.user_attrs.get(RETRY_OF, -1)) for t in trials), default=-1)


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

    def complete(self, outcome: Outcome, value: float) -> None:
        """Record the run as done.

        Raises:
            Fenced: the attempt was given up for dead; another one owns the run.
        """
        self._set(OUTCOME, outcome.value)
        self._end(TrialState.COMPLETE, [value])

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
