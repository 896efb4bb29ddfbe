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
import time
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta

import optuna
from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import FrozenTrial, TrialState, create_trial

from ablations.claims import BEAT_S, ERROR, KIND, OWNER, RELEASED, Claim, Failure, Pulse
from ablations.machine import node_name
from ablations.run_status import (
    RETRY_OF,
    FailedAttempt,
    RunState,
    RunStatus,
    failed_attempts,
    is_superseded,
)
from ablations.storages.opening import open_storage
from ablations.storages.patience import UNSEEDED, patiently
from ablations.trial_index import RUN_KEY, TrialIndex
from studies.errors import AblationError

GRACE_S = 30.0
QUEUE_AHEAD = 256
"""Most runs that wait in the storage at a time: every look at the queue reads all that wait."""

BAD_FOR = timedelta(days=1)

ALIVE_S = 4 * BEAT_S
"""How long ago an attempt that is alive has beaten at most, on a database that answers."""

CANCELLED, MOVED = "cancelled", "moved"


class Ledger:
    """The runs of one study in one Optuna storage; `existing` opens a ledger that is there.

    Raises:
        KeyError: `existing`, and the storage has no such study.
    """

    def __init__(
        self, url: str, name: str, *, grace_s: float = GRACE_S, existing: bool = False
    ) -> None:
        self.url, self.name = url, name
        self._storage = open_storage(url, existing=existing)
        if not existing:
            optuna.create_study(study_name=name, storage=self._storage, load_if_exists=True)
        self._study_id = self._storage.get_study_id_from_name(name)
        self._index = TrialIndex()
        self._grace_s = grace_s
        self._watched: dict[int, tuple[int, float]] = {}
        self._seen_alive: set[int] = set()
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
        index = self._look()
        statuses = {key: index.status_of(key) for key in run_keys}
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
        """Queue what has neither ended nor is queued or running; fail silent attempts.

        A long plan is queued bit by bit, in its order. What has ended is said by `statuses`.

        Any number of processes may do this at once: a run that is queued twice is trained once.
        """
        self._fail_silent_attempts()
        statuses = self.statuses(run_keys, pruners=pruners)
        room = QUEUE_AHEAD - sum(s.state is RunState.WAITING for s in statuses.values())
        for key, status in statuses.items():
            retried = retry_failed and status.state is RunState.FAILED
            if retried or (room > 0 and status.state is RunState.UNQUEUED):
                ended = status.attempt is not None
                attrs = {RUN_KEY: key, **({RETRY_OF: status.attempt} if ended else {})}
                template = create_trial(state=TrialState.WAITING, user_attrs=attrs)
                patiently(self._storage.create_new_trial, self._study_id, template)
                room -= 1

    def claim(self, run_keys: Iterable[str]) -> Claim | None:
        """Take the waiting run that comes first among these, or None when there is none.

        Who loses one to another worker looks further down with each that it loses: of many that
        begin at once, each would else ask for the runs of all the others.
        """
        place = {key: number for number, key in enumerate(run_keys)}
        waiting = self._look().open_trials(TrialState.WAITING)
        known = [trial for trial in waiting if trial.user_attrs.get(RUN_KEY) in place]
        if not known or self.is_cancelled():
            return None
        known.sort(key=lambda trial: place[trial.user_attrs[RUN_KEY]])
        reach = 1
        while known:
            claim = self._try_to_claim(known.pop(UNSEEDED.randrange(min(reach, len(known)))))
            if claim is not None:
                return claim
            reach *= 2
        return None

    def cancel(self) -> None:
        """Ask all workers to give their runs back and to end."""
        patiently(self._storage.set_study_user_attr, self._study_id, CANCELLED, True)

    def take_up(self) -> None:
        """Let workers work again.

        Raises:
            AblationError: the queue is another one by now.
        """
        attrs = patiently(self._storage.get_study_user_attrs, self._study_id)
        if attrs.get(MOVED):
            raise AblationError(
                f"the queue of {self.name!r} was moved to {attrs[MOVED]}: run the command again"
            )
        if attrs.get(CANCELLED):
            patiently(self._storage.set_study_user_attr, self._study_id, CANCELLED, False)

    def is_cancelled(self) -> bool:
        """Whether workers were asked to end, or the queue is another one by now."""
        return patiently(self._says_to_stop)

    def running(self) -> int:
        """Attempts that have not ended, whether their workers live or not."""
        return len(self._look().open_trials(TrialState.RUNNING))

    def leave(self, successor: str) -> None:
        """Say where the queue is from now on: nobody claims from this one any more."""
        patiently(self._storage.set_study_user_attr, self._study_id, MOVED, successor)

    def stay(self) -> None:
        """Have this be the queue all the same."""
        if patiently(self._storage.get_study_user_attrs, self._study_id).get(MOVED):
            patiently(self._storage.set_study_user_attr, self._study_id, MOVED, None)

    def all_seen_alive(self) -> bool:
        """Whether each running attempt has beaten just now, and before that while we watched."""
        now = time.monotonic()
        return all(
            number in self._seen_alive and now - since < ALIVE_S
            for number, (_, since) in self._watched.items()
        )

    def failed_attempts(self, run_keys: Iterable[str]) -> dict[str, list[FailedAttempt]]:
        """The attempts at each run that failed, those included that others came after."""
        index = self._look()
        return {key: failed_attempts(index.trials_of(key)) for key in run_keys}

    def bad_nodes(self) -> list[str]:
        """Nodes of which a run has failed within the last day: they are not asked again so soon."""
        since = datetime.now() - BAD_FOR  # trials have the naive time of the machine, too
        failed = failed_attempts(self._look().trials())
        found = [a for a in failed if a.failure is Failure.NODE and a.node]
        return sorted({a.node for a in found if a.ended is not None and a.ended > since})

    def attempts(self) -> int:
        """Attempts that have begun so far, at any run."""
        return self._look().begun()

    def fail_attempts_of(
        self, owner_prefix: str, failure: Failure | None = Failure.LOST, why: str = ""
    ) -> int:
        """Fail the running attempts of a worker that is known to be dead; returns how many.

        Args:
            owner_prefix: of the worker.
            failure: what it died of; None where it was killed on purpose, which is not held
                against its run.
            why: in words.
        """
        trials = self._look().open_trials(TrialState.RUNNING)
        own = [t for t in trials if str(t.user_attrs.get(OWNER, "")).startswith(owner_prefix)]
        for trial in own:
            told = {ERROR: why} if why else {}
            self._fail(trial, {RELEASED: why} if failure is None else {KIND: failure, **told})
        return len(own)

    def _try_to_claim(self, trial: FrozenTrial) -> Claim | None:
        owner = f"{owner_prefix()}{uuid.uuid4().hex[:8]}"
        trial_id, key = trial._trial_id, trial.user_attrs[RUN_KEY]
        set_attr = self._storage.set_trial_user_attr
        try:
            if not patiently(self._storage.set_trial_state_values, trial_id, TrialState.RUNNING):
                return None
            patiently(set_attr, trial_id, OWNER, owner)
            twice = is_superseded(trial, self._look().trials_of(key))
            if twice or self.is_cancelled():  # by somebody who saw nothing running before
                why = "the run was queued twice" if twice else "workers were asked to end"
                patiently(set_attr, trial_id, RELEASED, why)
                patiently(self._storage.set_trial_state_values, trial_id, TrialState.FAIL)
                return None
        except UpdateFinishedTrialError:
            return None
        return Claim(self._storage, trial_id, trial.number, key, owner, self._says_to_stop)

    def _fail_silent_attempts(self) -> None:
        """Fail the attempts whose beat stood still for a whole grace period, on our own clock."""
        now = time.monotonic()
        if now - self._watched_at > self._grace_s / 2:
            self._watched.clear()  # we were not looking: nobody may be judged by that time
            self._seen_alive.clear()
        self._watched_at = now
        running = {t.number: t for t in self._look().open_trials(TrialState.RUNNING)}
        self._watched = {n: seen for n, seen in self._watched.items() if n in running}
        for number, trial in running.items():
            beat = Pulse.of(trial.user_attrs).beat
            last_beat, since = self._watched.setdefault(number, (beat, now))
            if last_beat != beat:
                self._watched[number] = (beat, now)
                self._seen_alive.add(number)
            elif now - since > self._grace_s:
                self._fail(trial, {})

    def _says_to_stop(self) -> bool:
        """Whether workers were asked to end, in one try."""
        attrs = self._storage.get_study_user_attrs(self._study_id)
        return bool(attrs.get(CANCELLED) or attrs.get(MOVED))

    def _fail(self, trial: FrozenTrial, attrs: Mapping[str, str]) -> None:
        try:
            for name, value in attrs.items():
                patiently(self._storage.set_trial_user_attr, trial._trial_id, name, value)
            patiently(self._storage.set_trial_state_values, trial._trial_id, TrialState.FAIL)
        except UpdateFinishedTrialError:
            return  # it ended by itself in the meantime

    def _look(self) -> TrialIndex:
        """The queue as it is now."""
        trials = patiently(self._storage.get_all_trials, self._study_id, deepcopy=False)
        self._index.update(sorted(trials, key=lambda trial: trial.number))
        return self._index


def owner_prefix(pid: int | None = None) -> str:
    """Start of the owner name of the claims of a process on this host.

    Containers may share the name of a host, and count their processes apart.
    """
    try:
        numbered_by = os.readlink("/proc/self/ns/pid").strip("pid:[]")
    except OSError:
        numbered_by = ""
    return f"{node_name()}/{numbered_by}:{pid or os.getpid()}:"
