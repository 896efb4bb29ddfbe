"""Studies on a cluster: real jobs, which are signalled, killed and cancelled."""

from __future__ import annotations

import mlflow
import pytest

from ablations.launchers.fleet import MAX_WASTED
from ablations.ledger import Ledger
from ablations.run_status import RunState
from ablations.tracking_store import default_tracking_uri
from tests.ablations_tests.cluster_study import ClusterStudy
from tests.ablations_tests.tiny_studies import LONG, numbers, write_study
from tests.cluster.tracking_server import TrackingServer
from tests.waiting import wait_until


@pytest.fixture
def study(home, finished, slurm, monkeypatch, capsys):
    """The finished study, not yet run."""
    for name, value in slurm.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    study = ClusterStudy(write_study(home, **LONG), slurm, monkeypatch, capsys)
    yield study
    study.kill()
    for job in study.jobs():
        slurm.run("scancel", "--quiet", job.id)
    wait_until(lambda: not study.jobs(), "its jobs ended")


@pytest.fixture
def server(tmp_path):
    with TrackingServer(f"sqlite:///{tmp_path}/server.db", tmp_path) as server:
        yield server


@pytest.fixture
def impatient(monkeypatch):
    """Commands of this process give up workers that are silent for some seconds."""
    monkeypatch.setitem(Ledger.__init__.__kwdefaults__, "grace_s", 8.0)


def means(uri: str) -> dict[str, dict[str, float]]:
    """What each variant came to over its seeds, as the tracking store has it."""
    client = mlflow.MlflowClient(uri)
    experiment = client.get_experiment_by_name("tiny")
    runs = client.search_runs([experiment.experiment_id], "tags.kind = 'variant'")
    return {
        run.data.tags["variant"]: {
            name: value
            for name, value in run.data.metrics.items()
            if name.startswith("aggregate/val_loss")
        }
        for run in runs
    }


def test_a_study_runs_to_its_end_with_nobody_watching(study, server, finished, monkeypatch):
    study.profile(2, server.uri, options={"nodelist": "n4"})
    printed = study.ablate("run", "--storage", "journal")
    jobs = [job.id for job in study.jobs()]
    assert f"workers through slurm: placed 2: {', '.join(jobs)}" in printed
    assert (
        f"`ablate status {study.home}/study.yaml --home {study.home} --storage journal --watch`"
        in printed
    )
    wait_until(lambda: len(study.processes(training=True)) == 2, "both workers train")
    assert "workers: 0 waiting, 2 running:" in study.ablate("status")
    assert "workers through slurm: enough workers are placed" in study.ablate("run")
    environments = study.processes(training=True).values()
    assert sorted(e["CUDA_VISIBLE_DEVICES"] for e in environments) == ["0", "1"]
    wait_until(lambda: not study.jobs(), "the workers ended")
    assert [(job.id, job.state) for job in study.jobs(ended=True)] == [
        (id, "COMPLETED") for id in jobs
    ]
    logs = sorted(path.name for path in (study.directory.path / "logs").glob("*.log"))
    assert logs == [f"n4-{job}-0.log" for job in jobs]
    assert numbers(study.plan, study.directory) == numbers(finished.plan, finished.directory)
    assert means(server.uri) == means(default_tracking_uri(finished.home))
    assert {len(values) for values in means(server.uri).values()} == {3}
    monkeypatch.delenv("ABLATE_PROFILE")
    printed = study.ablate("run")
    assert "as before: --profile lab" in printed
    assert "nothing to run: every run has ended" in printed
    assert "placed" not in printed
    assert "every run has ended: there is nothing to stop" in study.ablate("cancel")
    assert len(study.jobs(ended=True)) == 2
    assert study.ablate("sync") == f"0 runs sent to {server.uri}\n"
    assert not (study.home / "mlflow.db").exists()


