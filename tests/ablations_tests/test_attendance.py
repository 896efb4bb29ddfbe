"""`ablate worker` as a cluster starts it: real processes, killed and stopped."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ablations.attendance import Attendance
from ablations.ledger import GRACE_S
from ablations.listing import statuses_of
from ablations.tracking_store import NONE
from ablations.worker import START_AFRESH, UNFIT
from tests.ablations_tests.tiny_studies import (
    LONG,
    STUDY,
    UNDISTURBED,
    checkpoints,
    fragile_runs,
    keys_of,
    numbers_of,
    queue,
    states,
    trials,
    work,
)
from tests.processes import is_alive
from tests.waiting import wait_until

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture
def start(home):
    """Starts `ablate worker` on the tiny study."""
    started = []

    def start(*options):
        command = [sys.executable, "-m", "ablations.cli", "worker", "tiny", "--home", str(home)]
        process = subprocess.Popen(
            [*command, "--tracking-uri", NONE, *options],
            cwd=REPOSITORY,
            env=os.environ | {"CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.terminate()
        process.communicate(timeout=120)


def attempts(plan, directory):
    """Trials of the one run."""
    [key] = keys_of(plan)
    return [trial for trial in trials(directory) if trial["run_key"] == key]


def trainer_of(plan, directory) -> int:
    """The process that trains the one run, once it has saved a checkpoint."""
    wait_until(lambda: checkpoints(directory), "a checkpoint")
    [status] = statuses_of(plan, directory).values()
    return int(status.owner.split(":")[1])


def test_all_that_waits_is_trained(home, start, finished):
    plan, directory, _ = queue(home, **{**UNDISTURBED, "seeds": 1})
    worker = start("--workers", "2")
    output, _ = worker.communicate(timeout=180)
    assert worker.returncode == 0, output
    assert states(plan, directory) == ["completed"] * 2
    assert len(trials(directory)) == 2
    for key in keys_of(plan):
        assert numbers_of(directory, key) == numbers_of(finished.directory, key)
    assert len(list((directory.path / "logs").glob(f"*-{worker.pid}-[01].log"))) == 2


def test_a_killed_child_is_given_up_at_once_and_the_next_goes_on(home, start, finished):
    plan, directory, _ = one_run_of(finished, home)
    worker = start()
    killed = trainer_of(plan, directory)
    os.kill(killed, signal.SIGKILL)
    at = time.monotonic()
    wait_until(lambda: len(attempts(plan, directory)) == 2, "another attempt")
    assert time.monotonic() - at < GRACE_S
    output, _ = worker.communicate(timeout=180)
    assert worker.returncode == 0, output
    assert "ablations.crew: worker 0 died of SIGKILL" in output
    lost, heir = attempts(plan, directory)
    assert (lost["state"], lost["kind"], heir["state"]) == ("FAIL", "lost", "COMPLETE")
    assert lost["error"].startswith("worker 0 died of SIGKILL")
    assert heir["pulse"]["began_at"] > 0
    [key] = keys_of(plan)
    assert numbers_of(directory, key) == numbers_of(finished.directory, key)


def test_a_child_that_hangs_is_ended_with_its_stacks_in_the_log(home, start):
    switch = home / "switch"
    switch.write_text("hang")
    execution = {**STUDY["execution"], "stall_minutes": 0.25}
    plan, directory, _ = queue(home, **fragile_runs(switch), seeds=[1], execution=execution)
    worker = start()
    output, _ = worker.communicate(timeout=180)
    assert worker.returncode == 0, output
    assert (
        "ablations.crew: worker 0 made no step within execution.stall_minutes; its stacks: "
        in output
    )
    lost, heir = attempts(plan, directory)
    assert (lost["state"], lost["kind"], heir["state"]) == ("FAIL", "lost", "COMPLETE")
    [log] = (directory.path / "logs").glob("*.log")
    assert "in training_step" in log.read_text()


def test_a_worker_that_is_asked_to_stop_has_its_run_saved_and_given_back(home, start, finished):
    plan, directory, _ = one_run_of(finished, home)
    worker = start()
    child = trainer_of(plan, directory)
    worker.terminate()
    output, _ = worker.communicate(timeout=120)
    assert worker.returncode == 128 + signal.SIGTERM, output  # so that it is started again
    assert not is_alive(child)
    assert states(plan, directory) == ["waiting"]
    given_back = attempts(plan, directory)[0]
    saved = int(checkpoints(directory)[-1].stem.removeprefix("step-"))
    assert given_back["released"] == f"interrupted at step {saved}"
    work(directory, NONE)
    assert attempts(plan, directory)[1]["pulse"]["began_at"] == saved
    [key] = keys_of(plan)
    assert numbers_of(directory, key) == numbers_of(finished.directory, key)


def test_a_child_whose_supervisor_was_killed_gives_its_run_back(home, start, finished):
    plan, directory, _ = one_run_of(finished, home)
    worker = start()
    child = trainer_of(plan, directory)
    worker.kill()
    worker.communicate(timeout=60)
    wait_until(lambda: not is_alive(child), "it ends")
    assert states(plan, directory) == ["waiting"]
    assert attempts(plan, directory)[0]["released"].startswith("interrupted at step ")
    assert len(checkpoints(directory)) == 1


def test_a_study_that_nobody_queued_is_an_error(home, start):
    worker = start()
    output, _ = worker.communicate(timeout=120)
    assert worker.returncode == 2
    assert "no runs of study 'tiny'" in output


def one_run_of(finished, home):
    """The finished study with only its first run."""
    queued = queue(home, **{**LONG, "factors": {"model.norm": ["layer", "rms"]}, "seeds": 1})
    plan, directory, ledger = queued
    first, second = keys_of(plan)
    assert first in keys_of(finished.plan)
    alone = plan.model_copy(update={"runs": plan.runs[:1]})
    directory.update_plan(alone)
    assert second not in keys_of(alone)
    return alone, directory, ledger


class Crew:
    """Processes that end with these exit statuses, one after the other."""

    def __init__(self, *statuses):
        self.statuses, self.started, self.stopped = list(statuses), [], 0

    def start(self, count):
        self.started.append(count)

    def reap(self):
        return [self.statuses.pop(0)] if self.statuses else []

    def stop(self, timeout_s):
        self.stopped += 1


@pytest.fixture
def attend(monkeypatch):
    """Attend a crew in this process, whose signal handlers are left as they were."""
    monkeypatch.setattr("ablations.attendance.POLL_S", 0.001)
    monkeypatch.setattr("ablations.attendance.STOP_SIGNALS", ())
    return lambda crew, count, waiting=int: Attendance(crew, count, waiting).attend()


def test_a_worker_that_leaves_since_its_node_does_not_work_ends_the_command_with_1(attend, caplog):
    crew = Crew(START_AFRESH, UNFIT, 0)
    assert attend(crew, 2) == 1
    assert crew.statuses == [0]  # nobody waited for another
    assert crew.stopped == 1
    assert "no worker is started here" in caplog.text


def test_workers_are_replaced_until_each_found_nothing_left(attend):
    crew = Crew(START_AFRESH, 0, -9, 1, 0)
    assert attend(crew, 2) == 0
    assert crew.started == [2, 2, 1, 1, 1]
    assert crew.stopped == 1


def test_workers_come_back_where_runs_wait_again_while_others_train(attend, monkeypatch):
    """As after a round of a search: the GPUs of this node are ours until its last run has ended."""
    monkeypatch.setattr("ablations.attendance.LOOK_S", 0.0)
    waiting = iter([0, 0, 5])
    crew = Crew(0, 0, 75, 0, 0, 0, 0)
    assert attend(crew, 4, lambda: next(waiting, 0)) == 0
    assert crew.started == [4, 3, 2, 4, 3, 2, 1]


def test_a_queue_that_is_away_for_long_brings_back_no_worker_and_ends_none(attend, monkeypatch):
    monkeypatch.setattr("ablations.attendance.LOOK_S", 0.0)

    def away():
        raise ConnectionError("refused")

    crew = Crew(0, START_AFRESH, 0)
    assert attend(crew, 2, away) == 0
    assert crew.started == [2, 1, 1]
