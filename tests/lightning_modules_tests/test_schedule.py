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
