"""The driver with real worker processes: killed, stopped, started twice."""

from __future__ import annotations

import os
import signal
import sys
from collections import Counter
from contextlib import nullcontext
from pathlib import Path

import pytest

import ablations.crew
import ablations.driver
from ablations.claims import Failure
from ablations.cli import main
from ablations.driver import Driver, RunSettings
from ablations.ledger import owner_prefix
from ablations.listing import statuses_of
from ablations.run_status import MAX_ATTEMPTS, RunState
from ablations.tracking_store import NONE
from studies.errors import AblationError
from studies.records import Outcome
from tests.ablations_tests.tiny_studies import (
    LONG,
    backdate,
    checkpoints,
    keys_of,
    numbers,
    queue,
    states,
    trials,
    work,
)
from tests.processes import is_alive

REPOSITORY = Path(__file__).parents[2]
NO_STORE = "sqlite:////dev/null/mlflow.db"


@pytest.fixture(autouse=True)
def no_gpus(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")


def workers_of(plan, directory) -> set[int]:
    """Processes that are training."""
    statuses = statuses_of(plan, directory).values()
    return {int(s.owner.split(":")[1]) for s in statuses if s.state is RunState.RUNNING and s.owner}


def test_the_finished_study_is_complete(finished):
    assert finished.exit_status == 0, finished.output
    assert states(finished.plan, finished.directory) == ["completed"] * 4
    assert len(trials(finished.directory)) == 4
    assert checkpoints(finished.directory) == []
    for _, _, history in numbers(finished.plan, finished.directory).values():
        assert max(Counter((metric, step) for metric, step, _ in history).values()) == 1
        assert [step for metric, step, _ in history if metric == "val/loss"][-1] == 300


def test_a_killed_worker_and_an_interrupted_command_change_no_number(
    home, finished, monkeypatch, capsys
):
    plan, directory, _ = queue(home, **LONG)
    handler = signal.getsignal(signal.SIGINT)
    killed: list[int] = []
    stopped: list[int] = []

    def disturb(progress):
        if not checkpoints(directory):
            return
        if not killed:
            killed.append(next(iter(workers_of(plan, directory)), 0))
            os.kill(killed[0], signal.SIGKILL) if killed[0] else killed.clear()
        elif not stopped and (alive := workers_of(plan, directory) - set(killed)):
            stopped.extend(alive)
            os.kill(os.getpid(), signal.SIGINT)

    command = ["run", str(home / "study.yaml"), "--home", str(home), "--tracking-uri", NO_STORE]
    with monkeypatch.context() as patch:
        patch.setattr("ablations.display.progress_display", lambda *_, **__: nullcontext(disturb))
        assert main([*command, "--workers", "2"]) == 130
    assert "`ablate run" in capsys.readouterr().out
    assert not any(is_alive(pid) for pid in killed + stopped)
    assert "running" not in states(plan, directory)
    assert "unqueued" not in states(plan, directory)
    assert signal.getsignal(signal.SIGINT) is handler

    assert main([*command, "--workers", "1"]) == 0
    assert numbers(plan, directory) == numbers(finished.plan, finished.directory)
    attempts = trials(directory)
    assert Counter(t["state"] for t in attempts)["COMPLETE"] == 4
    lost = [t for t in attempts if t["state"] == "FAIL" and "released" not in t]
    assert len(lost) == 1
    assert f":{killed[0]}:" in lost[0]["owner"]
    assert checkpoints(directory) == []


def test_workers_that_cannot_start_end_the_study_with_their_last_words(home, monkeypatch, caplog):
    plan, directory, _ = queue(home)
    words = "import sys; print('no such device'); sys.exit(3)"
    monkeypatch.setattr(ablations.crew, "worker_command", lambda *_: [sys.executable, "-c", words])
    monkeypatch.setattr(ablations.driver, "POLL_S", 0.05)
    with pytest.raises(
        AblationError, match="die again and again, and train nothing to an end; their"
    ):
        Driver(plan, RunSettings(home, NONE, workers=1)).run(lambda _: None)
    assert "worker 0 ended with 3: no such device (log: " in caplog.text
    assert states(plan, directory) == ["waiting"] * 4


def test_a_driver_whose_plan_was_replaced_stops(home):
    plan, directory, _ = queue(home)
    queue(home, seeds=[7])
    with pytest.raises(AblationError, match="has changed the plan of study 'tiny'"):
        Driver(plan, RunSettings(home, NONE, workers=1)).run(lambda _: None)
    assert states(plan, directory) == ["waiting"] * 4


def test_a_changed_study_runs_what_is_new_and_keeps_what_is_old(home):
    old, directory, _ = queue(home, seeds=[0])
    work(directory, NONE)
    before = numbers(old, directory)
    plan, directory, _ = queue(home, seeds=[0, 5])
    work(directory, NONE)
    assert states(plan, directory) == ["completed"] * 4
    assert len(trials(directory)) == 4
    assert {key: numbers(plan, directory)[key] for key in keys_of(old)} == before
    narrow, directory, _ = queue(home, seeds=[5])
    assert states(narrow, directory) == ["completed"] * 2
    assert numbers(old, directory) == before


def test_a_run_whose_workers_die_is_published_as_failed(home):
    plan, directory, ledger = queue(home, factors={}, seeds=1)
    for _ in range(MAX_ATTEMPTS[Failure.LOST]):
        ledger.claim(keys_of(plan))
        ledger.fail_attempts_of(owner_prefix())
        ledger.reconcile(keys_of(plan))
    run = directory.run(keys_of(plan)[0])
    for number in range(2):
        backdate(run.attempt(number), 30)
    summary = Driver(plan, RunSettings(home, NONE)).run(lambda _: None)
    assert summary.progress.counts == {RunState.FAILED: 1}
    record = run.record()
    assert record.wall_time_s == pytest.approx(60, abs=1)
    assert (record.outcome, "died 5 times" in record.error) == ("failed", True)


def test_only_what_is_open_is_checked_again(home):
    plan, _, ledger = queue(home, seeds=[0])
    first, second = keys_of(plan)
    ledger.claim([first]).fail("broken")
    driver = Driver(plan, RunSettings(home, NONE))
    assert [c.variant for c in driver.unfinished_plan().cells] == [plan.runs[1].variant]
    retrying = Driver(plan, RunSettings(home, NONE, retry_failed=True))
    assert len(retrying.unfinished_plan().cells) == 2
    ledger.claim([second]).complete(Outcome.COMPLETED, 1.0)
    assert [c.variant for c in retrying.unfinished_plan().cells] == [plan.runs[0].variant]


def test_a_queue_that_is_away_for_longer_than_anybody_waits_ends_no_command(
    home, monkeypatch, caplog
):
    plan, directory, _ = queue(home, factors={}, seeds=1)
    driver = Driver(plan, RunSettings(home, NONE, workers=1))
    reconcile, away = driver.keeper.reconcile, iter([ConnectionError("refused")] * 2)

    def away_at_first():
        for error in away:
            raise error
        reconcile()

    class Crew:
        size = 0

        def reap(self):
            return []

        def forget_deaths(self):
            pass

        def start(self, count):
            driver.ledger.claim(keys_of(plan)).complete(Outcome.COMPLETED, 1.0)

    monkeypatch.setattr(driver.keeper, "reconcile", away_at_first)
    monkeypatch.setattr(ablations.driver, "POLL_S", 0.01)
    driver._supervise(Crew(), 1, lambda _: None)
    assert states(plan, directory) == ["completed"]
    assert caplog.text.count("the queue does not answer (refused): the workers go on") == 2
