"""Where a run stands, from its trials: the rules of the queue that look at the state alone."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from optuna.trial import FrozenTrial, TrialState

from ablations.claims import (
    ERROR,
    KIND,
    OUTCOME,
    OWNER,
    PRUNED_BY,
    RELEASED,
    Failure,
    Pulse,
)
from studies.records import Outcome

RETRY_OF = "retry_of"
"""Number of the failed or pruned trial that a trial was queued to retry."""

MAX_ATTEMPTS = {
    Failure.ERROR: 1,
    Failure.OUT_OF_MEMORY: 2,
    Failure.NODE: 3,
    Failure.DISK: 3,
    Failure.LOST: 5,
}
"""Attempts at a run that may end in this way before the run counts as failed. A worker that dies
without a word is held against its run only where the attempt had saved nothing new."""


class RunState(StrEnum):
    """Where a planned run stands."""

    UNQUEUED = "unqueued"
    WAITING = "waiting"
    RUNNING = "running"
    COMPLETED = "completed"
    DIVERGED = "diverged"
    PRUNED = "pruned"
    FAILED = "failed"
    SKIPPED = "skipped"
    """Its parent ended without weights to go on from."""

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


def status_of(trials: Sequence[FrozenTrial]) -> RunStatus:
    """The status of a run, from its trials in the order of their numbers."""
    retried = _last_retried(trials)
    standing = [t for t in trials if t.state is not TrialState.PRUNED or t.number > retried]
    for state in (TrialState.COMPLETE, TrialState.PRUNED, TrialState.RUNNING, TrialState.WAITING):
        trial = next((t for t in standing if t.state is state), None)
        if trial is not None:
            attrs, ended = trial.user_attrs, trial.state.is_finished()
            name = attrs.get(OUTCOME, Outcome.COMPLETED) if ended else state.name
            pulse = Pulse.of(attrs)
            return RunStatus(
                RunState(str(name).lower()),
                trial.number,
                step=pulse.step,
                minutes=pulse.minutes,
                owner=attrs.get(OWNER, ""),
                pruned_by=attrs.get(PRUNED_BY),
            )
    return _verdict([t for t in trials if t.number > retried]) or RunStatus(RunState.UNQUEUED)


def is_superseded(trial: FrozenTrial, trials: Iterable[FrozenTrial]) -> bool:
    """Whether an earlier trial of the run makes this one needless: it was queued twice."""
    earlier = [t for t in trials if t.number < trial.number]
    retried = _last_retried([*earlier, trial])
    if any(t.state not in (TrialState.FAIL, TrialState.PRUNED) for t in earlier):
        return True
    recent = [t for t in earlier if t.number > retried]
    return any(t.state is TrialState.PRUNED for t in recent) or _verdict(recent) is not None


@dataclass(frozen=True)
class FailedAttempt:
    """An attempt that brought no result and was not given back."""

    number: int
    failure: Failure
    why: str
    node: str
    """Where it was made, as the scheduler or the machine calls itself."""
    ended: datetime | None
    """By the clock of whoever failed it."""


def failed_attempts(trials: Iterable[FrozenTrial]) -> list[FailedAttempt]:
    """The attempts at a run that failed, oldest first."""
    return [
        FailedAttempt(
            t.number, _failure(t), t.user_attrs.get(ERROR, ""), _node(t), t.datetime_complete
        )
        for t in trials
        if _counts(t)
    ]


def _verdict(trials: Sequence[FrozenTrial]) -> RunStatus | None:
    """That a run has failed, if its attempts since the last retry say so."""
    counted = [t for t in trials if _counts(t)]
    for failure, allowed in MAX_ATTEMPTS.items():
        held_against = [t for t in counted if _failure(t) is failure]
        if failure is Failure.LOST:
            held_against = _without_progress(held_against)
        if len(held_against) >= allowed:
            last = held_against[-1]
            error = last.user_attrs.get(ERROR) or (
                f"the worker died {len(held_against)} times without a word, with nothing new "
                "saved (out of memory?)"
            )
            return RunStatus(RunState.FAILED, counted[-1].number, error=error)
    return None


def _without_progress(trials: Iterable[FrozenTrial]) -> list[FrozenTrial]:
    """The lost attempts since one that saved more than it began with."""
    since: list[FrozenTrial] = []
    for trial in trials:
        since = [] if Pulse.of(trial.user_attrs).saved_more else [*since, trial]
    return since


def _counts(trial: FrozenTrial) -> bool:
    """Whether an attempt failed; one that nobody took, since an answer was lost, never began."""
    attrs = trial.user_attrs
    return trial.state is TrialState.FAIL and OWNER in attrs and RELEASED not in attrs


def _failure(trial: FrozenTrial) -> Failure:
    attrs = trial.user_attrs
    return Failure(attrs.get(KIND, Failure.ERROR if ERROR in attrs else Failure.LOST))


def _node(trial: FrozenTrial) -> str:
    return str(trial.user_attrs.get(OWNER, "")).partition("/")[0]


def _last_retried(trials: Iterable[FrozenTrial]) -> int:
    """The trial up to which failures and prunings of a run no longer count, -1 for none."""
    return max((int(t.user_attrs.get(RETRY_OF, -1)) for t in trials), default=-1)
