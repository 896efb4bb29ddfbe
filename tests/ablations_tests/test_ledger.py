from __future__ import annotations

import subprocess
import sys
import threading
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace

import pytest
import sqlalchemy
from optuna.trial import TrialState

import ablations.claims
import ablations.ledger
from ablations.claims import ASKED_EVERY, PULSE, Failure, Fenced, Pulse
from ablations.ledger import GRACE_S, Ledger, owner_prefix
from ablations.run_status import MAX_ATTEMPTS, RunState
from ablations.storages.sqlite import sqlite_url
from ablations.trial_index import RUN_KEY
from studies.records import Outcome
from tests.ablations_tests.queue_storages import STORAGES, new_url, pop_without_a_beat
from tests.waiting import wait_until

REPOSITORY = Path(__file__).parents[2]
KEYS = ["a", "b", "c"]


@pytest.fixture(params=STORAGES)
def url(request, tmp_path):
    return new_url(request, tmp_path)


@pytest.fixture
def ledger(url):
    return Ledger(url, "study")


@pytest.fixture
def clock(monkeypatch):
    """The observer's clock, moved by hand."""

    class Clock:
        now = 0.0

        def monotonic(self) -> float:
            return self.now

    clock = Clock()
    monkeypatch.setattr(ablations.ledger, "time", clock)
    return clock


def watch(ledger, clock, seconds, keys=KEYS):
    """Reconcile every second for a while, as a driver does."""
    for _ in range(int(seconds)):
        clock.now += 1
        ledger.reconcile(keys)


def state(ledger, key):
    return ledger.statuses([key])[key].state


def all_trials(ledger):
    return ledger.storage.get_all_trials(ledger._study_id)


