"""Runs that are trained until a pruner ends them, and what becomes of them."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest

from ablations.driver import Driver, RunSettings
from ablations.listing import statuses_of
from ablations.progress import measure
from ablations.run_status import RunState
from ablations.search import SearchKeeper
from ablations.tracking import Tracking
from ablations.tracking_store import default_tracking_uri
from studies.metrics import (
    FINAL_LOSS,
    INITIAL_LOSS,
    LAST_VALIDATION_LOSS,
    PRUNED_AT_STEP,
    STEPS,
    VALIDATION_LOSS,
)
from tests.ablations_tests.pruned_studies import (
    HOPELESS,
    RATE,
    STEPWISE,
    comparisons,
    outcomes,
    rates,
    sweep,
)
from tests.ablations_tests.tiny_studies import (
    calling_at,
    checkpoints,
    keys_of,
    numbers,
    queue,
    states,
    trials,
    work,
)


@pytest.mark.parametrize("name", STEPWISE)
def test_each_pruner_ends_a_hopeless_run(name: str, tmp_path: Path) -> None:
    plan, directory, _ = queue(tmp_path, **rates(1e-2, 3e-2, HOPELESS, pruner=name))
    work(directory)
    assert outcomes(plan, directory)[1:] == ["completed", "pruned"]
    assert states(plan, directory)[-1] == "pruned"
    run = directory.run(keys_of(plan)[2])
    record = run.record()
    assert record is not None
    summary = record.summary
    last = run.attempts()[-1].read_metrics()[-1]
    assert summary[PRUNED_AT_STEP] == summary[STEPS] == last.step in (4, 10)
    assert summary[LAST_VALIDATION_LOSS] == last.values[VALIDATION_LOSS] > summary[INITIAL_LOSS]
    assert FINAL_LOSS not in summary
    assert not checkpoints(directory)
    [study] = comparisons(directory)
    assert [t.state.name for t in study.trials] == ["COMPLETE", "COMPLETE", "PRUNED"]
    assert [t.user_attrs["run_key"] for t in study.trials] == keys_of(plan)
    assert set(study.trials[1].intermediate_values) == {4, 10, 20}


def test_a_store_says_which_runs_were_pruned(tmp_path: Path) -> None:
    plan, directory, _ = queue(tmp_path, **rates(1e-2, 3e-2, HOPELESS))
    work(directory)
    tracking = Tracking(default_tracking_uri(tmp_path))
    study = tracking.open_study(plan, directory.path)
    pruned = tracking.client.search_runs([study.experiment_id], "tags.outcome = 'pruned'")
    assert [run.data.metrics[PRUNED_AT_STEP] for run in pruned] == [4]
    assert FINAL_LOSS not in pruned[0].data.metrics
    progress = measure(plan, statuses_of(plan, directory))
    assert progress.is_complete
    assert progress.line() == "3/3 runs ended, 0 diverged, 1 pruned, 0 failed, 0 running"


def test_the_search_prunes_within_a_variant_and_the_report_not_at_all(tmp_path: Path) -> None:
    plan, directory, ledger = queue(tmp_path, **sweep(1e-2, 3e-2, HOPELESS))
    keeper = SearchKeeper(directory)
    work(directory)
    plan = keeper.go_on()
    ledger.reconcile(keys_of(plan))
    work(directory)
    pruned = {(r.variant, r.settings[RATE]) for r, outcome in
              zip(plan.runs, outcomes(plan, directory), strict=True)
              if outcome == "pruned"}  # fmt: skip
    assert pruned == {("layer", HOPELESS), ("rms", HOPELESS)}
    assert {choice.settings[RATE] for choice in plan.choices.values()} == {3e-2}
    assert not any(choice.pruned for choice in plan.choices.values())
    variants = [{t.user_attrs["variant"] for t in s.trials} for s in comparisons(directory)]
    assert sorted(map(sorted, variants)) == [["layer"], ["rms"]]


def test_without_pruning_there_is_nothing_beside_the_queue_and_numbers_are_the_same(
    tmp_path: Path,
) -> None:
    (tmp_path / "with").mkdir()
    (tmp_path / "without").mkdir()
    lenient = {"pruner": "threshold", "options": {"upper": 1e9}, "stage": "report"}
    study = {**rates(1e-2, 3e-2), "protocol": {"pruning": lenient}}
    plan, asked, _ = queue(tmp_path / "with", **study)
    same, unasked, _ = queue(tmp_path / "without", **{**study, "protocol": {}})
    work(asked)
    work(unasked)
    assert keys_of(plan) == keys_of(same)
    assert numbers(plan, asked) == numbers(same, unasked)
    assert len(comparisons(asked)) == 1
    assert comparisons(unasked) == []


def test_a_resumed_run_keeps_its_reports_and_its_place(tmp_path: Path) -> None:
    plan, directory, ledger = queue(tmp_path, **rates(1e-2, 3e-2))
    stop = lambda: os.kill(os.getpid(), signal.SIGTERM)  # noqa: E731
    with calling_at(12, stop):
        work(directory)
    [study] = comparisons(directory)
    [running] = study.trials
    assert running.state.name == "RUNNING"
    assert set(running.intermediate_values) == {4, 10}
    ledger.reconcile(keys_of(plan))
    work(directory)
    [first, _] = comparisons(directory)[0].trials
    assert first.state.name == "COMPLETE"
    assert first.intermediate_values.items() > running.intermediate_values.items()
    assert set(first.intermediate_values) == {4, 10, 20}


def test_pruned_runs_are_trained_again_once_pruning_is_off(tmp_path: Path) -> None:
    plan, directory, ledger = queue(tmp_path, **rates(1e-2, 3e-2, HOPELESS))
    work(directory)
    uri = default_tracking_uri(tmp_path)
    driver = Driver(plan, RunSettings(tmp_path, uri, workers=1))
    assert driver.is_done()
    off, *_ = queue(tmp_path, **rates(1e-2, 3e-2, HOPELESS, protocol={}))
    assert len(trials(directory)) == 3  # what was pruned is not queued again by itself
    driver = Driver(off, RunSettings(tmp_path, uri, workers=1))
    assert not driver.is_done()
    assert [cell.variant for cell in driver.unfinished_plan().cells] == ["learning_rate=10"]
    pruned = keys_of(plan)[2]
    ledger.reconcile(keys_of(off), pruners=off.pruners)
    ledger.reconcile(keys_of(off), pruners=off.pruners)
    assert ledger.statuses([pruned])[pruned].state is RunState.WAITING
    work(directory)
    assert outcomes(off, directory) == ["completed"] * 3
    assert len(trials(directory)) == 4
    assert driver.is_done()


def threshold(upper: float) -> dict[str, Any]:
    pruning = {"pruner": "threshold", "options": {"upper": upper}, "stage": "report"}
    return rates(1e-2, 3e-2, protocol={"pruning": pruning})


def test_what_another_pruner_pruned_is_trained_again(tmp_path: Path) -> None:
    strict, directory, _ = queue(tmp_path, **threshold(0.5))
    work(directory)
    assert outcomes(strict, directory) == ["pruned"] * 2
    settings = RunSettings(tmp_path, default_tracking_uri(tmp_path), workers=1)
    assert Driver(strict, settings).is_done()
    lenient, *_ = queue(tmp_path, **threshold(50))
    assert states(lenient, directory) == ["unqueued"] * 2
    driver = Driver(lenient, settings)
    assert len(driver.unfinished_plan().cells) == 2
    driver.keeper.reconcile()
    work(directory)
    assert outcomes(lenient, directory) == ["completed"] * 2
    assert driver.is_done()
    other, *_ = queue(tmp_path, **threshold(0.4))
    assert Driver(other, settings).is_done()  # what was trained to its end stays so


def test_what_two_pruners_pruned_one_after_the_other_has_ended(tmp_path: Path) -> None:
    settings = RunSettings(tmp_path, default_tracking_uri(tmp_path), workers=1)
    for number, upper in enumerate((0.5, 0.4), 1):
        plan, directory, _ = queue(tmp_path, **threshold(upper))
        driver = Driver(plan, settings)
        driver.keeper.reconcile()
        work(directory)
        assert driver.is_done()
        assert len(trials(directory)) == 2 * number
        records = [directory.run(key).record() for key in keys_of(plan)]
        assert [record.pruned_by for record in records if record] == [plan.pruner("report")] * 2
