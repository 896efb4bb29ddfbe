"""The runs to come, against those that a search turns out to ask for."""

from __future__ import annotations

import pytest

from studies.expected_runs import expected_runs, most_extension_runs, rounds
from studies.protocol_levels import runs_of_a_cell
from tests.studies_tests.helpers import plan_of
from tests.studies_tests.test_search import MIDDLE, NORMS, RATE, SWEEP, TUNE, Lab, searching, valley

STILL = {"extend": 0}
"""No extension, which is not expected."""


def count(plan, ended=(), stage=None) -> int:
    return sum(runs.count for runs in expected_runs(plan, ended) if stage in (None, runs.stage))


@pytest.mark.parametrize("search", ["fixed", SWEEP, TUNE, {**TUNE, "trials": 1, "seeds": 3}])
def test_a_fresh_plan_has_all_its_runs_to_come(search):
    plan = searching(search) if search != "fixed" else plan_of(factors=NORMS, seeds=2)
    assert count(plan) == len(plan.cells) * runs_of_a_cell(plan.study)
    assert [runs.stage for runs in expected_runs(plan)] == sorted(
        (runs.stage for runs in expected_runs(plan)), reverse=True
    )


@pytest.mark.parametrize("search", [SWEEP, TUNE])
def test_what_ended_and_what_is_to_come_make_up_the_study_at_any_time(search):
    """Whatever is chosen is not the learning rate of the base, whose runs would serve for both."""
    lab, plan = Lab(MIDDLE), searching({**search, **STILL}, training={"learning_rate": 5e-4})
    whole, left = count(plan), []
    for _ in range(50):
        lab.train(plan, limit=len(lab.records) + 3)
        left.append(count(plan, lab.records))
        assert len(lab.records) + left[-1] == whole
        plan = lab.go_on(plan)
    assert plan.is_settled
    assert left[-1] == 0
    assert len(set(left)) > 3
    assert expected_runs(plan, lab.records) == []


def test_a_choice_of_the_shared_values_leaves_fewer_runs_than_expected():
    lab, plan = Lab(MIDDLE), searching({**SWEEP, **STILL}, training={"learning_rate": 3e-3})
    expected = count(plan)
    lab.to_the_end(plan)
    assert expected - len(lab.records) == len(plan.cells) * len(plan.study.seeds)


@pytest.mark.parametrize("search", [SWEEP, {**TUNE, "ranges": {RATE: {"low": 1e-3, "high": 1e-2}}}])
def test_extensions_ask_for_no_more_than_is_said(search):
    lab, plan = Lab(valley({"layer": 1e-5, "rms": 2e-2})), searching(search)
    expected, most = count(plan), most_extension_runs(plan)
    lab.to_the_end(plan)
    assert expected < len(lab.records) <= expected + most


def test_without_extensions_there_are_none():
    assert most_extension_runs(plan_of(factors=NORMS)) == 0
    assert most_extension_runs(searching({**SWEEP, **STILL})) == 0
    lab, plan = Lab(MIDDLE), searching(TUNE)
    assert most_extension_runs(lab.to_the_end(plan)) == 0


def test_settings_that_are_not_chosen_yet_are_those_that_may_be():
    sweep = [runs for runs in expected_runs(searching(SWEEP)) if len(runs.settings) > 1]
    assert {(runs.variant, runs.stage) for runs in sweep} == {
        ("layer", "report"),
        ("rms", "report"),
    }
    assert [at[RATE] for at in sweep[0].settings] == [1e-3, 3e-3, 1e-2]
    tune = [runs for runs in expected_runs(searching(TUNE)) if len(runs.settings) > 1]
    assert [at[RATE] for at in tune[0].settings] == [1e-3, 1e-1]
    assert {runs.count for runs in tune if runs.stage == "search"} == {TUNE["trials"]}


def test_rounds_are_runs_that_wait_for_each_other():
    assert rounds(plan_of(factors=NORMS)) == 1
    assert rounds(searching(SWEEP)) == 2
    assert rounds(searching(TUNE)) == 1 + 3
