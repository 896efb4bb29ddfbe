from __future__ import annotations

import pytest

from ablations.progress import Progress, RemainingTime, measure
from ablations.run_status import RunState, RunStatus
from studies.plan import Choice
from tests.ablations_tests.tiny_studies import STUDY, keys_of, queue


def progress(work_done, total=10):
    return Progress({}, total, (), work_done)


def test_a_plan_is_measured_by_the_ledger(tmp_path):
    plan, _, _ = queue(tmp_path)
    states = [RunState.COMPLETED, RunState.DIVERGED, RunState.RUNNING, RunState.WAITING]
    statuses = {
        key: RunStatus(state, step=15 if state is RunState.RUNNING else 0)
        for key, state in zip(keys_of(plan), states, strict=True)
    }
    found = measure(plan, statuses)
    assert (found.ended, found.total, found.is_complete) == (2, 4, False)
    assert found.work_done == 2.5  # the running one is half way
    assert [(r.run.run_key, r.step, r.max_steps) for r in found.running] == [
        (keys_of(plan)[2], 15, 30)
    ]
    assert found.running[0].place() == "step 15/30"
    assert found.line() == "2/4 runs ended, 1 diverged, 0 failed, 1 running"


def test_runs_of_minutes_are_measured_in_minutes(tmp_path):
    training = {k: v for k, v in STUDY["training"].items() if k != "max_steps"}
    plan, _, _ = queue(tmp_path, training=training, protocol={"budget": {"minutes": 5}})
    statuses = dict.fromkeys(keys_of(plan), RunStatus(RunState.WAITING))
    statuses[keys_of(plan)[0]] = RunStatus(RunState.RUNNING, step=812, minutes=1.25)
    found = measure(plan, statuses)
    assert found.work_done == 0.25
    assert found.running[0].place() == "step 812, 1.25/5 minutes"


def test_failed_and_diverged_runs_have_ended(tmp_path):
    plan, _, _ = queue(tmp_path)
    statuses = dict.fromkeys(keys_of(plan), RunStatus(RunState.FAILED))
    assert measure(plan, statuses).is_complete


def test_a_study_is_over_once_its_search_waits_for_what_failed_alone(tmp_path):
    search = {"kind": "sweep", "values": {"training.learning_rate": [1e-3, 1e-2]}, "seeds": 1}
    plan, _, _ = queue(tmp_path, protocol={"search": search})
    statuses = dict.fromkeys(keys_of(plan), RunStatus(RunState.COMPLETED))
    assert measure(plan, statuses).is_complete
    assert not measure(plan, statuses).is_over
    failed = next(r for r in plan.runs if (r.stage, r.variant) == ("search", "layer"))
    statuses[failed.run_key] = RunStatus(RunState.FAILED)
    assert not measure(plan, statuses).is_over
    choice = Choice(settings={}, trial=0, loss=2.0, edges={})
    chosen = plan.model_copy(update={"choices": {"rms": choice}})
    assert measure(chosen, statuses).is_over


def test_time_left_goes_by_the_pace_since_the_first_look():
    remaining = RemainingTime()
    assert remaining.estimate_s(progress(4.0), 100.0) is None
    assert remaining.estimate_s(progress(4.0), 110.0) is None
    assert remaining.estimate_s(progress(6.0), 120.0) == pytest.approx(40.0)
    assert remaining.estimate_s(progress(10.0), 150.0) == 0.0
