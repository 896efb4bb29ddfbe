"""A study of two stages, from its queue to the tracking store, whatever happens on the way."""

from __future__ import annotations

import random
import signal
import statistics
from typing import Any

import pytest
from mlflow.tracking import MlflowClient

from ablations.cli import main
from ablations.ended_runs import new_record
from ablations.keeper import StudyKeeper
from ablations.plan_statuses import ready_keys, statuses_in
from ablations.publishing import sync_study
from ablations.run_lookup import find_run
from ablations.run_status import RunState
from ablations.tracking import Tracking
from ablations.tracking_store import NONE, default_tracking_uri
from ablations.trained_runs import trained_attempt
from lightning_modules.checkpoints import WEIGHTS
from studies.errors import AblationError
from studies.records import Leak, Outcome
from studies.task_metrics import CONSTANT_SCORE, TASK_SCORE
from tests.ablations_tests.tiny_studies import (
    STUDY,
    calling_at,
    checkpoints,
    numbers_of,
    queue,
    states,
    work,
)

TASK = {
    "form": "classification",
    "source": "task",
    "train": "train.tsv",
    "evaluation": "test.tsv",
    "header": False,
    "texts": [1],
    "label": 2,
    "labels": [0, 1],
    "metric": "accuracy",
}
TWO_STAGES: dict[str, Any] = {
    "factors": {"finetuning.pretrained": [True, False]},
    "seeds": 1,
    "samples": {"prompts": []},
    "diagnostics": {**STUDY["diagnostics"], "enabled": []},
    "finetuning": {"epochs": 2, "batch_size": 8, "learning_rate": 1e-3, "tasks": {"easy": TASK}},
}


@pytest.fixture
def tasks(home):
    """The home folder with a task in it."""
    generator = random.Random(0)
    folder = home / "task"
    folder.mkdir()
    for name in ("train", "test"):
        rows = [f"{generator.choice(['yes', 'aye'])} {n}\t{n % 2}\n" for n in range(24)]
        (folder / f"{name}.tsv").write_text("".join(rows))
    return home


def by_arm(plan):
    return {run.arm: run for run in plan.finetuning_runs}


def test_each_stage_waits_for_the_one_before_it(tasks):
    plan, directory, ledger = queue(tasks, **TWO_STAGES)
    [parent] = plan.runs
    on, off = by_arm(plan)["pretrained=on"], by_arm(plan)["pretrained=off"]
    assert ready_keys(ledger, plan) == [parent.run_key, off.run_key]
    StudyKeeper(directory, ledger, plan).reconcile()
    assert statuses_in(ledger, plan)[on.run_key].state is RunState.UNQUEUED
    assert work(directory, NONE) == 0
    assert states(plan, directory) == ["completed"] * 3
    records = [directory.run(run.run_key).record() for run in plan.finetuning_runs]
    assert all(record.outcome is Outcome.COMPLETED for record in records)
    assert all(0 <= record.summary[TASK_SCORE] <= 1 for record in records)
    assert {record.summary[CONSTANT_SCORE] for record in records} == {0.5}
    assert records[0].levels == {"finetuning.pretrained": True}
    assert not checkpoints(directory)
    folders = [path.parent.parent.name for path in directory.path.glob(f"runs/*/*/{WEIGHTS}")]
    assert folders == [parent.run_key]


@pytest.mark.parametrize("keeps", [True, False])
def test_weights_are_kept_for_who_goes_on_from_them(tasks, keeps):
    execution = {**STUDY["execution"], "keep_weights": keeps}
    plan, directory, _ = queue(tasks, **TWO_STAGES, execution=execution)
    work(directory, NONE)
    assert states(plan, directory) == ["completed"] * 3


def test_what_diverged_leaves_nothing_to_go_on_from(tasks):
    training = {**STUDY["training"], "divergence_factor": 1.0001, "learning_rate": 0.5}
    plan, directory, ledger = queue(tasks, **TWO_STAGES, training=training)
    work(directory, NONE)
    statuses = statuses_in(ledger, plan)
    [parent] = plan.runs
    assert statuses[parent.run_key].state is RunState.DIVERGED
    assert statuses[by_arm(plan)["pretrained=on"].run_key].state is RunState.SKIPPED
    assert statuses[by_arm(plan)["pretrained=off"].run_key].state.is_ended()
    keeper = StudyKeeper(directory, ledger, plan)
    assert keeper.is_done()
    assert "1 skipped" in keeper.progress().line()


