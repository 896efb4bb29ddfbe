from __future__ import annotations

import pytest
import torch

from lightning_modules import clock as clock_module
from lightning_modules.clock import Clock
from lightning_modules.optimization import learning_rate_factor
from lightning_modules.schedule import RARE_LOOKS, Cost, Schedule
from tests.lightning_modules_tests.tiny_runs import tiny_spec


@pytest.mark.parametrize(
    ("cadence", "steps"),
    [("logs", [1, 4, 8, 12, 13]), ("evaluates", [2, 5, 10, 13])],
)
def test_cadences_with_the_first_early_and_last_step(tmp_path, cadence, steps):
    schedule = Schedule.of(tiny_spec(tmp_path, training={"max_steps": 13}))
    assert [s for s in range(1, 14) if getattr(schedule, cadence)(s)] == steps


@pytest.mark.parametrize(
    ("cost", "steps"),
    [
        (Cost.STEP, [1, 4, 8, 12, 13]),
        (Cost.PROBE, [6, 12, 13]),
        (Cost.RARE, [10, 13]),
    ],
)
def test_diagnostics_look_as_often_as_their_cost_allows(tmp_path, cost, steps):
    diagnostics = {"rare_every_steps": 10, "every_steps": {"attention": 9}}
    schedule = Schedule.of(tiny_spec(tmp_path, training={"max_steps": 13}, diagnostics=diagnostics))
    assert [s for s in range(1, 14) if schedule.looks("linear_cka", cost, s)] == steps
    assert [s for s in range(2, 14) if schedule.looks("attention", cost, s)] == [9, 13]
    assert schedule.looks("linear_cka", cost, 0)


def test_rare_is_a_few_times_in_a_run(tmp_path):
    schedule = Schedule.of(tiny_spec(tmp_path, training={"max_steps": 2000}))
    assert sum(schedule.looks("linear_cka", Cost.RARE, s) for s in range(1, 2001)) == RARE_LOOKS
    assert Schedule.of(tiny_spec(tmp_path, training={"max_steps": 7})).rare_every_steps == 1


def test_the_early_step_is_at_least_one(tmp_path):
    assert Schedule.of(tiny_spec(tmp_path, training={"max_steps": 2})).early_step == 1


def timed(folder, **training):
    return Schedule.of(
        tiny_spec(folder, training={"max_minutes": 1.0, "max_steps": 10**9, **training})
    )


def test_a_run_of_minutes_says_one_step_ahead_what_is_due(tmp_path):
    schedule, due = timed(tmp_path), {"early": [], "rare": [], "last": []}
    for step in range(1, 21):
        schedule.spend(step, 3.0 * step, 3.0)  # twenty steps to the minute
        due["early"] += [step + 1] * (schedule.early_step == step + 1)
        due["rare"] += [step + 1] * schedule.looks("linear_cka", Cost.RARE, step + 1)
        due["last"] += [step + 1] * (schedule.last_step == step + 1)
    assert schedule.expected_steps == pytest.approx(20)
    assert due == {"early": [4], "rare": [5, 9, 13, 17, 20], "last": [20]}
    assert schedule.looks("linear_cka", Cost.RARE, 0)
    assert schedule.spent_minutes == 1.0


def test_a_first_step_that_takes_all_the_time_is_followed_by_the_last(tmp_path):
    schedule = timed(tmp_path)
    schedule.spend(1, 70.0, None)
    assert (schedule.early_step, schedule.last_step) == (2, 2)
    schedule.spend(2, 71.0, None)
    assert schedule.last_step == 2


def test_an_early_step_comes_no_later_than_the_last(tmp_path):
    schedule = timed(tmp_path, early_step_fraction=0.9)
    schedule.spend(1, 40.0, 15.0)
    assert (schedule.early_step, schedule.last_step) == (2, 2)


