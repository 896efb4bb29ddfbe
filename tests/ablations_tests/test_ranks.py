"""A worker of several processes gives the numbers of one, and outlives the death of a rank."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path

import pytest

from ablations.driver import Driver, RunSettings
from ablations.ranks import rank_environments
from ablations.run_directory import StudyDirectory
from ablations.tracking_store import NONE
from studies.loading import load_study
from studies.metrics import FINAL_LOSS
from studies.plan import Plan
from studies.planning import make_plan
from tests.ablations_tests.tiny_studies import STUDY, queue, work, write_study
from tests.waiting import wait_until

TWO = {"accelerator": "cpu", "devices": 2, "strategy": "ddp", "checkpoint_every_s": 0}


def test_a_worker_of_one_process_needs_no_environment() -> None:
    assert rank_environments(1) == [{}]
    first, second = rank_environments(2)
    assert (first["RANK"], second["RANK"]) == ("0", "1")
    assert first["MASTER_PORT"] == second["MASTER_PORT"]


def test_two_devices_train_to_the_numbers_of_one_though_a_rank_dies(tmp_path: Path) -> None:
    factors = {"factors": {"model.norm": ["batch"]}, "seeds": 1}
    training = {"training": {**STUDY["training"], "max_steps": 120}}
    (tmp_path / "one").mkdir()
    one, directory, _ = queue(tmp_path / "one", **factors, **training)
    work(directory, NONE)

    path = write_study(tmp_path, **factors, **training, execution=TWO)
    two = make_plan(load_study(str(path)).study)
    driver = Driver(two, RunSettings(tmp_path / "two", NONE, workers=1))
    driver.directory.save_plan(two, path.read_text())
    killed = threading.Thread(target=_kill_a_follower, args=(driver.directory,), daemon=True)
    killed.start()
    summary = driver.run(lambda progress: None)

    assert not killed.is_alive()
    assert summary.progress.is_complete
    assert len(driver.directory.run(two.runs[0].run_key).attempts()) == 2
    assert _loss(two, driver.directory) == pytest.approx(_loss(one, directory), abs=1e-4)


def _loss(plan: Plan, directory: StudyDirectory) -> float:
    record = directory.run(plan.runs[0].run_key).record()
    assert record is not None
    return record.summary[FINAL_LOSS]


def _kill_a_follower(directory: StudyDirectory) -> None:
    """Kill rank 1 once the first attempt has a checkpoint."""
    wait_until(lambda: list(directory.path.glob("runs/*/attempt-*/*.ckpt")), "a checkpoint")
    processes = (int(pid) for pid in os.listdir("/proc") if pid.isdigit())
    os.kill(next(pid for pid in processes if _is_rank_1(pid, directory)), signal.SIGKILL)


def _is_rank_1(pid: int, directory: StudyDirectory) -> bool:
    process = Path("/proc", str(pid))
    try:
        command = (process / "cmdline").read_bytes()
        environment = (process / "environ").read_bytes().split(b"\0")
    except OSError:
        return False
    return str(directory.path.parent).encode() in command and b"RANK=1" in environment
