"""What becomes of a run by how its attempts ended."""

from __future__ import annotations

import pytest
from optuna.trial import TrialState

import ablations.claims
from ablations.claims import Failure, Pulse
from ablations.ledger import Ledger, owner_prefix
from ablations.run_status import MAX_ATTEMPTS, RunState
from ablations.storages.sqlite import sqlite_url
from studies.records import Outcome
from tests.waiting import wait_until

KINDS = list(MAX_ATTEMPTS)


@pytest.fixture
def url(tmp_path):
    return sqlite_url(tmp_path / "ledger.db")


@pytest.fixture
def ledger(url):
    return Ledger(url, "study")


def state(ledger, key="a"):
    return ledger.statuses([key])[key].state


def fail_in(ledger, failure, key="a"):
    """One attempt that ends so; a worker that is lost says nothing itself."""
    ledger.reconcile([key])
    claim = ledger.claim([key])
    if failure is Failure.LOST:
        assert ledger.fail_attempts_of(owner_prefix()) == 1
    else:
        claim.fail(f"{failure} it was", failure)


def lose_after_saving(ledger, began_at, saved, monkeypatch):
    """An attempt that is lost once the ledger knows its newest checkpoint."""
    monkeypatch.setattr(ablations.claims, "BEAT_S", 0.01)
    ledger.reconcile(["a"])
    claim = ledger.claim(["a"])
    claim.begin(began_at, lambda: saved)
    wait_until(lambda: claim.confirmed == saved, "the ledger knows it")
    ledger.fail_attempts_of(owner_prefix())


def test_every_kind_of_failure_has_a_limit():
    assert set(MAX_ATTEMPTS) == set(Failure)


@pytest.mark.parametrize("failure", KINDS)
def test_a_run_fails_once_so_many_attempts_ended_in_one_way(ledger, failure):
    for _ in range(MAX_ATTEMPTS[failure]):
        ledger.reconcile(["a"])
        assert state(ledger) is RunState.WAITING
        fail_in(ledger, failure)
    ledger.reconcile(["a"])
    assert state(ledger) is RunState.FAILED
    assert ledger.claim(["a"]) is None
    told = ledger.failed_attempts(["a"])["a"]
    assert [attempt.failure for attempt in told] == [failure] * MAX_ATTEMPTS[failure]


def test_ways_of_failing_are_counted_apart(ledger):
    for failure in (Failure.OUT_OF_MEMORY, Failure.NODE, Failure.NODE, *[Failure.LOST] * 4):
        fail_in(ledger, failure)
    ledger.reconcile(["a"])
    assert state(ledger) is RunState.WAITING
    fail_in(ledger, Failure.NODE)
    status = ledger.statuses(["a"])["a"]
    assert (status.state, status.error, status.attempt) == (RunState.FAILED, "node it was", 7)


def test_an_attempt_that_saved_more_begins_the_count_of_lost_ones_anew(ledger, monkeypatch):
    for _ in range(MAX_ATTEMPTS[Failure.LOST] - 1):
        fail_in(ledger, Failure.LOST)
    lose_after_saving(ledger, 0, 10, monkeypatch)
    for _ in range(MAX_ATTEMPTS[Failure.LOST] - 1):
        fail_in(ledger, Failure.LOST)
    ledger.reconcile(["a"])
    assert state(ledger) is RunState.WAITING
    lose_after_saving(ledger, 10, 10, monkeypatch)  # with the checkpoint that it began with
    assert state(ledger) is RunState.FAILED


def test_lost_attempts_that_save_more_go_on_without_end(ledger, monkeypatch):
    for step in range(0, 10 * (MAX_ATTEMPTS[Failure.LOST] + 1), 10):
        lose_after_saving(ledger, step, step + 10, monkeypatch)
        ledger.reconcile(["a"])
        assert state(ledger) is RunState.WAITING


def test_progress_excuses_no_error_of_the_run_itself(ledger, monkeypatch):
    fail_in(ledger, Failure.OUT_OF_MEMORY)
    lose_after_saving(ledger, 0, 10, monkeypatch)
    fail_in(ledger, Failure.OUT_OF_MEMORY)
    assert state(ledger) is RunState.FAILED


def test_a_poisoned_run_keeps_no_other_from_its_end(ledger):
    keys = ["poisoned", "a", "b"]
    for _ in range(20):
        ledger.reconcile(keys)
        claim = ledger.claim(keys)
        if claim is None:
            break
        if claim.run_key == "poisoned":
            ledger.fail_attempts_of(owner_prefix())
        else:
            claim.complete(Outcome.COMPLETED, 1.0)
    assert [state(ledger, key) for key in keys] == ["failed", "completed", "completed"]
    assert len(ledger.failed_attempts(keys)["poisoned"]) == MAX_ATTEMPTS[Failure.LOST]


@pytest.mark.parametrize("failure", KINDS)
def test_a_retry_that_was_asked_for_has_all_attempts_anew(ledger, failure):
    for _ in range(MAX_ATTEMPTS[failure]):
        fail_in(ledger, failure)
    ledger.reconcile(["a"], retry_failed=True)
    for left in reversed(range(MAX_ATTEMPTS[failure])):
        fail_in(ledger, failure)
        ledger.reconcile(["a"])
        assert state(ledger) is (RunState.WAITING if left else RunState.FAILED)
    ledger.reconcile(["a"], retry_failed=True)
    ledger.claim(["a"]).complete(Outcome.COMPLETED, 1.0)
    ledger.reconcile(["a"], retry_failed=True)
    assert state(ledger) is RunState.COMPLETED
    assert ledger.claim(["a"]) is None


@pytest.mark.parametrize("failure", KINDS)
def test_a_run_that_was_queued_twice_has_no_attempt_more_than_allowed(ledger, url, failure):
    seen = Ledger(url, "study").statuses(["a"])
    ledger.reconcile(["a"])
    late = Ledger(url, "study")
    late.statuses = lambda keys, pruners: seen
    late.reconcile(["a"])
    assert len(ledger._look().open_trials(TrialState.WAITING)) == 2
    attempts = 0
    while (claim := ledger.claim(["a"])) is not None:
        attempts += 1
        if failure is Failure.LOST:
            ledger.fail_attempts_of(owner_prefix())
        else:
            claim.fail("broken", failure)
        ledger.reconcile(["a"])
    assert attempts == MAX_ATTEMPTS[failure]
    assert state(ledger) is RunState.FAILED


def test_what_a_dead_worker_died_of_is_told(ledger):
    ledger.reconcile(["a"])
    ledger.claim(["a"])
    ledger.fail_attempts_of(owner_prefix(), Failure.OUT_OF_MEMORY, "killed by the kernel")
    fail_in(ledger, Failure.OUT_OF_MEMORY)
    assert ledger.statuses(["a"])["a"].error == "out_of_memory it was"
    assert [attempt.why for attempt in ledger.failed_attempts(["a"])["a"]] == [
        "killed by the kernel",
        "out_of_memory it was",
    ]


def test_a_pulse_says_whether_the_next_attempt_begins_later():
    assert not Pulse(beat=3, step=9, began_at=5, saved=5).saved_more
    assert Pulse(beat=3, step=9, began_at=5, saved=8).saved_more
    assert Pulse.of({}) == Pulse()