class Simulated:
    """A run of a minute on a clock of its own: how long each step takes is said beforehand."""

    def __init__(self, folder, monkeypatch, **training):
        self.now_s, self.step, self.rates = 0.0, 0, {}
        monkeypatch.setattr(clock_module.time, "perf_counter", lambda: self.now_s)
        self.training = tiny_spec(folder, training=training).training
        self.clock, self.schedule = Clock(), timed(folder, **training)

    def train(self, *slow_s: float, step_s: float, until: int | None = None) -> None:
        """An attempt whose first steps are slow, to the end or up to a step."""
        self.clock.start(torch.device("cpu"))
        slow = iter(slow_s)
        while self.step < (until or self.schedule.last_step):
            expected = self.schedule.expected_steps
            self.step += 1
            self.rates[self.step] = learning_rate_factor(self.training, self.step, expected)
            self.now_s += next(slow, step_s)
            self.clock.end_step()
            self.schedule.spend(self.step, self.clock.elapsed_s(), self.clock.step_s())

    def resumed(self, folder, monkeypatch, **training) -> Simulated:
        """Another process, with what a checkpoint holds."""
        times, measured = self.clock.state_dict(), self.schedule.state_dict()
        other = Simulated(folder, monkeypatch, **training)
        other.step, other.now_s, other.rates = self.step, 1000.0, dict(self.rates)
        other.clock.load_state_dict(times)
        other.schedule.load_state_dict(measured)
        return other


@pytest.mark.parametrize("compilation_s", [0.02, 29.0, 35.0, 59.0])
@pytest.mark.parametrize("warmup_steps", [0, 5])
def test_a_slow_first_step_costs_its_time_and_no_more(
    tmp_path, monkeypatch, compilation_s, warmup_steps
):
    run = Simulated(tmp_path, monkeypatch, warmup_steps=warmup_steps)
    run.train(compilation_s, step_s=0.02)
    assert 60 - 2 * 0.02 < run.clock.read().training_s <= 60 + 1e-6
    floor, middle = 0.1, (warmup_steps + run.step) // 2
    assert run.rates[warmup_steps + 1] > 0.95
    assert run.rates[middle] == pytest.approx((1 + floor) / 2, abs=0.05)
    assert run.rates[run.step] == pytest.approx(floor, abs=0.01)


def test_a_step_that_does_not_fit_is_not_made(tmp_path, monkeypatch):
    run = Simulated(tmp_path, monkeypatch, warmup_steps=0)
    run.train(step_s=7.0)
    assert (run.step, run.now_s) == (8, 56.0)


def test_steps_that_become_slower_shorten_the_run(tmp_path, monkeypatch):
    run = Simulated(tmp_path, monkeypatch)
    run.train(*[0.02] * 1000, step_s=0.2)
    assert 60 <= run.now_s < 60.4


def test_a_resumed_run_that_compiles_again_spends_what_is_left(tmp_path, monkeypatch):
    first = Simulated(tmp_path, monkeypatch, warmup_steps=0)
    first.train(20.0, step_s=0.02, until=500)
    second = first.resumed(tmp_path, monkeypatch, warmup_steps=0)
    assert second.schedule.expected_steps == pytest.approx(500 + 30.02 / 0.02, rel=0.01)
    second.train(20.0, step_s=0.02)
    assert 60 - 2 * 0.02 < second.clock.read().training_s <= 60 + 1e-6
    rates = [rate for _, rate in sorted(second.rates.items())]
    assert rates == sorted(rates, reverse=True)
    assert rates[501] > 0.35  # half of the steps that are left by then are behind it
    assert rates[-1] == pytest.approx(0.1, abs=0.01)


def test_a_run_that_was_saved_before_its_pace_was_known_learns_it(tmp_path, monkeypatch):
    first = Simulated(tmp_path, monkeypatch, warmup_steps=0)
    first.train(20.0, step_s=0.02, until=2)
    second = first.resumed(tmp_path, monkeypatch, warmup_steps=0)
    second.train(20.0, step_s=0.02)
    assert second.step == pytest.approx(3 + 20 / 0.02, abs=3)
    assert second.rates[500] == pytest.approx(0.55, abs=0.05)


def test_rare_looks_that_were_asked_for_go_by_steps(tmp_path):
    spec = tiny_spec(tmp_path, training={"max_minutes": 1.0}, diagnostics={"rare_every_steps": 7})
    assert Schedule.of(spec).looks("linear_cka", Cost.RARE, 14)


def test_what_a_run_of_minutes_learnt_is_kept(tmp_path):
    first, second = timed(tmp_path), timed(tmp_path)
    first.spend(4, 13.0, 3.0)
    second.load_state_dict(first.state_dict())
    assert second == first
    assert second != timed(tmp_path)
