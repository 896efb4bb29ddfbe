from __future__ import annotations

import logging
import os
import signal
import socket
import sqlite3
import threading
import time

import filelock
import pytest
from mlflow.tracking import MlflowClient

import ablations.publishing
from ablations.ledger import owner_prefix
from ablations.metrics_file import MetricsFile
from ablations.publishing import PublishingThread, RunPublisher, is_tracked, sync_study
from ablations.run_directory import RunDirectory
from ablations.tracking import Tracking
from ablations.tracking_store import default_tracking_uri, sqlite_path
from lightning_modules.checkpoints import checkpoint_path
from lightning_modules.saving import Saver
from studies.diagnostics import TAPS
from studies.execution import ExecutionConfig
from studies.records import Outcome
from tests.ablations_tests.tiny_studies import calling_at, keys_of, queue, states, work
from tests.waiting import wait_until

SENT = ExecutionConfig().tracked_taps


class Publisher:
    """One that sends in so many calls."""

    def __init__(self, calls=1, error=None):
        self.left, self.error, self.done = calls, error, False

    def advance(self, tracking, study):
        if self.error:
            raise self.error
        self.left -= 1
        self.done = self.left <= 0


@pytest.fixture
def start(monkeypatch):
    monkeypatch.setattr(ablations.publishing, "INTERVAL_S", 0.01)
    monkeypatch.setattr(ablations.publishing, "AWAY_INTERVAL_S", 0.01)
    threads = []

    def start(open_tracking, *publishers):
        thread = PublishingThread(open_tracking)
        for publisher in publishers:
            thread.add(publisher)
        thread.start()
        threads.append(thread)
        return thread

    yield start
    for thread in threads:
        thread.close(10)


def there():
    return None, None


def away():
    raise ConnectionError("refused")


@pytest.mark.parametrize(
    ("name", "tracked"),
    [
        ("train/loss", True),
        ("summary/val_loss", True),
        ("diagnostics/overhead_percent", True),
        ("gradient_norm/total", True),
        ("gradient_norm/feed_forward", True),
        ("update_ratio/block_02", True),
        ("ics_l2/head", True),
        ("activation_rms/residual_04", True),
        ("activation_rms/hidden_00", False),
        ("activation_drift_normalized/feed_forward_output_11", False),
        ("activation_peak/final_norm_00", False),
        ("batch_norm_mean_distance/attention_norm_00", False),
        ("batch_norm/loss_gap", True),
        ("my_own/number_03", True),
    ],
)
def test_of_the_taps_the_store_is_sent_those_that_are_asked_for(name, tracked):
    assert is_tracked(name, ("residual",)) is tracked
    assert is_tracked(name, tuple(TAPS))


def test_what_is_left_is_sent_at_the_end(start):
    publishers = [Publisher(1), Publisher(3)]
    assert start(there, *publishers).close(30)
    assert all(publisher.done for publisher in publishers)


def test_without_a_run_the_store_is_not_opened(start):
    opened = []
    assert start(lambda: opened.append(1)).close(30)
    assert opened == []


def test_a_run_that_cannot_be_sent_holds_up_no_other(start):
    broken, fine = Publisher(error=ValueError("a bad parameter")), Publisher()
    thread = start(there, broken, fine)
    assert not thread.close(30)
    assert fine.done
    thread.join(30)
    assert not thread.is_alive()


def test_nobody_waits_for_a_store_that_is_known_to_be_away(start, caplog):
    calls, blocked = [], threading.Event()

    def away_then_hanging():
        calls.append(1)
        if len(calls) < 3:
            away()
        blocked.set()
        threading.Event().wait(20)  # a server that takes the call and never answers

    with caplog.at_level(logging.WARNING):
        thread = start(away_then_hanging, Publisher())
        assert blocked.wait(30)
        started = time.monotonic()
        assert not thread.close(15)
    assert time.monotonic() - started < 10
    assert caplog.text.count("nothing reaches the tracking store (refused)") == 1


