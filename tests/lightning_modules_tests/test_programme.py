"""What a run does at which steps, counted, against the steps one by one."""

from __future__ import annotations

import pytest

from lightning_modules.programme import EVALUATION, PLAIN, Act, Script, programme
from lightning_modules.schedule import Cost, Schedule
from tests.lightning_modules_tests.tiny_runs import tiny_spec

PARTS = [
    {"max_steps": 1},
    {"max_steps": 13},
    {"max_steps": 100},
]


@pytest.mark.parametrize("training", PARTS)
@pytest.mark.parametrize("every_steps", [{}, {"attention": 9, "gradient_norms": 3}])
def test_every_step_is_counted(tmp_path, training, every_steps):
    enabled = ("gradient_norms", "attention", "activation_scale", "linear_cka")
    diagnostics = {"enabled": enabled, "every_steps": every_steps, "rare_every_steps": 20}
    spec = tiny_spec(tmp_path, training=training, diagnostics=diagnostics)
    schedule, found = Schedule.of(spec), programme(spec)
    steps = range(1, training["max_steps"] + 1)
    costs = [Cost.STEP, Cost.PROBE, Cost.PROBE, Cost.RARE]
    looks = [
        Act(
            schedule.logs(s),
            frozenset(n for n, c in zip(enabled, costs, strict=True) if schedule.looks(n, c, s)),
        )
        for s in steps
    ]
    assert found.steps == training["max_steps"]
    assert found.looks == {act: looks.count(act) for act in looks if act != PLAIN}
    assert found.evaluations == 1 + sum(map(schedule.evaluates, steps))


def test_a_script_is_played_as_it_is_written(tmp_path):
    spec = tiny_spec(tmp_path)
    script = Script.of(spec)
    script.acts.extend([PLAIN, EVALUATION, Act(logs=True, due=frozenset({"attention"}))])
    assert [script.logs(s) for s in (1, 2, 3)] == [False, False, True]
    assert [script.evaluates(s) for s in (1, 2, 3)] == [False, True, False]
    assert [script.looks("attention", Cost.PROBE, s) for s in (1, 2, 3)] == [False, False, True]
    assert not script.looks("linear_cka", Cost.RARE, 3)
    assert script.looks("linear_cka", Cost.RARE, 0)
    assert script.last_step not in range(spec.training.max_steps + 1)
    assert Script.of(spec).acts == []
