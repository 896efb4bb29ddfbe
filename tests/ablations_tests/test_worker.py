"""One worker in this process, and everything that may happen to its runs."""

from __future__ import annotations

import errno
import os
import signal
import time

import pytest
import torch

import ablations.attempt
from ablations.claims import Failure
from ablations.driver import Driver, RunSettings
from ablations.ledger import owner_prefix
from ablations.listing import statuses_of
from ablations.metrics_file import MetricsFile
from ablations.run_status import MAX_ATTEMPTS, RunState
from ablations.tracking_store import NONE
from ablations.worker import UNFIT, Worker, WorkerSettings
from lightning_modules.diagnostics.suite import definitions_of
from studies.records import Outcome
from tests.ablations_tests.tiny_studies import (
    STUDY,
    backdate,
    calling_at,
    checkpoints,
    fragile_runs,
    keys_of,
    numbers,
    queue,
    run,
    states,
    trials,
    work,
)

"""A tracking store that nobody can open, and that says so at once."""
ONE_RUN = {"factors": {}, "seeds": 1}


class Crash(BaseException):
    """Stands for kill -9: nothing handles it."""


def crash(*_):
    raise Crash


def repair(plan, home):
    """What the next `ablate run` does first, when there is nothing left to train."""
    Driver(plan, RunSettings(home, NONE)).run(lambda _: None)


@pytest.fixture
def undisturbed(home, tmp_path_factory):
    """Numbers of the tiny study when nothing happens to it."""
    quiet = tmp_path_factory.mktemp("undisturbed")
    (quiet / "cache").symlink_to(home / "cache")
    plan, directory, _ = queue(quiet)
    work(directory, NONE)
    return numbers(plan, directory)


def test_runs_survive_every_way_of_stopping_with_the_same_numbers(home, undisturbed):
    plan, directory, ledger = queue(home)
    stop = lambda: os.kill(os.getpid(), signal.SIGTERM)  # noqa: E731
    with calling_at(10, stop):
        work(directory, NONE)  # asked to stop
    assert states(plan, directory) == ["waiting"] * 4
    assert trials(directory)[0]["released"].startswith("interrupted at step 1")
    with calling_at(15, crash), pytest.raises(Crash):
        work(directory, NONE)  # killed
    ledger.fail_attempts_of(owner_prefix())
    ledger.reconcile(keys_of(plan))
    with calling_at(20, lambda: ledger.fail_attempts_of(owner_prefix())):
        work(directory, NONE)  # presumed dead, while it lives
    ledger.reconcile(keys_of(plan))
    work(directory, NONE)
    assert states(plan, directory) == ["completed"] * 4
    assert numbers(plan, directory) == undisturbed
    assert checkpoints(directory) == []


def test_the_wall_time_of_a_run_is_of_all_its_attempts(home):
    plan, directory, ledger = queue(home, **ONE_RUN)
    [key] = keys_of(plan)
    with calling_at(10, crash), pytest.raises(Crash):
        work(directory, NONE)
    ledger.fail_attempts_of(owner_prefix())
    ledger.reconcile([key])
    backdate(directory.run(key).attempts()[0], 3600)
    work(directory, NONE)
    assert 3600 < directory.run(key).record().wall_time_s < 3700


@pytest.mark.parametrize("step", [5, 30])  # in the middle, and at the end
def test_a_fenced_worker_stops_and_leaves_nothing(home, monkeypatch, step):
    monkeypatch.setattr("ablations.claims.BEAT_S", 0.01)
    plan, directory, ledger = queue(home, **ONE_RUN)

    others = []

    def give_to_another():
        ledger.fail_attempts_of(owner_prefix())
        ledger.reconcile(keys_of(plan))
        others.append(ledger.claim(keys_of(plan)))

    with calling_at(step, give_to_another):
        work(directory, NONE)
    assert [(t["state"], t.get("outcome")) for t in trials(directory)] == [
        ("FAIL", None),
        ("RUNNING", None),
    ]
    run = directory.run(keys_of(plan)[0])
    assert run.record() is None
    assert not any(attempt.has_weights for attempt in run.attempts())
    others[0].release("the test is over")


def test_a_worker_that_dies_before_publishing_loses_nothing(home, undisturbed, monkeypatch):
    plan, directory, _ = queue(home)
    finish = ablations.attempt.finish
    monkeypatch.setattr(ablations.attempt, "finish", crash)
    for _ in plan.runs:
        with pytest.raises(Crash):
            work(directory, NONE)
    monkeypatch.setattr(ablations.attempt, "finish", finish)
    assert states(plan, directory) == ["completed"] * 4
    assert [directory.run(key).record() for key in keys_of(plan)] == [None] * 4
    repair(plan, home)
    assert numbers(plan, directory) == undisturbed
    assert len(trials(directory)) == 4
    assert checkpoints(directory) == []
    lost = directory.run(keys_of(plan)[0]).history_path
    lost.unlink()
    repair(plan, home)
    assert lost.exists()


def test_a_record_that_cannot_be_written_does_not_turn_a_run_into_a_failure(
    home, monkeypatch, caplog
):
    plan, directory, _ = queue(home, **ONE_RUN)
    finish = ablations.attempt.finish

    def disk_full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(ablations.attempt, "finish", disk_full)
    work(directory, NONE)
    assert "could not be published: [Errno 28]" in caplog.text
    monkeypatch.setattr(ablations.attempt, "finish", finish)
    repair(plan, home)
    assert directory.run(keys_of(plan)[0]).record().outcome is Outcome.COMPLETED


