from __future__ import annotations

from pathlib import Path

import pytest

from tests.cluster.slurm import Job, SlurmCluster
from tests.processes import is_alive
from tests.waiting import wait_until


def submit(cluster: SlurmCluster, name: str, script: str, *options: str) -> None:
    cluster.run("sbatch", "-J", name, "-o", "/dev/null", *options, "--wrap", script)


def job(cluster: SlurmCluster, name: str) -> Job:
    [found] = [job for job in cluster.jobs() if job.name == name]
    return found


def endless(file: Path) -> str:
    return f"echo $SLURMD_NODENAME $$ >> {file}; exec sleep 300"


def starts(file: Path) -> list[list[str]]:
    """Node and process of each start of a job that is `endless`."""
    return [line.split() for line in file.read_text().splitlines()] if file.exists() else []


def test_jobs_on_one_node_have_different_gpus(slurm, tmp_path):
    script = f"echo $CUDA_VISIBLE_DEVICES > {tmp_path}/$SLURM_JOB_NAME; sleep 1"
    for name in "ab":
        submit(slurm, name, script, "--nodelist=n4", "--gres=gpu:1")
    submit(slurm, "both", script, "--nodelist=n3", "--gres=gpu:2")
    wait_until(lambda: {job.state for job in slurm.jobs()} == {"COMPLETED"}, "all ran")
    assert {(tmp_path / name).read_text() for name in "ab"} == {"0\n", "1\n"}
    assert (tmp_path / "both").read_text() == "0,1\n"


def test_sacct_answers_for_the_jobs_that_exist(slurm):
    array = slurm.run("sbatch", "--parsable", "--array=0-1", "-o", "/dev/null", "--wrap=true")
    fields = ["-o", "JobID,State", "--parsable2"]
    done = {"JobID|State", f"{array}_0|COMPLETED", f"{array}_1|COMPLETED"}

    def told() -> set[str]:
        return set(slurm.run("sacct", *fields, "-j", array, "-j", "4000").splitlines())

    wait_until(lambda: told() == done, "both tasks ran")
    assert slurm.run("sacct", *fields, "-j", "4000") == "JobID|State"


def test_crashes_and_preemptions_end_jobs_which_are_queued_again(slurm, tmp_path):
    crashed, preempted = tmp_path / "crashed", tmp_path / "preempted"
    for file in (crashed, preempted):
        submit(slurm, file.name, endless(file), "--requeue", "--gres=gpu:2")
    wait_until(lambda: starts(crashed) and starts(preempted), "both run")
    [[node, process]], [[other, loser]] = starts(crashed), starts(preempted)
    slurm.preempt(other)
    slurm.crash_node(node)
    assert not is_alive(int(process))
    assert is_alive(int(loser))
    # An administrator who knows it is quicker than SlurmdTimeout.
    slurm.run("scontrol", "update", f"NodeName={node}", "State=DOWN", "Reason=crashed")
    wait_until(lambda: len(starts(crashed)) == 2, "the crashed job runs again")
    assert starts(crashed)[1][0] != node
    slurm.restart_node(node)
    submit(slurm, "back", "true", f"--nodelist={node}")
    wait_until(lambda: job(slurm, "back").state == "COMPLETED", "the node takes jobs again")
    wait_until(lambda: job(slurm, "preempts").state == "COMPLETED", "the other job had its turn")
    assert not is_alive(int(loser))
    assert job(slurm, "preempted").state in ("PENDING", "RUNNING")


def test_jobs_outlive_a_crash_of_the_controller_but_not_the_cluster(slurm, tmp_path):
    with SlurmCluster(nodes=1) as cluster:  # a second one beside the first
        submit(cluster, "daemon", f"setsid sh -c '{endless(tmp_path / 'detached')}' & wait")
        [[_, process]] = wait_until(lambda: starts(tmp_path / "detached"), "it runs")
        cluster.kill_controller()
        with pytest.raises(AssertionError, match="Unable to contact slurm controller"):
            cluster.jobs()
        cluster.restart_controller()
        assert [job.name for job in cluster.jobs()] == ["daemon"]
        assert is_alive(int(process))
    assert not is_alive(int(process))
    assert not cluster.folder.exists()
