import shutil
from pathlib import Path

import pandas as pd
import pytest
from mlflow import MlflowClient

from reports.results.frame import UnreadableResults
from reports.results.mlflow_source import link_runs, load_tracked_study
from reports.results.sources import load_study
from studies.records import Outcome
from tests.reports_tests.conftest import Synthetic, grid_study, write_study


def log_run(client: MlflowClient, experiment: str, folder: Path | None, **tags: str) -> None:
    run = client.create_run(experiment, tags=tags)
    if folder is not None:
        client.log_artifacts(run.info.run_id, str(folder))
    client.set_terminated(run.info.run_id)


@pytest.fixture(scope="module")
def tracked(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A study directory and the tracking URI of a store that holds the same study."""
    home = tmp_path_factory.mktemp("tracked")
    plan = grid_study(
        (0, 1), {"model.activation": ("relu", "gelu"), "model.norm": ("rms", "layer")}
    )
    fates = {
        ("relu-rms", 0): Outcome.DIVERGED,
        ("gelu-rms", 1): Outcome.MISSING,
        ("gelu-layer", 1): Outcome.FAILED,
    }
    directory = write_study(home / "study", plan, Synthetic(fates, points=5))
    uri = f"sqlite:///{home / 'mlflow.db'}"
    client = MlflowClient(tracking_uri=uri)
    experiment = client.create_experiment(plan.study.name, artifact_location=(home / "a").as_uri())
    (home / "plan").mkdir()
    shutil.copy(directory / "plan.json", home / "plan")
    log_run(client, experiment, home / "plan", kind="study")
    log_run(client, experiment, None, kind="variant", variant="relu-rms")
    for folder in sorted((directory / "runs").iterdir()):
        log_run(client, experiment, folder, kind="run", run_key=folder.name)
        log_run(client, experiment, None, kind="run", run_key=folder.name)  # a lost later attempt
    log_run(client, experiment, None, kind="run", run_key="0123456789abcdef")
    return directory, uri


def test_both_sources_give_the_same_results(tracked: tuple[Path, str]) -> None:
    directory, uri = tracked
    local, remote = load_study(directory), load_tracked_study(uri, "norm-placement")
    pd.testing.assert_frame_equal(local.runs, remote.runs)
    pd.testing.assert_frame_equal(local.histories, remote.histories)
    assert local.plan == remote.plan
    assert local.records == remote.records
    assert local.definitions == remote.definitions


def test_an_unknown_study_lists_the_known_ones(tracked: tuple[Path, str]) -> None:
    with pytest.raises(UnreadableResults, match=r"no experiment 'nope'.*norm-placement"):
        load_tracked_study(tracked[1], "nope")


def test_an_experiment_without_a_plan_is_refused(tracked: tuple[Path, str]) -> None:
    MlflowClient(tracking_uri=tracked[1]).create_experiment("by-hand")
    with pytest.raises(UnreadableResults, match="holds no run of kind 'study'"):
        load_tracked_study(tracked[1], "by-hand")


def test_runs_are_linked_by_their_keys_page_by_page(
    tracked: tuple[Path, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    directory, uri = tracked
    client = MlflowClient(tracking_uri=uri)
    experiment = client.get_experiment_by_name("norm-placement")
    assert experiment is not None
    monkeypatch.setattr("reports.results.mlflow_source.PAGE_SIZE", 3)
    links = link_runs(uri, "norm-placement", "http://host:5000")
    assert links is not None
    assert set(links.run_ids) == {*load_study(directory).records, "0123456789abcdef"}
    for key, run_id in links.run_ids.items():
        tags = client.get_run(run_id).data.tags
        assert (tags["kind"], tags["run_key"]) == ("run", key)
        address = f"http://host:5000/#/experiments/{experiment.experiment_id}/runs/{run_id}"
        assert links.to(key) == address


def test_a_store_without_the_study_gives_no_links(tracked: tuple[Path, str]) -> None:
    assert link_runs(tracked[1], "nope", "http://host:5000") is None
