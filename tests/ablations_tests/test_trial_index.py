from __future__ import annotations

import random
from itertools import pairwise

import pytest
from optuna.trial import TrialState, create_trial

from ablations.claims import ERROR, Failure
from ablations.run_status import MAX_ATTEMPTS, RunState, status_of
from ablations.trial_index import RUN_KEY, TrialIndex

STATES = (TrialState.WAITING, TrialState.RUNNING, TrialState.COMPLETE, TrialState.FAIL)


def trial(number, key, state, **attrs):
    values = {"value": 1.0} if state is TrialState.COMPLETE else {}
    made = create_trial(state=state, user_attrs={RUN_KEY: key, **attrs}, **values)
    made.number = number
    return made


def grown(generator):
    """A queue at several looks: trials are added, wait, run and end."""
    trials, looks = [], []
    for _ in range(40):
        for number, known in enumerate(trials):
            if not known.state.is_finished() and generator.random() < 0.4:
                state = STATES[STATES.index(known.state) + generator.choice((0, 1))]
                error = {ERROR: "broken"} if state is TrialState.FAIL else {}
                trials[number] = trial(number, known.user_attrs[RUN_KEY], state, **error)
        for _ in range(generator.randrange(3)):
            trials.append(trial(len(trials), generator.choice("abcd"), TrialState.WAITING))
        looks.append(list(trials))
    return looks


@pytest.mark.parametrize("seed", range(5))
def test_each_look_says_what_a_look_at_everything_would_say(seed):
    index = TrialIndex()
    for trials in grown(random.Random(seed)):
        index.update(trials)
        for key in "abcde":
            own = [t for t in trials if t.user_attrs[RUN_KEY] == key]
            assert index.trials_of(key) == own
            assert index.status_of(key) == status_of(own)
        for state in (TrialState.WAITING, TrialState.RUNNING):
            assert index.open_trials(state) == [t for t in trials if t.state is state]
        assert index.begun() == sum(t.state is not TrialState.WAITING for t in trials)


def test_trials_that_have_ended_are_looked_at_once():
    class Watched(list):
        def __getitem__(self, number):
            seen.append(number)
            return super().__getitem__(number)

    seen: list[int] = []
    trials = [trial(n, f"run{n}", TrialState.COMPLETE) for n in range(50)]
    trials += [trial(50, "run50", TrialState.RUNNING)]
    index = TrialIndex()
    for _ in range(3):
        index.update(Watched(trials))
    assert len(seen) == 51 + 1 + 1
    assert all(one <= other for one, other in pairwise(seen[:51]))


def test_lost_attempts_are_counted_over_looks():
    index, trials = TrialIndex(), []
    for number in range(MAX_ATTEMPTS[Failure.LOST]):
        assert not index.status_of("a").state.is_ended()
        trials.append(trial(number, "a", TrialState.RUNNING))
        index.update(trials)
        trials[number] = trial(number, "a", TrialState.FAIL, owner="a worker")
        index.update(trials)
    assert index.status_of("a").state.is_ended()


def test_an_attempt_that_nobody_took_is_held_against_no_run():
    index = TrialIndex()
    index.update([trial(n, "a", TrialState.FAIL) for n in range(MAX_ATTEMPTS[Failure.LOST])])
    assert index.status_of("a").state is RunState.UNQUEUED
