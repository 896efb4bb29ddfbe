"""What a tuning tries next: Optuna's samplers, asked anew each time from the trials so far.

Nothing is kept between calls, so that a search goes on the same wherever and by whomever it is
taken up. The seed is the search's, not the variant's: what does not depend on results, such as the
first trials, is the same for every variant.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.exceptions import ExperimentalWarning
from optuna.samplers import BaseSampler, GPSampler, QMCSampler, RandomSampler, TPESampler
from optuna.trial import FrozenTrial, TrialState, create_trial

from studies.edges import rounded
from studies.protocol import Range, Tune
from studies.registry import Registry
from studies.tried import NEVER_FINITE, Tried
from studies.values import Scalar

Build = Callable[[int, int], BaseSampler]
"""A sampler from its seed and the number of trials that it takes as a start."""


def _tpe(seed: int, startup: int) -> BaseSampler:
    return TPESampler(seed=seed, n_startup_trials=startup)


def _gp(seed: int, startup: int) -> BaseSampler:
    return GPSampler(seed=seed, n_startup_trials=startup)


def _qmc(seed: int, startup: int) -> BaseSampler:
    return QMCSampler(seed=seed, scramble=True, warn_independent_sampling=False)


def _random(seed: int, startup: int) -> BaseSampler:
    return RandomSampler(seed=seed)


SAMPLERS: Registry[Build] = Registry(
    "sampler", {"tpe": _tpe, "gp": _gp, "qmc": _qmc, "random": _random}
)

_Space = dict[str, BaseDistribution]

_LEARNING = ("tpe", "gp")
"""Samplers that go by results, once there are some."""


def propose(search: Tune, seed: int, tried: Sequence[Tried], count: int) -> list[dict[str, Scalar]]:
    """The settings of the next `count` trials of a variant.

    The first `at_once` trials of a sampler that learns are spread evenly (a scrambled Sobol
    sequence); numbers have three significant digits.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    learns = search.sampler in _LEARNING and len(tried) >= search.at_once
    name = search.sampler if learns or search.sampler not in _LEARNING else "qmc"
    space = {key: _distribution(given) for key, given in search.ranges.items()}
    seed = seed % 2**32
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        sampler = SAMPLERS[name]((seed + len(tried)) % 2**32 if learns else seed, search.at_once)
        study = optuna.create_study(sampler=sampler)
        if learns:
            study.add_trials(_told(space, tried))
        else:  # a sequence is walked from its start
            study.add_trial(_any_trial(space))
            for trial in tried:
                study.tell(study.ask(space), trial.loss)
        asked = [study.ask(space).params for _ in range(count)]
    return [{key: _written(search.ranges[key], value) for key, value in p.items()} for p in asked]


def _told(space: _Space, tried: Sequence[Tried]) -> Iterator[FrozenTrial]:
    """The trials so far; a pruned one has the last losses that there are, and no final one."""
    worst = max((t.loss for t in tried if t.loss < NEVER_FINITE), default=NEVER_FINITE)
    for trial in tried:
        params, loss = {key: trial.settings[key] for key in space}, min(trial.loss, worst)
        yield create_trial(
            state=TrialState.PRUNED if trial.pruned else TrialState.COMPLETE,
            params=params,
            distributions=space,
            value=loss,
            intermediate_values={0: loss},
        )


def _any_trial(space: _Space) -> FrozenTrial:
    """A trial to begin with: Optuna draws the one before a sequence at random."""
    random = optuna.create_study(sampler=RandomSampler(seed=0)).ask(space)
    return create_trial(params=random.params, distributions=space, value=0.0)


def _distribution(given: Range | Sequence[Scalar]) -> BaseDistribution:
    if not isinstance(given, Range):
        return CategoricalDistribution(tuple(given))
    logarithmic = given.scale == "log"
    if isinstance(given.low, int) and isinstance(given.high, int):
        return IntDistribution(given.low, given.high, log=logarithmic)
    return FloatDistribution(given.low, given.high, log=logarithmic)


def _written(given: Range | Sequence[Scalar], value: Scalar) -> Scalar:
    """A value as it is trained: rounded, and still in the range."""
    if not isinstance(given, Range) or not isinstance(value, float):
        return value
    return min(max(rounded(value, whole=False), given.low), given.high)
