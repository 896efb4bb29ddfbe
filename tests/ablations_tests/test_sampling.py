from __future__ import annotations

import math

import pytest

from ablations.sampling import SAMPLERS, propose
from studies import samplers
from studies.protocol import Range, Tune
from studies.tried import Tried

DECAY = "training.weight_decay"
RATE, WARMUP, INIT = "training.learning_rate", "training.warmup_steps", "model.initialization"


def tuning(sampler: str, **ranges: object) -> Tune:
    given = ranges or {RATE: Range(low=1e-4, high=1e-1)}
    return Tune(kind="tune", ranges=given, sampler=sampler, trials=16, at_once=4)  # type: ignore[arg-type]


def searched(search: Tune, loss, seed: int = 5) -> list[Tried]:
    tried: list[Tried] = []
    while len(tried) < search.trials:
        proposed = propose(search, seed, tried, search.at_once)
        tried += [Tried(settings, loss(settings)) for settings in proposed]
    return tried


def test_every_sampler_of_the_vocabulary_is_there() -> None:
    assert set(SAMPLERS) == set(samplers.SAMPLERS)


@pytest.mark.parametrize("name", SAMPLERS)
def test_the_same_search_proposes_the_same(name: str) -> None:
    search = tuning(name)
    losses = [2.0, 3.0, 2.5, 2.2]
    tried = [Tried(s, loss) for s, loss in zip(propose(search, 7, [], 4), losses, strict=True)]
    assert propose(search, 7, tried, 4) == propose(search, 7, tried, 4)
    assert propose(search, 7, [], 4) != propose(search, 8, [], 4)


@pytest.mark.parametrize("name", SAMPLERS)
def test_proposals_are_in_range_and_written_with_three_digits(name: str) -> None:
    ranges = {RATE: Range(low=3.21e-4, high=9.87e-3), WARMUP: Range(low=10, high=90),
              INIT: ("fan_in", "gpt2")}  # fmt: skip
    search = Tune(kind="tune", ranges=ranges, sampler=name, trials=12, at_once=4)
    for trial in searched(search, lambda settings: float(settings[RATE])):
        rate, warmup = trial.settings[RATE], trial.settings[WARMUP]
        assert isinstance(rate, float)
        assert 3.21e-4 <= rate <= 9.87e-3
        assert rate == float(f"{rate:.3g}")
        assert isinstance(warmup, int)
        assert 10 <= warmup <= 90
        assert trial.settings[INIT] in ("fan_in", "gpt2")


@pytest.mark.parametrize("name", SAMPLERS)
def test_the_first_trials_do_not_depend_on_any_result(name: str) -> None:
    first = propose(tuning(name), 3, [], 4)
    assert len({settings[RATE] for settings in first}) == 4
    start = "random" if name == "random" else "qmc"
    assert first == propose(tuning(start), 3, [], 4)


@pytest.mark.parametrize("name", ["tpe", "gp", "qmc"])
def test_the_first_trials_are_spread_evenly(name: str) -> None:
    search = tuning(name, **{RATE: Range(low=1e-4, high=1.0), DECAY: Range(low=1e-4, high=1.0)})
    for seed in range(20):
        first = propose(search, seed, [], 4)
        for key in (RATE, DECAY):
            quarters = {int(math.log10(float(settings[key])) + 4) for settings in first}  # type: ignore[arg-type]
            assert quarters == {0, 1, 2, 3}


@pytest.mark.parametrize("name", ["tpe", "gp"])
def test_pruned_trials_are_no_better_than_whole_ones(name: str) -> None:
    search = tuning(name)
    rates = [10 ** (-4 + 3 * place / 16) for place in range(16)]

    def tried(pruned: bool) -> list[Tried]:
        found = [Tried({RATE: rate}, 1.0 + abs(math.log10(rate / 1e-3))) for rate in rates]
        return found + [Tried({RATE: 0.09}, 0.5, pruned=pruned)] * 4

    [after_whole], [after_pruned] = (propose(search, 3, tried(p), 1) for p in (False, True))
    assert float(after_whole[RATE]) > 0.03  # type: ignore[arg-type]
    assert float(after_pruned[RATE]) < 0.03  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["tpe", "gp"])
def test_a_sampler_that_learns_goes_by_the_losses(name: str) -> None:
    def loss_at(best: float):
        return lambda settings: math.log10(settings[RATE] / best) ** 2

    low, high = (searched(tuning(name), loss_at(best)) for best in (2e-4, 5e-2))

    def middle(tried: list[Tried]) -> float:
        later = [math.log10(float(t.settings[RATE])) for t in tried[8:]]  # type: ignore[arg-type]
        return sum(later) / len(later)

    assert middle(low) < middle(high) - 0.5
    assert min(t.loss for t in low) < 0.05


@pytest.mark.parametrize("name", ["qmc", "random"])
def test_the_others_give_every_variant_the_same_trials(name: str) -> None:
    one, other = (searched(tuning(name), lambda s, k=k: k * s[RATE]) for k in (1.0, -1.0))
    assert [t.settings for t in one] == [t.settings for t in other]
    assert len({t.settings[RATE] for t in one}) == 16
