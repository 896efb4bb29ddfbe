from __future__ import annotations

import os
import re
import sys

import pytest

import ablations.launchers.slurm
from ablations.launchers.slurm import SlurmFleet
from ablations.profiles import SlurmSettings
from studies.errors import AblationError
from tests.waiting import wait_until

WORKER = ("worker", "tiny", "--home", "/shared/runs")
ALL = SlurmSettings(
    partition="gpu,gpu-long",
    account="group",
    qos="high",
    constraint="a100|h100",
    gpus_per_worker=8,
    cpus_per_worker=16,
    memory_gib=62.5,
    time_limit_minutes=90,
    stop_before_limit_s=300,
    setup=("module load cuda", 'export NAME="a b"'),
    container_image="/images/ablations.sqsh",
    container_mounts="/shared:/shared",
    python="/opt/venv/bin/python",
    options={"reservation": "night", "exclusive": True, "nice": 50, "mail_type": "END,FAIL"},
)
ALL_TEXT = """\
#!/bin/bash

# Parameters
#SBATCH --account=group
#SBATCH --constraint='a100|h100'
#SBATCH --cpus-per-task=16
#SBATCH --exclusive
#SBATCH --gpus-per-node=8
#SBATCH --job-name=ablate-tiny-1a2b
#SBATCH --mail-type=END,FAIL
#SBATCH --mem=64000M
#SBATCH --nice=50
#SBATCH --nodes=1
#SBATCH --open-mode=append
#SBATCH --output={folder}/%j_0_log.out
#SBATCH --partition=gpu,gpu-long
#SBATCH --qos=high
#SBATCH --requeue
#SBATCH --reservation=night
#SBATCH --signal=USR2@300
#SBATCH --time=90
#SBATCH --wckey=submitit

# setup
module load cuda
export NAME="a b"

# command
export SUBMITIT_EXECUTOR=slurm
srun --unbuffered --output {folder}/%j_%t_log.out --container-image=/images/ablations.sqsh \
--container-mounts=/shared:/shared /opt/venv/bin/python -u -m submitit.core._submit {folder}
"""
USUAL_TEXT = """\
#!/bin/bash

# Parameters
#SBATCH --array=0-2%3
#SBATCH --cpus-per-task=2
#SBATCH --gpus-per-node=1
#SBATCH --job-name=ablate-tiny-1a2b
#SBATCH --nodes=1
#SBATCH --open-mode=append
#SBATCH --output={folder}/%A_%a_0_log.out
#SBATCH --requeue
#SBATCH --signal=USR2@180
#SBATCH --time=240
#SBATCH --wckey=submitit

# command
export SUBMITIT_EXECUTOR=slurm
srun --unbuffered --output {folder}/%A_%a_%t_log.out {python} -u -m submitit.core._submit {folder}
"""