def test_a_run_whose_rows_cannot_be_written_does_not_complete_without_them(home, monkeypatch):
    plan, directory, _ = queue(home, **ONE_RUN)

    def disk_full(_):
        raise OSError(errno.ENOSPC, "No space left on device")

    run = directory.run(keys_of(plan)[0])
    with monkeypatch.context() as patch:
        patch.setattr(MetricsFile, "_write_pending", disk_full)
        for _ in range(MAX_ATTEMPTS[Failure.DISK]):
            assert states(plan, directory) == ["waiting"]  # on another node it may go well
            assert run.record() is None
            assert work(directory, NONE) == UNFIT
    status = statuses_of(plan, directory)[run.run_key]
    assert (status.state, "No space left" in status.error) == (RunState.FAILED, True)
    assert run.record().outcome is Outcome.FAILED
    assert run.attempt(0).definitions() == definitions_of(plan.study.diagnostics.enabled)


def test_a_failing_run_keeps_its_error_and_a_retry_goes_on_from_its_checkpoint(home):
    switch = home / "switch"
    switch.touch()
    plan, directory, ledger = queue(home, **fragile_runs(switch), seeds=3)
    work(directory, NONE)
    assert states(plan, directory) == ["completed", "completed", "failed"]
    broken = directory.run(next(r.run_key for r in plan.runs if r.seed == 1))
    assert broken.record().error == "RuntimeError: the scratch disk went away"
    attempt = broken.attempt(broken.record().attempt)
    assert "fragile_model.py" in (attempt.path / "error.txt").read_text()
    assert 0 < broken.record().wall_time_s < 600
    backdate(attempt, 3600)
    assert statuses_of(plan, directory)[broken.run_key].error == broken.record().error

    switch.unlink()
    ledger.reconcile(keys_of(plan))
    work(directory, NONE)
    assert states(plan, directory) == ["completed", "completed", "failed"]  # nobody asked
    ledger.reconcile(keys_of(plan), retry_failed=True)
    work(directory, NONE)
    assert states(plan, directory) == ["completed"] * 3
    record = broken.record()
    assert (record.outcome, record.error, record.attempt) == (Outcome.COMPLETED, None, 3)
    assert record.wall_time_s > 3600
    steps = [row.step for row in broken.attempt(3).read_metrics() if "train/loss" in row.values]
    assert steps == [1, 5, 10, 15, 20, 25, 30]
    assert broken.attempt(3).read_metrics()[:3] == attempt.read_metrics()[:3]
    assert checkpoints(directory) == []


def test_a_diverging_run_is_a_result(home):
    training = {**STUDY["training"], "learning_rate": 1e4, "gradient_clip_norm": None}
    plan, directory, _ = queue(home, **{**ONE_RUN, "training": training})
    work(directory, NONE)
    assert states(plan, directory) == ["diverged"]
    record = directory.run(keys_of(plan)[0]).record()
    assert record.outcome is Outcome.DIVERGED
    assert record.summary["summary/diverged_at_step"] >= 1
    assert record.error is None
    assert numbers(plan, directory)[keys_of(plan)[0]][2], "the history is kept"
    assert checkpoints(directory) == []


def test_a_worker_whose_parent_is_gone_trains_nothing(home):
    plan, directory, _ = queue(home, **ONE_RUN)
    run(Worker(WorkerSettings(home, "tiny", NONE, parent=os.getpid())))
    assert states(plan, directory) == ["waiting"]


def test_a_long_plan_is_queued_bit_by_bit_and_trained_to_its_end(home, monkeypatch):
    monkeypatch.setattr("ablations.ledger.QUEUE_AHEAD", 1)
    plan, directory, _ = queue(home)
    assert states(plan, directory) == ["unqueued"] * 3 + ["waiting"]
    assert work(directory, NONE) == 0
    assert states(plan, directory) == ["completed"] * 4
    assert [trial["run_key"] for trial in trials(directory)] == keys_of(plan)


def test_a_cancelled_study_is_given_back_and_goes_on_once_it_is_taken_up(home, monkeypatch):
    plan, directory, ledger = queue(home, **ONE_RUN)

    def cancel():
        ledger.cancel()
        time.sleep(0.5)  # some beats

    with calling_at(5, cancel), monkeypatch.context() as patch:
        patch.setattr("ablations.claims.BEAT_S", 0.01)
        assert work(directory, NONE) == 0
    assert states(plan, directory) == ["waiting"]
    step = int(trials(directory)[0]["released"].removeprefix("interrupted at step "))
    assert work(directory, NONE) == 0  # and claims nothing
    assert len(trials(directory)) == 2
    ledger.take_up()
    assert work(directory, NONE) == 0
    assert states(plan, directory) == ["completed"]
    assert trials(directory)[1]["pulse"]["began_at"] == step


def test_an_attempt_that_is_retried_publishes_no_record(home, monkeypatch):
    plan, directory, _ = queue(home, **ONE_RUN)
    memory = iter([torch.cuda.OutOfMemoryError("CUDA out of memory")] * 2)
    monkeypatch.setattr("lightning_modules.training.train_run", lambda *_, **__: raise_(memory))
    run = directory.run(keys_of(plan)[0])
    work(directory, NONE)
    assert states(plan, directory) == ["failed"]
    assert [trial["kind"] for trial in trials(directory)] == ["out_of_memory"] * 2
    assert [attempt.record().outcome for attempt in run.attempts()] == [Outcome.FAILED] * 2
    assert (run.record().attempt, run.record().error) == (
        1,
        "OutOfMemoryError: CUDA out of memory",
    )


def raise_(errors):
    raise next(errors)
