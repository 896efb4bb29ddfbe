from __future__ import annotations

import pytest

from lightning_modules.schedule import Schedule
from tests.lightning_modules_tests.tiny_runs import tiny_spec


@pytest.mark.parametrize(
    ("cadence", "steps"),
    [("logs", [1, 4, 8, 12, 13]), ("evaluates", [2, 5, 10, 13]), ("probes", [6, 12, 13])],
)
def test_cadences_with_the_first_early_and_last_step(tmp_path, cadence, steps):
    schedule = Schedule.of(tiny_spec(tmp_path, training={"max_steps": 13}))
    assert [s for s in range(1, 14) if getattr(schedule, cadence)(s)] == steps


def test_the_early_step_is_at_least_one(tmp_path):
    assert Schedule.of(tiny_spec(tmp_path, training={"max_steps": 2})).early_step == 1