@pytest.mark.parametrize("step", [3, 31])
def test_a_stop_in_any_stage_changes_no_number(tasks, tmp_path_factory, step):
    quiet = tmp_path_factory.mktemp("quiet")
    for name in ("cache", "task"):
        (quiet / name).symlink_to(tasks / name)
    steps = {**STUDY["training"], "max_steps": 30}
    finetuning = {**TWO_STAGES["finetuning"], "epochs": 14}  # 42 steps
    changes = {**TWO_STAGES, "training": steps, "finetuning": finetuning}
    plan, undisturbed, _ = queue(quiet, **changes)
    work(undisturbed, NONE)
    plan, directory, ledger = queue(tasks, **changes)
    with calling_at(step, lambda: signal.raise_signal(signal.SIGTERM)):
        work(directory, NONE)
    assert states(plan, directory) != ["completed"] * 3
    StudyKeeper(directory, ledger, plan).reconcile()
    work(directory, NONE)
    assert states(plan, directory) == ["completed"] * 3
    for run in plan.all_runs:
        assert numbers_of(directory, run.run_key) == numbers_of(undisturbed, run.run_key)


def test_a_parent_that_is_not_published_yet_is_found(tasks):
    plan, directory, _ = queue(tasks, **TWO_STAGES)
    work(directory, NONE)
    [parent] = plan.runs
    record = directory.run(parent.run_key).record()
    directory.run(parent.run_key).record_path.unlink()
    found = find_run(tasks, f"tiny/base/{parent.place}")
    assert trained_attempt(found).number == record.attempt
    child = find_run(tasks, "tiny/base/0+easy+pretrained=on")
    with pytest.raises(AblationError, match="fine-tunes, and keeps no weights: name its parent"):
        trained_attempt(child)


def test_a_parent_without_weights_fails_its_children_with_a_remedy(tasks):
    plan, directory, ledger = queue(tasks, **{**TWO_STAGES, "factors": {}})
    [parent], [child] = plan.runs, plan.finetuning_runs
    claim = ledger.claim([parent.run_key])
    record = new_record(plan, parent, claim.attempt, Outcome.COMPLETED)
    run = directory.run(parent.run_key)
    run.attempt(claim.attempt).start()
    run.publish(record.model_copy(update={"leak": Leak.CAUSAL}))
    claim.complete(Outcome.COMPLETED, 1.0, None)
    work(directory, NONE)
    status = statuses_in(ledger, plan)[child.run_key]
    assert status.state is RunState.FAILED
    assert "kept no weights" in status.error
    assert str(run.path) in status.error


def test_the_store_has_each_fine_tuning_below_its_parent(tasks):
    plan, directory, _ = queue(tasks, **TWO_STAGES)
    uri = default_tracking_uri(tasks)
    work(directory, NONE)
    assert sync_study(Tracking(uri), plan, directory) == 3
    assert sync_study(Tracking(uri), plan, directory) == 0
    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name("tiny")
    found = {
        run.data.tags.get("run_key", run.data.tags["kind"]): run
        for run in client.search_runs([experiment.experiment_id])
    }
    [parent] = plan.runs
    on, off = (found[by_arm(plan)[f"pretrained={name}"].run_key] for name in ("on", "off"))
    assert on.data.tags["mlflow.parentRunId"] == found[parent.run_key].info.run_id
    assert off.data.tags["mlflow.parentRunId"] == found["variant"].info.run_id
    assert on.data.tags["parent_run_key"] == parent.run_key
    assert off.data.tags["parent_run_key"] == "none"
    for run in (on, off):
        assert run.data.tags["kind"] == "finetuning"
        assert (run.data.tags["task"], run.data.tags["outcome"]) == ("easy", "completed")
        assert TASK_SCORE in run.data.metrics
        assert run.data.params["finetuning.epochs"] == "2"
    assert on.data.params["finetuning.pretrained"] == "True"
    assert found[parent.run_key].data.tags["kind"] == "run"


