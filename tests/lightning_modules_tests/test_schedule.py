from __future__ import annotations

import pytest

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
        schedule.spend(step, 3.0 * step)  # twenty steps to the minute
        due["early"] += [step + 1] * (schedule.early_step == step + 1)
        due["rare"] += [step + 1] * schedule.looks("linear_cka", Cost.RARE, step + 1)
        due["last"] += [step + 1] * (schedule.last_step == step + 1)
    assert schedule.expected_steps == pytest.approx(20)
    assert due == {"early": [4], "rare": [5, 9, 13, 17, 20], "last": [20]}
    assert schedule.looks("linear_cka", Cost.RARE, 0)
    assert schedule.spent_minutes == 1.0


def test_a_first_step_that_takes_all_the_time_is_followed_by_the_last(tmp_path):
    schedule = timed(tmp_path)
    schedule.spend(1, 70.0)
    assert (schedule.early_step, schedule.last_step) == (2, 2)
    schedule.spend(2, 71.0)
    assert schedule.last_step == 2


def test_an_early_step_comes_no_later_than_the_last(tmp_path):
    schedule = timed(tmp_path, early_step_fraction=0.9)
    schedule.spend(1, 40.0)
    assert (schedule.early_step, schedule.last_step) == (2, 2)


def test_rare_looks_that_were_asked_for_go_by_steps(tmp_path):
    spec = tiny_spec(tmp_path, training={"max_minutes": 1.0}, diagnostics={"rare_every_steps": 7})
    assert Schedule.of(spec).looks("linear_cka", Cost.RARE, 14)


def test_what_a_run_of_minutes_learnt_is_kept(tmp_path):
    first, second = timed(tmp_path), timed(tmp_path)
    first.spend(4, 13.0)
    second.load_state_dict(first.state_dict())
    assert second == first
    assert second != timed(tmp_path)