def test_a_store_that_comes_back_gets_everything(start):
    answers = iter([away, away, there])
    publisher = Publisher()
    thread = start(lambda: next(answers)(), publisher)
    wait_until(lambda: publisher.done, "it has sent")
    assert thread.close(30)


def test_an_abandoned_run_is_sent_no_more(start):
    publisher = Publisher(error=AssertionError("sent"))
    publisher.done = True
    assert start(there, publisher).close(30)


def closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def tags_and_status(uri, plan) -> dict[str, tuple[str, str, str]]:
    """Run key to status, outcome and attempt in the store."""
    client = MlflowClient(tracking_uri=uri)
    experiment = client.get_experiment_by_name(plan.study.name)
    runs = client.search_runs([experiment.experiment_id], "tags.kind = 'run'")
    return {
        r.data.tags["run_key"]: (r.info.status, r.data.tags["outcome"], r.data.tags["attempt"])
        for r in runs
    }


def metric_rows(uri, run_key) -> set[tuple[str, int, float]]:
    with sqlite3.connect(sqlite_path(uri)) as connection:
        found = connection.execute(
            "SELECT m.key, m.step, m.value FROM metrics m JOIN tags t ON m.run_uuid = t.run_uuid "
            "WHERE t.key = 'run_key' AND t.value = ?",
            (run_key,),
        ).fetchall()
    connection.close()
    assert len(found) == len(set(found)), "a row was stored twice"
    return set(found)


def expected_rows(run: RunDirectory, attempt: int) -> set[tuple[str, int, float]]:
    rows = run.attempt(attempt).read_metrics()
    record = run.record()
    summary = {(k, 0, v) for k, v in record.summary.items()} if record else set()
    sent = {(k, row.step, v) for row in rows for k, v in row.values.items() if is_tracked(k, SENT)}
    return sent | summary


def test_a_dead_server_costs_nothing_and_a_later_sync_sends_everything(home, monkeypatch, caplog):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    plan, directory, ledger = queue(home)
    first, second, *_ = keys_of(plan)
    dead, good = f"http://127.0.0.1:{closed_port()}", default_tracking_uri(home)
    with calling_at(10, lambda: os.kill(os.getpid(), signal.SIGTERM)):
        work(directory, dead)
    assert "nothing reaches the tracking store" in caplog.text
    assert states(plan, directory) == ["waiting"] * 4

    # an interrupted run: its rows are sent, and the store does not take it for a running one
    tracking = Tracking(good)
    assert sync_study(tracking, plan, directory) == 1
    assert tags_and_status(good, plan) == {first: ("KILLED", "missing", "0")}
    assert metric_rows(good, first) == expected_rows(directory.run(first), 0)
    assert sync_study(tracking, plan, directory) == 0

    # what a worker killed with -9 leaves in the store
    client = tracking.client
    run_id = tracking.open_study(plan, directory.path).runs[first].info.run_id
    client.update_run(run_id, status="RUNNING")
    client.set_tag(run_id, "outcome", "running")
    assert sync_study(tracking, plan, directory) == 1
    assert tags_and_status(good, plan)[first][0] == "KILLED"

    # a run that somebody trains now is left alone
    claim = ledger.claim([second])
    directory.run(second).attempt(claim.attempt).start()
    assert sync_study(tracking, plan, directory) == 0
    claim.release("stopped")

    ledger.reconcile(keys_of(plan))
    work(directory, dead)
    assert states(plan, directory) == ["completed"] * 4
    assert sync_study(tracking, plan, directory) == 4
    assert sync_study(tracking, plan, directory) == 0
    found = tags_and_status(good, plan)
    assert {(status, outcome) for status, outcome, _ in found.values()} == {
        ("FINISHED", "completed")
    }
    for key in keys_of(plan):
        attempt = directory.run(key).record().attempt
        assert found[key][2] == str(attempt)
        assert metric_rows(good, key) == expected_rows(directory.run(key), attempt)


