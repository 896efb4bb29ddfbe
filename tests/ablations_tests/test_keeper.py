"""Keeping a study going while others keep it too, or seem to."""

from __future__ import annotations

import threading

import filelock
import pytest

import ablations.keeper
import ablations.search
from ablations.ended_runs import new_record
from ablations.keeper import StudyKeeper
from ablations.search import SearchKeeper
from ablations.tracking_store import NONE
from studies.records import Outcome
from tests.ablations_tests.tiny_studies import keys_of, queue, states, work

ONE_RUN = {"factors": {}, "seeds": 1}
RATE = "training.learning_rate"
SWEEP = {"search": {"kind": "sweep", "values": {RATE: [1e-3, 3e-3]}, "seeds": 1, "extend": 0}}


@pytest.fixture
def hold():
    """Holds a lock as another process does; may be let go by another thread."""
    held = []

    def hold(path):
        lock = filelock.FileLock(path, thread_local=False)
        lock.acquire()
        held.append(lock)
        return lock

    yield hold
    for lock in held:
        lock.release(force=True)


def given_back(home, **changes):
    """A study whose one run was given back, so that nothing waits."""
    plan, directory, ledger = queue(home, **{**ONE_RUN, **changes})
    ledger.claim(keys_of(plan)).release("stopped")
    assert states(plan, directory) == ["unqueued"] or changes
    return plan, directory, ledger


def test_a_process_that_is_suspended_while_it_keeps_a_study_holds_nobody_up(
    home, hold, monkeypatch
):
    monkeypatch.setattr(ablations.keeper, "MOST_REFUSALS", 3)
    plan, directory, ledger = given_back(home)
    hold(directory.path / ".keeper.lock")
    keeper = StudyKeeper(directory, ledger, plan)
    assert [keeper.keep(), keeper.keep()] == [False, False]
    assert states(plan, directory) == ["unqueued"]
    assert keeper.keep()
    assert states(plan, directory) == ["waiting"]
    assert not keeper.keep()  # and the others are spared again


def test_a_worker_stays_while_another_process_may_be_queueing(home, hold):
    plan, directory, _ = given_back(home)
    lock = hold(directory.path / ".keeper.lock")
    timer = threading.Timer(1.5, lock.release)
    timer.start()
    work(directory, NONE)
    timer.join()
    assert states(plan, directory) == ["completed"]


def test_a_plan_without_a_search_is_read_whoever_holds_it(home, hold):
    plan, directory, _ = queue(home, **ONE_RUN)
    hold(directory.path / ".plan.lock")
    assert SearchKeeper(directory).go_on().run_keys == plan.run_keys


def test_a_search_waits_for_a_process_that_is_suspended_and_nothing_else_does(
    home, hold, monkeypatch, caplog
):
    monkeypatch.setattr(ablations.search, "LOCK_PATIENCE_S", 0.1)
    plan, directory, ledger = given_back(home, protocol=SWEEP)
    hold(directory.path / ".plan.lock")
    StudyKeeper(directory, ledger, plan).keep()
    assert "the search waits: another process holds" in caplog.text
    assert set(states(plan, directory)) == {"waiting"}


def test_a_search_goes_on_with_a_run_whose_worker_died_before_it_published(home):
    plan, directory, ledger = queue(home, **ONE_RUN, protocol=SWEEP)
    first, second, *_ = plan.runs
    dead, alive = (ledger.claim([run.run_key]) for run in (first, second))
    record = new_record(plan, first, dead.attempt, Outcome.COMPLETED)
    attempt = directory.run(first.run_key).attempt(dead.attempt)
    attempt.start()
    attempt.save_record(record)
    dead.complete(Outcome.COMPLETED, 1.0)
    keeper = StudyKeeper(directory, ledger, plan)
    keeper.keep()
    assert directory.run(first.run_key).record() == record
    alive.release("the test is over")


def test_runs_that_wait_are_those_of_the_plan_on_disk(home):
    plan, directory, ledger = queue(home)
    keeper = StudyKeeper(directory, ledger, plan)
    assert keeper.waiting() == 4
    directory.update_plan(plan.model_copy(update={"runs": plan.runs[:1]}))
    ledger.claim([plan.runs[0].run_key]).release("stopped")
    assert keeper.waiting() == 0