def test_a_variant_shows_its_mean_scores_and_is_open_until_the_last(tasks):
    finetuning = {**TWO_STAGES["finetuning"], "seeds": 2}
    plan, directory, ledger = queue(tasks, **{**TWO_STAGES, "seeds": 2, "finetuning": finetuning})
    tracking = Tracking(default_tracking_uri(tasks))

    def sent():
        sync_study(tracking, plan, directory)
        study = tracking.open_study(plan, directory.path)
        ids = study.study_run_id, study.variant_run_ids["base"]
        runs = [tracking.client.get_run(run_id) for run_id in ids]
        return runs[1].data.metrics, [run.info.status for run in runs]

    for run in plan.runs:  # the first stage alone
        claim = ledger.claim([run.run_key])
        record = new_record(plan, run, claim.attempt, Outcome.COMPLETED)
        directory.run(run.run_key).attempt(claim.attempt).start()
        directory.run(run.run_key).publish(record)
        claim.complete(Outcome.COMPLETED, 1.0, None)
    metrics, statuses = sent()
    assert statuses == ["RUNNING"] * 2
    assert not any("task_score" in name for name in metrics)
    scores = [(run.arm, run.seed, 0.1 * n) for n, run in enumerate(plan.finetuning_runs)]
    for run, (*_, score) in zip(plan.finetuning_runs, scores, strict=True):
        record = new_record(plan, run, 0, Outcome.COMPLETED)
        told = record.model_copy(update={"summary": {TASK_SCORE: score}})
        directory.run(run.run_key).attempt(0).start()
        directory.run(run.run_key).publish(told)
    metrics, statuses = sent()
    assert statuses == ["FINISHED"] * 2
    for arm in ("pretrained=on", "pretrained=off"):
        mean = statistics.fmean(score for own, _, score in scores if own == arm)
        name = f"aggregate/task_score/easy/{arm.replace('=', ' ')}"
        assert metrics[name] == pytest.approx(mean)


def test_what_can_never_be_fine_tuned_keeps_nothing_open(tasks):
    training = {**STUDY["training"], "divergence_factor": 1.0001, "learning_rate": 0.5}
    plan, directory, _ = queue(tasks, **{**TWO_STAGES, "factors": {}, "training": training})
    work(directory, NONE)
    tracking = Tracking(default_tracking_uri(tasks))
    sync_study(tracking, plan, directory)
    study = tracking.open_study(plan, directory.path)
    assert tracking.client.get_run(study.study_run_id).info.status == "FINISHED"


def test_a_fine_tuning_that_was_sent_first_finds_its_parent_later(tasks):
    plan, directory, _ = queue(tasks, **TWO_STAGES)
    uri = default_tracking_uri(tasks)
    work(directory, NONE)
    first = plan.model_copy(update={"runs": ()})
    sync_study(Tracking(uri), first, directory)
    sync_study(Tracking(uri), plan, directory)
    tracking = Tracking(uri)
    study = tracking.open_study(plan, directory.path)
    on = study.runs[by_arm(plan)["pretrained=on"].run_key]
    parent = study.runs[plan.runs[0].run_key]
    run = tracking.client.get_run(on.info.run_id)
    assert run.data.tags["mlflow.parentRunId"] == parent.info.run_id


def test_it_is_shown_by_its_name(tasks, capsys):
    plan, directory, _ = queue(tasks, **TWO_STAGES)
    work(directory, NONE)
    assert main(["show", "tiny/base/0+easy+pretrained=off", "--home", str(tasks)]) == 0
    printed = capsys.readouterr().out
    assert "final task score" in printed
    assert by_arm(plan)["pretrained=off"].run_key in printed


def test_a_plan_and_a_pre_flight_tell_of_it(tasks, capsys):
    queue(tasks, **TWO_STAGES)
    study = str(tasks / "study.yaml")
    assert main(["plan", study, "--home", str(tasks)]) == 0
    assert "2 runs fine-tune on easy, pretrained=on and pretrained=off" in capsys.readouterr().out
    assert main(["check", study, "--home", str(tasks)]) == 0
    assert "easy: 24 examples to train on, 24 to score" in capsys.readouterr().out


def test_a_malformed_row_stops_before_anything_runs(tasks, capsys):
    queue(tasks, **TWO_STAGES)
    with (tasks / "task" / "test.tsv").open("a") as file:
        file.write("no label\n")
    assert main(["check", str(tasks / "study.yaml"), "--home", str(tasks)]) == 2
    assert "test.tsv:25" in capsys.readouterr().err
