"""The queue and the memory of who trains what, held wholly in an Optuna storage.

Each run of a plan is trained to its end exactly once, whoever plans and however often:

1. a run waits as a WAITING trial that carries its run key; WAITING to RUNNING is compare-and-set;
2. a worker that claimed a trial gives it up when a lower-numbered trial of the run is live, or
   was pruned or ended in an error, which nobody has asked to retry;
3. FAIL is the fence: Optuna refuses every later write to a failed trial, so a worker that was
   presumed dead and comes back can finish nothing;
4. `reconcile` works from the state and not from events, so that whoever runs it next repairs what
   the last one left.
"""

from __future__ import annotations

import os
import socket
import time
import uuid
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

import optuna
from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import FrozenTrial, TrialState, create_trial

from ablations.claims import BEAT, ERROR, MINUTES, OUTCOME, OWNER, PRUNED_BY, RELEASED, STEP, Claim
from ablations.storage import open_storage, patiently
from studies.records import Outcome

GRACE_S = 30.0
MAX_LOST_ATTEMPTS = 5
"""Attempts at a run that may die without a word before the run counts as failed."""

RUN_KEY = "run_key"
RETRY_OF = "retry_of"
"""Number of the failed or pruned trial that a trial was queued to retry."""


class RunState(StrEnum):
    """Where a planned run stands."""

    UNQUEUED = "unqueued"
    WAITING = "waiting"
    RUNNING = "running"
    COMPLETED = "completed"
    DIVERGED = "diverged"
    PRUNED = "pruned"
    FAILED = "failed"

    def is_ended(self) -> bool:
        """Whether nothing more happens to the run by itself."""
        return self not in (RunState.UNQUEUED, RunState.WAITING, RunState.RUNNING)


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
    pruned_by: str | None = None
    """As in the record of the run."""


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

    @property
    def storage(self) -> optuna.storages.BaseStorage:
        """Where the ledger is kept."""
        return self._storage

    def statuses(
        self, run_keys: Iterable[str], *, pruners: Mapping[str, str | None] | None = None
    ) -> dict[str, RunStatus]:
        """The status of each run.

        `pruners` says what prunes each run by now, as records say it, and None for nothing: what
        was pruned by anything else is as if it had not been queued.
        """
        statuses = {key: _status(trials) for key, trials in self._by_run_key(run_keys).items()}
        if pruners is None:
            return statuses
        return statuses | {
            key: replace(status, state=RunState.UNQUEUED)
            for key, status in statuses.items()
            if status.state is RunState.PRUNED
            and (status.pruned_by is None or status.pruned_by != pruners[key])
        }

    def reconcile(
        self,
        run_keys: Iterable[str],
        *,
        retry_failed: bool = False,
        pruners: Mapping[str, str | None] | None = None,
    ) -> None:
        """Queue every run that has neither ended nor is queued or running; fail silent attempts.

        What has ended is said by `statuses`.

        Any number of processes may do this at once: a run that is queued twice is trained once.
        """
        self._fail_silent_attempts()
        for key, status in self.statuses(run_keys, pruners=pruners).items():
            failed = status.state is RunState.FAILED
            if status.state is RunState.UNQUEUED or (failed and retry_failed):
                ended = status.attempt is not None
                attrs = {RUN_KEY: key, **({RETRY_OF: status.attempt} if ended else {})}
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
    retried = _last_retried(trials)
    standing = [t for t in trials if t.state is not TrialState.PRUNED or t.number > retried]
    for state in (TrialState.COMPLETE, TrialState.PRUNED, TrialState.RUNNING, TrialState.WAITING):
        trial = next((t for t in standing if t.state is state), None)
        if trial is not None:
            attrs, ended = trial.user_attrs, trial.state.is_finished()
            name = attrs.get(OUTCOME, Outcome.COMPLETED) if ended else state.name
            return RunStatus(
                RunState(str(name).lower()),
                trial.number,
                step=attrs.get(STEP, 0),
                minutes=attrs.get(MINUTES, 0.0),
                owner=attrs.get(OWNER, ""),
                pruned_by=attrs.get(PRUNED_BY),
            )
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
        t.number > retried and (t.state is TrialState.PRUNED or ERROR in t.user_attrs)
        if t.state in (TrialState.FAIL, TrialState.PRUNED)
        else True
        for t in earlier
    )


def _last_retried(trials: Sequence[FrozenTrial]) -> int:
    """The trial up to which failures and prunings of a run no longer count, -1 for none."""
    return max((int(t.user_attrs.get(RETRY_OF, -1)) for t in trials), default=-1)
