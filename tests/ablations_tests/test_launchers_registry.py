"""`--launcher debug`: a study trained by the process of `ablate run`, which is this one."""

from __future__ import annotations

import os
import signal
import traceback

import pytest

from ablations.cli import main
from ablations.launchers.registry import LAUNCHERS
from ablations.ledger_location import ledger_of
from ablations.run_directory import StudyDirectory
from tests.ablations_tests import fragile_model
from tests.ablations_tests.tiny_studies import (
    STUDY,
    UNDISTURBED,
    calling_at,
    checkpoints,
    fragile_runs,
    keys_of,
    numbers,
    numbers_of,
    states,
    trials,
    write_study,
)
from tests.cluster.ports import free_ports

NO_STORE = "sqlite:////dev/null/mlflow.db"


@pytest.fixture
def debug(home, in_this_process):
    """Runs a study in this process; returns the exit status."""

    def run(uri: str = NO_STORE, **changes: object) -> int:
        file = str(write_study(home, **{**UNDISTURBED, **changes}))
        where = ["--home", str(home), "--tracking-uri", uri]
        return main(["run", file, "--launcher", "debug", *where])

    return run


def the_study(home):
    directory = StudyDirectory(home, "tiny")
    return directory.load_plan(), directory


def test_a_launcher_either_runs_or_has_a_fleet():
    assert list(LAUNCHERS) == ["local", "slurm", "debug"]
    assert {name for name in LAUNCHERS if LAUNCHERS[name].fleet} == {"slurm"}
    assert all((entry.run is None) != (entry.fleet is None) for entry in LAUNCHERS.values())


def test_runs_are_trained_in_this_process_with_the_numbers_of_workers(debug, home, finished):
    assert debug(seeds=1) == 0
    plan, directory = the_study(home)
    assert [int(trial["owner"].split(":")[1]) for trial in trials(directory)] == [os.getpid()] * 2
    for key in keys_of(plan):
        assert numbers_of(directory, key) == numbers_of(finished.directory, key)


def test_the_error_of_a_run_comes_out_and_is_recorded(debug, home):
    switch = home / "switch"
    switch.touch()
    changes = {**fragile_runs(switch), "training": STUDY["training"]}
    with pytest.raises(RuntimeError, match="the scratch disk went away") as caught:
        debug(**changes)
    frames = traceback.extract_tb(caught.value.__traceback__)
    assert (frames[-1].filename, frames[-1].name) == (fragile_model.__file__, "training_step")
    plan, directory = the_study(home)
    assert states(plan, directory) == ["completed", "failed"]
    [failed] = [trial for trial in trials(directory) if trial["state"] == "FAIL"]
    assert failed["error"] == "RuntimeError: the scratch disk went away"
    assert debug(**changes) == 1  # it is a row of the report, and not tried again
    assert len(trials(directory)) == 2


def test_ctrl_c_saves_the_run_and_the_same_command_goes_on(debug, home, finished, capsys):
    with calling_at(100, lambda: os.kill(os.getpid(), signal.SIGINT)):
        assert debug(seeds=1) == 130
    plan, directory = the_study(home)
    assert states(plan, directory) == ["waiting"] * 2
    [checkpoint] = checkpoints(directory)
    saved = int(checkpoint.stem.removeprefix("step-"))
    assert saved >= 100
    assert trials(directory)[0]["released"] == f"interrupted at step {saved}"
    assert "--launcher debug` goes on from the last checkpoints" in capsys.readouterr().out
    assert debug(seeds=1) == 0
    assert trials(directory)[2]["pulse"]["began_at"] == saved
    assert numbers(plan, directory) == {
        key: numbers_of(finished.directory, key) for key in keys_of(plan)
    }


def test_a_tracking_server_that_is_away_is_told_before_the_first_run(
    debug, home, capsys, monkeypatch
):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    [port] = free_ports()
    uri = f"http://127.0.0.1:{port}"
    assert debug(uri, factors={}, seeds=1, training=STUDY["training"]) == 0
    printed = capsys.readouterr().out
    told = f"tracking: {uri} Connection refused\nDoes the server run there?"
    assert 0 < printed.index(told) < printed.index("1/1 runs ended")
    assert f"`ablate sync {home}/study.yaml --home {home} --tracking-uri {uri}` sends" in printed


def test_a_study_that_is_cancelled_ends_it(debug, home):
    with calling_at(20, lambda: ledger_of(StudyDirectory(home, "tiny")).cancel()):
        assert debug(training=STUDY["training"]) == 130
    plan, directory = the_study(home)
    assert states(plan, directory) == ["completed", *["waiting"] * 3]
    assert debug(training=STUDY["training"]) == 0
    assert states(plan, directory) == ["completed"] * 4