def test_every_run_is_executed_once_by_processes_that_all_plan_and_claim(tmp_path, url):
    Ledger(url, "queue")
    runs, count = 30, 4
    command = [sys.executable, "-m", "tests.ablations_tests.queue_process"]
    processes = [
        subprocess.Popen(
            [*command, url, str(tmp_path), str(runs), str(count)],
            cwd=REPOSITORY,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(count)
    ]
    try:
        outputs = [p.communicate(timeout=120)[0] for p in processes]
    finally:
        for process in processes:
            process.kill()
            process.communicate()
    assert [p.returncode for p in processes] == [0] * count
    assert "".join(outputs) == ""
    executions = Counter((tmp_path / "executions").read_text().splitlines())
    assert executions == {f"run{index:02d}": 1 for index in range(runs)}
    assert len(all_trials(Ledger(url, "queue"))) == runs * count  # each queued every run


def test_a_run_that_was_queued_twice_is_trained_once(ledger, url):
    queue_twice(ledger, url)
    first = ledger.claim(["a"])
    assert ledger.claim(["a"]) is None
    assert state(ledger, "a") is RunState.RUNNING
    first.complete(Outcome.COMPLETED, 1.0)
    ledger.reconcile(["a"])
    assert ledger.claim(["a"]) is None
    assert state(ledger, "a") is RunState.COMPLETED


def test_a_run_that_was_queued_twice_and_fails_is_not_tried_again(ledger, url):
    queue_twice(ledger, url)
    ledger.claim(["a"]).fail("broken")
    assert ledger.claim(["a"]) is None
    ledger.reconcile(["a"])
    assert ledger.statuses(["a"])["a"].error == "broken"


def queue_twice(ledger, url, **options):
    """Two planners that look at the same moment and then both queue."""
    seen = Ledger(url, "study").statuses(["a"])
    ledger.reconcile(["a"], **options)
    late = Ledger(url, "study")
    late.statuses = lambda keys, pruners: seen
    late.reconcile(["a"], **options)
    assert len(ledger._look().open_trials(TrialState.WAITING)) == 2


def test_two_retries_asked_for_at_once_train_once(ledger, url):
    ledger.reconcile(["a"])
    ledger.claim(["a"]).fail("broken")
    queue_twice(ledger, url, retry_failed=True)
    ledger.claim(["a"]).fail("still broken")
    assert ledger.claim(["a"]) is None
    ledger.reconcile(["a"])
    assert ledger.statuses(["a"])["a"].error == "still broken"


def test_runs_are_claimed_in_the_order_of_the_plan(ledger):
    ledger.reconcile(KEYS)
    assert [ledger.claim(KEYS).run_key for _ in KEYS] == KEYS
    assert ledger.claim(KEYS) is None


def test_who_loses_runs_to_others_looks_further_down_and_tries_each_once(tmp_path, monkeypatch):
    keys = [f"run{number:02d}" for number in range(40)]
    ledger = Ledger(sqlite_url(tmp_path / "ledger.db"), "study")
    ledger.reconcile(keys)
    tried = []
    furthest = SimpleNamespace(randrange=lambda stop: stop - 1)
    monkeypatch.setattr(ablations.ledger, "UNSEEDED", furthest)
    monkeypatch.setattr(ledger, "_try_to_claim", lambda t: tried.append(t.user_attrs[RUN_KEY]))
    assert ledger.claim(keys) is None
    assert tried[:4] == ["run00", "run02", "run05", "run10"]
    assert sorted(tried) == keys


def test_runs_of_an_older_plan_are_left_alone(ledger):
    ledger.reconcile(["old", "a"])
    assert ledger.claim(["a"]).run_key == "a"
    assert ledger.claim(["a"]) is None
    assert state(ledger, "old") is RunState.WAITING


def test_a_completed_run_stays_completed(ledger):
    ledger.reconcile(["a", "b"])
    ledger.claim(["a"]).complete(Outcome.COMPLETED, 1.5)
    ledger.claim(["b"]).complete(Outcome.DIVERGED, 9.0)
    ledger.reconcile(["a", "b"], retry_failed=True)
    assert [state(ledger, key) for key in "ab"] == [RunState.COMPLETED, RunState.DIVERGED]
    assert ledger.claim(["a", "b"]) is None


def test_a_failed_run_waits_for_retry_failed_and_keeps_its_error(ledger):
    ledger.reconcile(["a"])
    ledger.claim(["a"]).fail("out of luck")
    ledger.reconcile(["a"])
    status = ledger.statuses(["a"])["a"]
    assert (status.state, status.error, status.attempt) == (RunState.FAILED, "out of luck", 0)
    ledger.reconcile(["a"], retry_failed=True)
    ledger.claim(["a"]).complete(Outcome.COMPLETED, 1.0)
    assert state(ledger, "a") is RunState.COMPLETED


def test_a_retry_that_is_given_back_is_queued_again_without_being_asked(ledger):
    ledger.reconcile(["a"])
    ledger.claim(["a"]).fail("broken")
    ledger.reconcile(["a"], retry_failed=True)
    ledger.claim(["a"]).release("interrupted")
    ledger.reconcile(["a"])
    ledger.claim(["a"]).complete(Outcome.COMPLETED, 1.0)
    assert state(ledger, "a") is RunState.COMPLETED


def test_a_released_run_is_queued_again_at_once_however_often(ledger):
    for _ in range(MAX_ATTEMPTS[Failure.LOST] + 1):
        ledger.reconcile(["a"])
        ledger.claim(["a"]).release("interrupted at step 3")
    ledger.reconcile(["a"])
    assert state(ledger, "a") is RunState.WAITING


def test_a_run_whose_workers_die_again_and_again_fails(ledger):
    for lost in range(MAX_ATTEMPTS[Failure.LOST]):
        ledger.reconcile(["a"])
        assert state(ledger, "a") is RunState.WAITING, lost
        ledger.claim(["a"])
        assert ledger.fail_attempts_of(owner_prefix()) == 1
    ledger.reconcile(["a"])
    status = ledger.statuses(["a"])["a"]
    assert status.state is RunState.FAILED
    assert "died 5 times" in status.error
    ledger.reconcile(["a"], retry_failed=True)
    ledger.claim(["a"])
    ledger.fail_attempts_of(owner_prefix())
    ledger.reconcile(["a"])
    assert state(ledger, "a") is RunState.WAITING  # the count began anew


def test_a_worker_that_was_killed_on_purpose_is_not_held_against_its_run(ledger):
    for _ in range(MAX_ATTEMPTS[Failure.LOST] + 1):
        ledger.reconcile(["a"])
        ledger.claim(["a"])
        ledger.fail_attempts_of(owner_prefix(), None, "killed while stopping")
    ledger.reconcile(["a"])
    assert state(ledger, "a") is RunState.WAITING


def test_only_attempts_of_the_dead_worker_are_given_up(ledger):
    ledger.reconcile(["a"])
    ledger.claim(["a"])
    assert ledger.fail_attempts_of(owner_prefix(1)) == 0
    assert state(ledger, "a") is RunState.RUNNING


def test_a_worker_killed_before_its_first_beat_is_found_out(ledger, clock):
    ledger.reconcile(["a"])
    pop_without_a_beat(ledger)
    watch(ledger, clock, GRACE_S)
    assert state(ledger, "a") is RunState.RUNNING
    watch(ledger, clock, 3)
    assert state(ledger, "a") is RunState.WAITING


def test_a_beating_attempt_is_never_given_up(ledger, clock):
    ledger.reconcile(["a"])
    trial = pop_without_a_beat(ledger)
    for beat in range(6):
        ledger._storage.set_trial_user_attr(trial._trial_id, PULSE, asdict(Pulse(beat)))
        watch(ledger, clock, GRACE_S - 2)
    assert state(ledger, "a") is RunState.RUNNING


def test_silence_while_nobody_looked_counts_for_nothing(ledger, clock):
    ledger.reconcile(["a"])
    pop_without_a_beat(ledger)
    watch(ledger, clock, GRACE_S - 2)
    clock.now += 10 * GRACE_S  # the observer was stopped, or its database was away
    watch(ledger, clock, GRACE_S - 1)
    assert state(ledger, "a") is RunState.RUNNING
    watch(ledger, clock, 4)
    assert state(ledger, "a") is RunState.WAITING


@pytest.mark.parametrize(
    "end",
    [
        lambda claim: claim.complete(Outcome.COMPLETED, 1.0),
        lambda claim: claim.fail("late"),
        lambda claim: claim.release("late"),
    ],
    ids=["complete", "fail", "release"],
)
def test_an_attempt_given_up_for_dead_can_change_nothing(ledger, end):
    ledger.reconcile(["a"])
    zombie = ledger.claim(["a"])
    zombie._ended.set()  # frozen: it beats no more
    zombie._thread.join()
    ledger.fail_attempts_of(owner_prefix())
    ledger.reconcile(["a"])
    heir = ledger.claim(["a"])
    with pytest.raises(Fenced):
        end(zombie)
    assert ledger.statuses(["a"])["a"].attempt == heir.attempt == 1
    heir.complete(Outcome.DIVERGED, 2.0)
    assert state(ledger, "a") is RunState.DIVERGED


def test_a_beating_attempt_learns_that_it_was_given_up(ledger, monkeypatch):
    monkeypatch.setattr(ablations.claims, "BEAT_S", 0.01)
    ledger.reconcile(["a"])
    claim = ledger.claim(["a"])
    ledger.fail_attempts_of(owner_prefix())
    claim._thread.join(timeout=30)
    assert claim.fenced


def test_an_answer_that_was_lost_on_the_way_is_no_fence(ledger, monkeypatch):
    ledger.reconcile(["a"])
    claim = ledger.claim(["a"])
    commit = ledger._storage.set_trial_state_values
    answers = iter([ConnectionError("the answer was lost")])

    def lossy(*arguments):
        commit(*arguments)
        for error in answers:
            raise error

    monkeypatch.setattr(ledger._storage, "set_trial_state_values", lossy)
    claim.complete(Outcome.COMPLETED, 1.0)
    assert state(ledger, "a") is RunState.COMPLETED


def test_beats_and_steps_go_on_after_the_database_was_away(ledger, monkeypatch):
    monkeypatch.setattr(ablations.claims, "BEAT_S", 0.01)
    ledger.reconcile(["a"])
    claim = ledger.claim(["a"])
    write, failures, told = ledger._storage.set_trial_user_attr, [], threading.Event()

    def away_for_a_while(trial_id, key, value):
        if len(failures) < 5:
            failures.append(key)
            raise sqlalchemy.exc.OperationalError("UPDATE", None, Exception("locked"))
        write(trial_id, key, value)
        if key == PULSE and value["step"] == 17:
            told.set()

    monkeypatch.setattr(ledger._storage, "set_trial_user_attr", away_for_a_while)
    claim.step = 17
    assert told.wait(30)
    assert len(failures) == 5
    assert ledger.statuses(["a"])["a"].step == 17
    claim.complete(Outcome.COMPLETED, 1.0)
    assert not claim.fenced


def test_a_ledger_that_is_only_read_needs_no_second_study(ledger, url):
    ledger.reconcile(["a"])
    assert Ledger(url, "study", existing=True).statuses(["a"])["a"].state is RunState.WAITING


def test_a_pruned_run_has_ended_until_somebody_asks_for_it_again(ledger):
    ledger.reconcile(["a", "a"])
    ledger.reconcile(["a"])
    ledger.claim(["a"]).complete(Outcome.PRUNED, 3.0, "median")
    assert state(ledger, "a") is RunState.PRUNED
    assert RunState.PRUNED.is_ended()
    ledger.reconcile(["a"], retry_failed=True)
    assert ledger.claim(["a"]) is None
    same, again = {"pruners": {"a": "median"}}, {"pruners": {"a": "threshold"}}
    assert ledger.statuses(["a"], **same)["a"].state is RunState.PRUNED
    for pruner in ("threshold", None):
        status = ledger.statuses(["a"], pruners={"a": pruner})["a"]
        assert status.state is RunState.UNQUEUED
    for _ in range(2):
        ledger.reconcile(["a"], **again)
    ledger.claim(["a"]).release("stopped")
    ledger.reconcile(["a"])  # whoever queues it now need not know why
    ledger.claim(["a"]).complete(Outcome.COMPLETED, 1.0)
    assert state(ledger, "a") is RunState.COMPLETED
    assert len(all_trials(ledger)) == 3


def test_a_run_that_was_queued_twice_is_pruned_once(ledger, url):
    ledger.reconcile(["a"])
    first = ledger.claim(["a"])
    template = all_trials(ledger)[0]
    template.state = TrialState.WAITING
    ledger.storage.create_new_trial(ledger._study_id, template)
    first.complete(Outcome.PRUNED, 3.0)
    assert ledger.claim(["a"]) is None
    assert state(ledger, "a") is RunState.PRUNED


def test_a_long_plan_waits_bit_by_bit_in_its_order(ledger, monkeypatch):
    monkeypatch.setattr(ablations.ledger, "QUEUE_AHEAD", 2)
    keys = [f"run{index}" for index in range(5)]
    trained = []
    while True:
        ledger.reconcile(keys)
        waiting = [key for key in keys if state(ledger, key) is RunState.WAITING]
        assert waiting == keys[len(trained) : len(trained) + 2]
        claim = ledger.claim(keys)
        if claim is None:
            break
        trained.append(claim.run_key)
        claim.complete(Outcome.COMPLETED, 1.0)
    assert trained == keys


def test_a_failed_run_that_is_retried_does_not_wait_for_room(ledger, monkeypatch):
    ledger.reconcile(["a"])
    ledger.claim(["a"]).fail("broken")
    monkeypatch.setattr(ablations.ledger, "QUEUE_AHEAD", 1)
    ledger.reconcile(["b", "a"], retry_failed=True)
    assert [state(ledger, key) for key in "ab"] == [RunState.WAITING, RunState.WAITING]


def last_pulse(ledger):
    return Pulse.of(all_trials(ledger)[-1].user_attrs)


def test_all_workers_are_asked_to_end_until_the_study_is_taken_up(ledger, url, monkeypatch):
    monkeypatch.setattr(ablations.claims, "BEAT_S", 0.01)
    ledger.reconcile(["a"])
    claim = ledger.claim(["a"])
    other = Ledger(url, "study", existing=True)
    assert not other.is_cancelled()
    other.cancel()
    assert ledger.is_cancelled()
    wait_until(lambda: claim.is_over, "it is asked to end")
    assert not claim.fenced
    claim.release("asked to end")
    other.take_up()
    assert not ledger.is_cancelled()
    ledger.reconcile(["a"])
    again = ledger.claim(["a"])
    wait_until(lambda: last_pulse(ledger).beat > 2 * ASKED_EVERY, "it has looked twice")
    assert not again.is_over
    again.complete(Outcome.COMPLETED, 1.0)


def test_only_a_checkpoint_that_the_ledger_was_told_of_is_confirmed(ledger, monkeypatch):
    monkeypatch.setattr(ablations.claims, "BEAT_S", 0.01)
    ledger.reconcile(["a"])
    claim = ledger.claim(["a"])
    saved = [5]
    claim.begin(5, lambda: saved[0])
    assert claim.confirmed == 5
    saved[0] = 9
    wait_until(lambda: claim.confirmed == 9, "it is told of the newer one")
    pulse = last_pulse(ledger)
    assert (pulse.began_at, pulse.saved) == (5, 9)
    ledger.fail_attempts_of(owner_prefix())
    saved[0] = 12
    wait_until(lambda: claim.fenced, "the claim is lost")
    assert claim.confirmed == 9
