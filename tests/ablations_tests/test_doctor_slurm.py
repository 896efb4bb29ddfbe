from __future__ import annotations

import pytest

from ablations.doctor import slurm as checks
from ablations.doctor.findings import Mark
from studies.execution import ExecutionConfig
from tests.ablations_tests.situations import marks, on_slurm, only, situation

CHECKS = (
    checks.answers,
    checks.partition,
    checks.account,
    checks.submission,
    checks.grace,
)


@pytest.fixture
def cluster(slurm, monkeypatch):
    for name, value in slurm.environment.items():
        monkeypatch.setenv(name, value)
    return slurm


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_nothing_is_looked_at_for_another_launcher(check, tmp_path):
    assert list(check(situation(tmp_path))) == []


def test_a_profile_that_fits_the_cluster_has_no_problem(cluster, tmp_path):
    here = on_slurm(tmp_path, partition="low,high", gpus_per_worker=2)
    found = [finding for check in CHECKS for finding in check(here)]
    assert set(marks(found)) == {"ok", "warning"}
    assert found[1].found == "4 nodes, at most 2 GPUs each, no time limit"
    assert "to start at" in next(f.found for f in found if f.subject.startswith("sbatch"))
    assert "2 s (KillWait)" in only(found, Mark.WARNING).found
    assert cluster.jobs() == []


@pytest.mark.parametrize(
    ("settings", "partition", "sbatch"),
    [
        ({"partition": "gpux"}, "one of low, high", "Invalid partition name"),
        ({"gpus_per_worker": 3}, "Set it to 2 or less", "not available"),
        ({"options": {"nosuch": 1}}, None, "unrecognized option '--nosuch=1'"),
    ],
)
@pytest.mark.usefixtures("cluster")
def test_what_the_cluster_does_not_have_is_found_out(settings, partition, sbatch, tmp_path):
    here = on_slurm(tmp_path, **settings)
    if partition is None:
        assert marks(checks.partition(here)) == ["ok"]
    else:
        assert partition in only(checks.partition(here)).remedy
    assert sbatch in only(checks.submission(here)).found


@pytest.mark.usefixtures("cluster")
def test_a_limit_that_leaves_no_time_to_train_is_a_problem(tmp_path):
    here = on_slurm(tmp_path, time_limit_minutes=3)
    assert "stop_before_limit_s" in only(checks.grace(here)).remedy


@pytest.mark.usefixtures("cluster")
def test_a_partition_that_is_down_is_a_problem(cluster, tmp_path):
    cluster.run("scontrol", "update", "PartitionName=high", "State=DOWN")
    try:
        assert "is down" in only(checks.partition(on_slurm(tmp_path, partition="high"))).found
    finally:
        cluster.run("scontrol", "update", "PartitionName=high", "State=UP")


@pytest.mark.usefixtures("cluster")
def test_limits_and_gpus_of_a_partition_are_held_against_the_profile(cluster, tmp_path):
    cluster.run("scontrol", "update", "PartitionName=high", "MaxTime=90")
    found = only(checks.partition(on_slurm(tmp_path, partition="high")))
    assert "90 min" in found.found
    assert found.remedy.startswith("Set it to 90")
    here = on_slurm(tmp_path, gpus_per_worker=0)
    wanting = situation(
        tmp_path,
        launcher="slurm",
        profile=here.profile,
        execution=ExecutionConfig(accelerator="gpu"),
    )
    assert "wants GPUs" in only(checks.partition(wanting)).found


@pytest.mark.parametrize(
    ("shown", "minutes"),
    [("infinite", None), ("30:00", 30), ("4:00:00", 240), ("2-12:00:00", 3600)],
)
def test_time_limits_are_read(shown, minutes):
    assert checks._minutes(shown) == minutes


@pytest.mark.parametrize(
    ("shown", "gpus"),
    [
        ("(null)", 0),
        ("gpu:2", 2),
        ("gpu:a100:4(S:0-1)", 4),
        ("gpu:a100:4(S:0-1),gpu:v100:2,shard:8", 6),
        ("craynetwork:4", 0),
    ],
)
def test_gpus_of_a_node_are_read(shown, gpus):
    assert checks._gpus(shown) == gpus


def test_a_machine_without_slurm_is_a_problem(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "sbatch, squeue" in only(checks.answers(on_slurm(tmp_path))).found


def test_a_controller_that_is_away_is_a_problem(cluster, tmp_path):
    cluster.kill_controller()
    try:
        assert "Unable to contact" in only(checks.answers(on_slurm(tmp_path))).found
    finally:
        cluster.restart_controller()