def test_who_gave_a_run_back_does_not_end_it_in_the_store_for_who_goes_on(home):
    plan, directory, _ = queue(home, factors={}, seeds=1)
    (planned,) = plan.runs
    run, uri = directory.run(planned.run_key), default_tracking_uri(home)
    tracking = Tracking(uri)
    study = tracking.open_study(plan, directory.path)
    slow, heir = (RunPublisher(run, run.attempt(number), plan, planned) for number in (0, 1))
    for number, publisher in enumerate((slow, heir)):
        run.attempt(number).start()
        publisher.advance(tracking, study)
    slow.close(None)
    slow.advance(tracking, study)
    assert slow.done
    assert tags_and_status(uri, plan) == {planned.run_key: ("RUNNING", "running", "1")}
    heir.close(None)
    heir.advance(tracking, study)
    assert tags_and_status(uri, plan) == {planned.run_key: ("KILLED", "missing", "1")}


def test_a_process_that_is_suspended_while_it_opens_a_study_is_not_waited_for(
    home, monkeypatch, caplog, start
):
    monkeypatch.setattr("ablations.tracking_store.LOCK_PATIENCE_S", 0.1)
    plan, directory, _ = queue(home, factors={}, seeds=1)
    tracking = Tracking(default_tracking_uri(home))
    with filelock.FileLock(directory.path / ".tracking.lock"):
        thread = start(lambda: (tracking, tracking.open_study(plan, directory.path)), Publisher())
        wait_until(lambda: "nothing reaches the tracking store" in caplog.text, "it is told")
        assert not thread.close(10)
        thread.join(10)
        assert not thread.is_alive()


def test_a_run_that_failed_before_it_was_written_down_is_sent(home):
    from ablations.ended_runs import finish, new_record

    plan, directory, ledger = queue(home, factors={}, seeds=1)
    (planned,) = plan.runs
    claim = ledger.claim([planned.run_key])
    claim.fail("OSError: no space left on device")
    record = new_record(plan, planned, claim.attempt, Outcome.FAILED)
    run = directory.run(planned.run_key)
    finish(run, record.model_copy(update={"error": "OSError: no space left on device"}))
    assert not run.spec_path.exists()
    uri = default_tracking_uri(home)
    assert sync_study(Tracking(uri), plan, directory) == 1
    assert tags_and_status(uri, plan) == {planned.run_key: ("FAILED", "failed", "0")}

    # and it is no failure any more once a retry has completed
    ledger.reconcile(keys_of(plan), retry_failed=True)
    work(directory, uri)
    sync_study(Tracking(uri), plan, directory)
    assert tags_and_status(uri, plan) == {planned.run_key: ("FINISHED", "completed", "1")}
    (tracked,) = Tracking(uri).open_study(plan, directory.path).runs.values()
    assert "error" not in tracked.data.tags


class Lost(BaseException):
    """Stands for kill -9: nothing handles it."""


def steps_sent(uri, run_key):
    """Steps of the training loss in the store, each as often as it is there."""
    return sorted(step for key, step, _ in metric_rows(uri, run_key) if key == "train/loss")


@pytest.fixture
def sends_at_once(monkeypatch):
    monkeypatch.setattr(ablations.publishing, "INTERVAL_S", 0.01)
    monkeypatch.setattr("ablations.claims.BEAT_S", 0.01)


def test_while_a_run_trains_only_rows_up_to_a_confirmed_checkpoint_are_sent(home, sends_at_once):
    plan, directory, ledger = queue(home, factors={}, seeds=1)
    [planned] = plan.runs
    run, uri = directory.run(planned.run_key), default_tracking_uri(home)
    claim = ledger.claim([planned.run_key])
    attempt = run.attempt(claim.attempt)
    attempt.start()
    rows = MetricsFile(attempt.metrics_path)
    tracking = Tracking(uri)
    study = tracking.open_study(plan, directory.path)
    publisher = RunPublisher(run, attempt, plan, planned, claim)
    for step in (1, 5, 10):
        rows.write(step, {"train/loss": 5.0 - step / 10})
    publisher.advance(tracking, study)
    assert steps_sent(uri, planned.run_key) == []
    claim.begin(0, lambda: 5)
    wait_until(lambda: claim.confirmed == 5, "the checkpoint is confirmed")
    publisher.advance(tracking, study)
    assert steps_sent(uri, planned.run_key) == [1, 5]
    publisher.advance(tracking, study)
    assert steps_sent(uri, planned.run_key) == [1, 5]

    # given up for dead: whatever it saves from now on, another trains those steps again
    ledger.fail_attempts_of(owner_prefix())
    wait_until(lambda: claim.fenced, "the claim is lost")
    claim._saved_step = lambda: 10
    publisher.advance(tracking, study)
    publisher.abandon()
    assert start_and_close(uri, plan, directory, publisher)
    assert steps_sent(uri, planned.run_key) == [1, 5]


