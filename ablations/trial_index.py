"""The trials of a queue by their runs, kept up to date at the cost of what has changed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

from optuna.trial import FrozenTrial, TrialState

from ablations.run_status import RunStatus, status_of

RUN_KEY = "run_key"


class TrialIndex:
    """What was seen of a queue. Trials that have ended are looked at once: nobody changes them."""

    def __init__(self) -> None:
        self._seen = 0
        self._open: dict[int, FrozenTrial] = {}
        """Those that had not ended, by number."""
        self._of_run: dict[str, dict[int, FrozenTrial]] = defaultdict(dict)
        self._statuses: dict[str, RunStatus] = {}

    def update(self, trials: Sequence[FrozenTrial]) -> None:
        """Take in the trials of a queue, in the order of their numbers, which have no gaps."""
        for number in [*self._open, *range(self._seen, len(trials))]:
            trial = trials[number]
            key = trial.user_attrs.get(RUN_KEY, "")
            self._of_run[key][number] = trial
            self._statuses.pop(key, None)
            if trial.state.is_finished():
                self._open.pop(number, None)
            else:
                self._open[number] = trial
        self._seen = len(trials)

    def trials(self) -> Iterator[FrozenTrial]:
        """All trials, in no order."""
        return (trial for trials in self._of_run.values() for trial in trials.values())

    def trials_of(self, key: str) -> list[FrozenTrial]:
        """The trials of a run, in the order of their numbers."""
        return [trial for _, trial in sorted(self._of_run.get(key, {}).items())]

    def status_of(self, key: str) -> RunStatus:
        """Where a run stands."""
        if key not in self._statuses:
            self._statuses[key] = status_of(self.trials_of(key))
        return self._statuses[key]

    def open_trials(self, state: TrialState) -> list[FrozenTrial]:
        """The trials that wait, or that run, in the order of their numbers."""
        return [trial for _, trial in sorted(self._open.items()) if trial.state is state]

    def begun(self) -> int:
        """How many trials do not wait any more."""
        return self._seen - len(self.open_trials(TrialState.WAITING))