@pytest.fixture
def programs(tmp_path, monkeypatch):
    """Puts programs before those of the machine, by name and by what they do in shell."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")

    def put(**texts: str) -> None:
        for name, text in texts.items():
            (folder / name).write_text(f"#!/bin/sh\n{text}\n")
            (folder / name).chmod(0o755)

    return put


@pytest.fixture
def submitted(programs, tmp_path):
    """Submits workers to an sbatch that only keeps what it is given; returns that."""
    kept = tmp_path / "kept"
    programs(sbatch=f'cp "$1" {kept}; echo Submitted batch job 7', srun="")

    def submit(settings: SlurmSettings, count: int) -> tuple[list[str], str]:
        fleet = SlurmFleet("ablate-tiny-1a2b", WORKER, tmp_path / "logs", settings)
        return fleet.place(count), kept.read_text()

    return submit


@pytest.fixture
def fleet_of(slurm, tmp_path, monkeypatch):
    """Fleets on the cluster whose jobs wait for a time that does not come."""
    for name, value in slurm.environment.items():
        monkeypatch.setenv(name, value)
    fleets = []

    def make(name: str, **settings: object) -> SlurmFleet:
        options = {"begin": "now+10hours"}
        asked = SlurmSettings(**{"options": options, "cpus_per_worker": 1, **settings})
        fleets.append(SlurmFleet(name, WORKER, tmp_path / name, asked))
        return fleets[-1]

    yield make
    for fleet in fleets:
        fleet.withdraw(running=True)


def names(fleet: SlurmFleet) -> list[str]:
    return sorted(worker.name for worker in fleet.placed())


def test_sbatch_is_given_all_settings(submitted, tmp_path):
    placed, text = submitted(ALL, 1)
    assert placed == ["7"]
    assert text == ALL_TEXT.format(folder=tmp_path / "logs")


def test_several_workers_are_one_array_and_what_is_not_set_is_the_cluster_s(submitted, tmp_path):
    placed, text = submitted(SlurmSettings(), 3)
    assert placed == ["7_0", "7_1", "7_2"]
    assert text == USUAL_TEXT.format(folder=tmp_path / "logs", python=sys.executable)


def test_an_option_overrides_ours_and_false_leaves_it_out(submitted):
    _, text = submitted(SlurmSettings(options={"requeue": False, "time": 5, "qos": None}), 1)
    assert "requeue" not in text
    assert "#SBATCH --time=5\n" in text
    assert "qos" not in text


def test_a_worker_without_gpus_asks_for_none(submitted):
    assert "--gpus" not in submitted(SlurmSettings(gpus_per_worker=0), 1)[1]


def test_a_machine_without_slurm_is_told(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(AblationError, match="there is no sbatch on this machine"):
        SlurmFleet("ablate-tiny", WORKER, tmp_path, SlurmSettings())


def test_what_sbatch_refuses_is_told_in_its_words(fleet_of):
    fleet = fleet_of("refused", partition="no-such")
    with pytest.raises(AblationError, match=r"^sbatch refused a worker: .*[Ii]nvalid partition"):
        fleet.place(1)
    with pytest.raises(AblationError, match=r"^sbatch refused a worker: "):
        fleet_of("greedy", gpus_per_worker=16).place(2)


def test_jobs_are_placed_while_they_wait_and_belong_to_their_study_alone(fleet_of):
    ours, theirs = fleet_of("ours"), fleet_of("theirs")
    assert ours.placed() == []
    placed = [*ours.place(2), *ours.place(1)]
    others = theirs.place(1)
    assert names(ours) == sorted(placed)
    assert [worker.is_running for worker in ours.placed()] == [False] * 3
    ours.withdraw(running=False)
    assert (names(ours), names(theirs)) == ([], others)


def test_nodes_of_the_cluster_are_avoided_with_those_that_the_user_excludes(slurm, fleet_of):
    n1, n2, *_ = slurm.node_names
    fleet = fleet_of("avoiding", options={"begin": "now+10hours", "exclude": n2})
    [job] = fleet.place(1, [n1, "a-workstation"])
    [excluded] = re.findall(r"ExcNodeList=(\S+)", slurm.run("scontrol", "show", "job", job))
    assert set(slurm.run("scontrol", "show", "hostnames", excluded).split()) == {n1, n2}


def test_nodes_are_avoided_only_where_there_are_others(slurm, fleet_of, caplog):
    fleet = fleet_of("nowhere-else")
    assert len(fleet.place(1, slurm.node_names)) == 1
    assert "nodes of which runs failed are taken as well: " in caplog.text


def test_a_held_job_does_not_count_as_placed(slurm, fleet_of):
    fleet = fleet_of("held")
    [job] = fleet.place(1)
    slurm.run("scontrol", "hold", job)
    wait_until(lambda: names(fleet) == [], "it is held")
    slurm.run("scontrol", "release", job)
    wait_until(lambda: names(fleet) == [job], "it waits again")


def test_a_process_in_a_job_knows_its_own(fleet_of, monkeypatch):
    fleet = fleet_of("own")
    assert fleet.own() is None
    _, second = fleet.place(2)
    [single] = fleet.place(1)
    array, task = second.split("_")
    monkeypatch.setenv("SLURM_JOB_ID", "4711")  # of an array, each job has a number besides
    monkeypatch.setenv("SLURM_ARRAY_JOB_ID", array)
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", task)
    assert fleet.own() == second
    for name in ("SLURM_ARRAY_JOB_ID", "SLURM_ARRAY_TASK_ID"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("SLURM_JOB_ID", single)
    assert fleet.own() == single
    assert {second, single} <= set(names(fleet))


def test_a_job_that_a_job_submits_knows_its_own_numbers(fleet_of, tmp_path, monkeypatch):
    for name in ("SLURM_ARRAY_JOB_ID", "SLURM_ARRAY_TASK_ID", "SLURM_JOB_ID"):
        monkeypatch.setenv(name, "4711")
    monkeypatch.setenv("SBATCH_COMMENT", "of the user")
    said = tmp_path / "environment"
    [job] = fleet_of("inner", options={}, setup=[f"env > {said}; exit"]).place(1)
    wait_until(lambda: said.exists() and "\nPATH=" in said.read_text(), "it ran")
    lines = said.read_text().splitlines()
    assert f"SLURM_JOB_ID={job}" in lines
    assert "SBATCH_COMMENT=of the user" in lines
    assert not [line for line in lines if line.endswith("=4711")]
    assert os.environ["SLURM_JOB_ID"] == "4711"


def test_a_command_that_fails_is_an_error_in_its_words(programs, tmp_path):
    programs(sbatch="", squeue="echo slurm_load_jobs error: Socket timed out >&2; exit 1")
    fleet = SlurmFleet("ablate-tiny", WORKER, tmp_path, SlurmSettings())
    with pytest.raises(AblationError, match=r"^squeue failed: slurm_load_jobs error: Socket timed"):
        fleet.placed()


def test_a_command_that_takes_long_is_told_of_while_it_does(programs, monkeypatch, caplog):
    monkeypatch.setattr(ablations.launchers.slurm, "NOTICE_S", 0.1)
    programs(squeue="exec sleep 60")
    with pytest.raises(AblationError, match="squeue does not answer; try again later"):
        ablations.launchers.slurm.slurm("squeue", limit_s=1)
    assert "squeue has not answered yet; we wait for 1 s at most" in caplog.text


def test_workers_that_run_outlast_the_withdrawal_of_those_that_wait(fleet_of, slurm):
    fleet = fleet_of("running", options={}, setup=["exec sleep 300"])
    placed = fleet.place(2)
    wait_until(lambda: all(w.is_running for w in fleet.placed()), "both run")
    assert names(fleet) == sorted(placed)
    assert {worker.node for worker in fleet.placed()} <= set(slurm.node_names)
    fleet.withdraw(running=False)
    assert names(fleet) == sorted(placed)
    fleet.withdraw(running=True)
    wait_until(lambda: names(fleet) == [], "both ended")