def test_a_study_outlives_time_limits_kills_and_being_cancelled(
    study, finished, slurm, impatient, caplog
):
    study.profile(1, workers_submit=True)
    printed = study.ablate("run")
    assert f"`ablate sync {study.home}/study.yaml --home {study.home}` sends them" in printed
    wait_until(study.is_training, "the first worker trains")
    [first] = study.jobs()
    slurm.run("scancel", "--signal=USR2", first.id)
    wait_until(lambda: len(study.jobs(ended=True)) == 2, "it placed its successor")
    wait_until(lambda: study.attempts()[0]["state"] == "FAIL", "it gave its run back")
    assert study.attempts()[0]["released"].startswith("interrupted at step ")
    wait_until(lambda: first.id not in {job.id for job in study.jobs()}, "it ended")
    assert len(study.jobs()) == 1

    wait_until(study.is_training, "the successor trains")
    wait_until(lambda: study.attempts()[-1]["pulse"]["began_at"] > 0, "from the checkpoint on")
    study.kill()
    wait_until(lambda: not study.jobs(), "its job ended")
    lost = len(study.attempts())
    study.watch_until(lambda: study.is_training(after=lost))
    [third] = study.jobs()
    assert f"placed {third.id}" in caplog.text

    printed = study.ablate("cancel")
    assert "cancelled; the same `ablate run` as before goes on" in printed
    assert study.jobs() == []
    assert not study.processes(training=True)
    assert RunState.RUNNING not in {status.state for status in study.statuses()}
    last = study.attempts()[-1]  # which may have come to its end before it heard of it
    assert last.get("released", last.get("outcome")).startswith(
        ("interrupted at step ", "completed")
    )
    assert "cancelled: `ablate run` goes on with it" in study.ablate("status")
    study.ablate("run")
    wait_until(lambda: not study.jobs(), "the last worker ended")
    assert numbers(study.plan, study.directory) == numbers(finished.plan, finished.directory)
    completed = [a["run_key"] for a in study.attempts() if a["state"] == "COMPLETE"]
    assert sorted(completed) == sorted(run.run_key for run in study.plan.runs)


def test_workers_that_end_without_a_run_are_not_placed_for_ever(study, caplog):
    study.profile(2, setup=["echo no such module; exit 1"])
    assert "placed 2: " in study.ablate("run")
    study.watch_until(lambda: "have ended without claiming a run" in caplog.text)
    placed = len(study.jobs(ended=True))
    assert MAX_WASTED * 2 <= placed < (MAX_WASTED + 1) * 2
    assert f"{placed} workers of study 'tiny' have ended" in caplog.text
    logs = study.directory.path / "logs"
    assert f"their logs: {logs}." in caplog.text
    assert "no such module" in next(logs.glob("slurm/*.out")).read_text()
    assert "placed 2: " in study.ablate("run")


def test_whoever_watches_bears_a_controller_that_is_away(study, slurm, caplog):
    study.profile(1, options={"begin": "now+10hours"})
    study.ablate("run")
    slurm.kill_controller()
    try:
        study.watch_until(lambda: "no worker was placed: squeue failed: " in caplog.text)
        assert "workers: not known (squeue failed: " in study.ablate("status")
    finally:
        slurm.restart_controller()
    study.watch_until(lambda: len(study.jobs()) == 1)  # the crash may have lost it
    slurm.run("scontrol", "hold", study.jobs()[0].id)
    study.watch_until(lambda: len(study.jobs()) == 2)  # whoever is held for ever is replaced
    study.ablate("cancel")
    assert study.jobs() == []


def test_a_queue_in_sqlite_is_refused_until_it_is_moved(study):
    study.profile(1)
    with pytest.raises(AssertionError) as caught:
        study.ablate("run", "--storage", "sqlite")
    told = str(caught.value)
    assert "the queue of study 'tiny' is a SQLite file, which only one machine can use" in told
    assert "`ablate move STUDY --storage journal` takes it" in told
    assert not study.directory.fleet_path.exists()
    study.ablate("move", "--storage", "journal")
    study.profile(1, options={"begin": "now+10hours"})
    assert "placed 1: " in study.ablate("run")