def start_and_close(uri, plan, directory, publisher):
    """Whether a publishing thread has nothing left to send of a run."""
    tracking = Tracking(uri)
    thread = PublishingThread(lambda: (tracking, tracking.open_study(plan, directory.path)))
    thread.add(publisher)
    thread.start()
    return thread.close(30)


def test_an_attempt_that_was_given_back_sends_rows_up_to_its_checkpoint(home):
    plan, directory, ledger = queue(home, factors={}, seeds=1)
    [planned] = plan.runs
    run, uri = directory.run(planned.run_key), default_tracking_uri(home)
    claim = ledger.claim([planned.run_key])
    attempt = run.attempt(claim.attempt)
    attempt.start()
    rows = MetricsFile(attempt.metrics_path)
    for step in (1, 5, 10):
        rows.write(step, {"train/loss": 1.0})
    checkpoint_path(attempt.path, 5).touch()
    publisher = RunPublisher(run, attempt, plan, planned, claim)
    claim.release("stopped")
    publisher.close(None)
    tracking = Tracking(uri)
    publisher.advance(tracking, tracking.open_study(plan, directory.path))
    assert publisher.done
    assert steps_sent(uri, planned.run_key) == [1, 5]


@pytest.fixture
def threads(monkeypatch):
    """Publishing threads, of which those of a worker that died in this process live on."""
    threads, begin = [], PublishingThread.start
    monkeypatch.setattr(PublishingThread, "start", lambda t: (threads.append(t), begin(t)))
    yield threads
    for thread in threads:
        for publisher in thread._publishers:
            publisher.abandon()
        thread.close(30)


def losses(attempt):
    """Step to training loss."""
    rows = (row for row in attempt.read_metrics() if "train/loss" in row.values)
    return {row.step: row.values["train/loss"] for row in rows}


def test_an_attempt_that_was_lost_and_its_heir_leave_every_step_once(
    home, monkeypatch, sends_at_once, threads
):
    """On a GPU the steps that are trained again come out a little different."""
    plan, directory, ledger = queue(home, factors={}, seeds=1)
    [key] = keys_of(plan)
    uri = default_tracking_uri(home)
    save, write, nudge = Saver.save, MetricsFile.write, [0.0]

    def save_each_10_steps(self, trainer):
        if trainer.global_step % 10 == 0:
            save(self, trainer)

    def write_nudged(self, step, values):
        write(self, step, {k: v + nudge[0] if k == "train/loss" else v for k, v in values.items()})

    monkeypatch.setattr(Saver, "save", save_each_10_steps)
    monkeypatch.setattr(MetricsFile, "write", write_nudged)

    def die():
        wait_until(lambda: steps_sent(uri, key) == [1, 5, 10], "what is confirmed is sent")
        raise Lost

    with calling_at(15, die), pytest.raises(Lost):
        work(directory, uri)
    lost = directory.run(key).attempt(0)
    assert lost.read_metrics()[-1].step == 15
    ledger.fail_attempts_of(owner_prefix())
    ledger.reconcile([key])
    nudge[0] = 0.25
    work(directory, uri)
    heir = directory.run(key).attempt(1)
    assert losses(heir)[10] == losses(lost)[10]
    assert losses(heir)[15] == pytest.approx(losses(lost)[15] + 0.25)
    assert steps_sent(uri, key) == [1, 5, 10, 15, 20, 25, 30]
    assert metric_rows(uri, key) == expected_rows(directory.run(key), 1)
    assert len(threads[0]._publishers) == 1  # the dead worker's, which sent nothing more
