import json
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from mlflow import MlflowClient
from mlflow.entities import Run

from ablations.publishing import RunPublisher, is_tracked, sync_study
from ablations.registering import read_registration, register_once
from ablations.tracked_run import TrackedRun
from ablations.tracking import Tracking
from ablations.tracking_store import default_tracking_uri, sqlite_path
from reports.results.mlflow_source import load_tracked_study
from reports.results.sources import load_study
from studies.digests import digest_tags
from studies.execution import ExecutionConfig
from studies.plan import Plan
from studies.registration import Registration
from tests.ablations_tests.tiny_studies import STUDY, queue
from tests.finished_study import QUESTION, FinishedStudy, finished

__all__ = ["finished"]

SENT = ExecutionConfig().tracked_taps

OPEN_STUDY = """
import sys
from pathlib import Path
from ablations.run_directory import StudyDirectory
from ablations.tracking import Tracking
directory = StudyDirectory(Path(sys.argv[1]), sys.argv[2])
study = Tracking(sys.argv[3]).open_study(directory.load_plan(), directory.path)
print(study.experiment_id, study.study_run_id, *sorted(study.variant_run_ids.values()))
"""


def runs_of_kind(study: FinishedStudy, kind: str) -> list[Run]:
    client = MlflowClient(study.uri)
    experiment = client.get_experiment_by_name(study.plan.study.name)
    return list(client.search_runs([experiment.experiment_id], f"tags.kind = '{kind}'"))


def rows_of_store(uri: str) -> dict[str, list[tuple[Any, ...]]]:
    path = sqlite_path(uri)
    assert path is not None
    tables = ("experiments", "experiment_tags", "runs", "params", "tags", "metrics")
    with closing(sqlite3.connect(path)) as connection:
        return {t: sorted(connection.execute(f"SELECT * FROM {t}"), key=repr) for t in tables}


def artifacts(study: FinishedStudy, run: Run) -> dict[str, Path]:
    client = MlflowClient(study.uri)
    names = [item.path for item in client.list_artifacts(run.info.run_id)]
    return {name: Path(client.download_artifacts(run.info.run_id, name)) for name in names}


def test_seed_runs_hang_on_variants_and_those_on_the_study(finished: FinishedStudy) -> None:
    (study_run,) = runs_of_kind(finished, "study")
    variants = {run.info.run_id: run for run in runs_of_kind(finished, "variant")}
    assert {run.data.tags["variant"] for run in variants.values()} == {"gelu", "swiglu"}
    for run in variants.values():
        assert run.data.tags["mlflow.parentRunId"] == study_run.info.run_id
    seeds = runs_of_kind(finished, "run")
    assert len(seeds) == 4
    for run in seeds:
        parent = variants[run.data.tags["mlflow.parentRunId"]]
        assert run.data.tags["variant"] == parent.data.tags["variant"]
        levels = {k: v for k, v in run.data.params.items() if k != "seed"}
        assert parent.data.params == levels


def test_a_run_carries_params_tags_and_the_numbers_of_its_directory(
    finished: FinishedStudy,
) -> None:
    for run in runs_of_kind(finished, "run"):
        tags = run.data.tags
        directory = finished.directory.run(tags["run_key"])
        record = directory.record()
        assert record is not None
        assert run.data.params["activation"] == record.levels["model.activation"]
        assert (tags["variant"], tags["seed"]) == (record.variant, str(record.seed))
        assert (tags["outcome"], tags["leak"]) == ("completed", "causal")
        assert tags["git_commit"] == (record.provenance["git"]["commit"] or "not known")
        assert tags["version.torch"] == record.provenance["packages"]["torch"]
        digests = digest_tags(record.digests)
        assert len(digests) == 3
        assert digests.items() <= tags.items()
        assert not any(tag.startswith("parameter/") for tag in tags)
        history = pd.read_parquet(directory.history_path).sort_values("step")
        last = dict(zip(history["metric"], history["value"], strict=True))
        tracked = {name: value for name, value in last.items() if is_tracked(name, SENT)}
        assert run.data.metrics == tracked | record.summary
        assert run.info.status == "FINISHED"
        duration_s = (run.info.end_time - run.info.start_time) / 1000
        assert duration_s == pytest.approx(record.wall_time_s, abs=1e-3)


def test_every_point_of_a_tracked_curve_is_in_the_store(finished: FinishedStudy) -> None:
    run = runs_of_kind(finished, "run")[0]
    history = pd.read_parquet(finished.directory.run(run.data.tags["run_key"]).history_path)
    tracked = history[[is_tracked(name, SENT) for name in history["metric"]]]
    assert 0 < len(tracked) < len(history)
    for name, points in tracked.groupby("metric"):
        stored = MlflowClient(finished.uri).get_metric_history(run.info.run_id, str(name))
        assert [(p.step, p.value) for p in sorted(stored, key=lambda p: p.step)] == list(
            zip(points["step"], points["value"], strict=True)
        )


def test_a_run_carries_spec_record_history_and_environment(finished: FinishedStudy) -> None:
    for run in runs_of_kind(finished, "run"):
        directory = finished.directory.run(run.data.tags["run_key"])
        found = artifacts(finished, run)
        for path in (directory.spec_path, directory.record_path, directory.history_path):
            assert found[path.name].read_bytes() == path.read_bytes()
        record = directory.record()
        assert record is not None
        assert json.loads(found["environment.json"].read_text()) == record.provenance


def test_the_texts_of_a_run_are_a_table_that_the_ui_compares(finished: FinishedStudy) -> None:
    for run in runs_of_kind(finished, "run"):
        record = finished.directory.run(run.data.tags["run_key"]).record()
        assert record is not None
        assert record.samples is not None
        table = json.loads(artifacts(finished, run)["samples.json"].read_text())
        assert table["columns"] == ["prompt", "text", "tokens", "ended"]
        assert table["data"] == [list(t.model_dump().values()) for t in record.samples.texts]
        tables = json.loads(run.data.tags["mlflow.loggedArtifacts"])
        assert tables == [{"path": "samples.json", "type": "table"}]


def test_the_study_run_carries_plan_and_study_file(finished: FinishedStudy) -> None:
    (run,) = runs_of_kind(finished, "study")
    found = artifacts(finished, run)
    assert Plan.model_validate_json(found["plan.json"].read_text()) == finished.plan
    assert found["study.yaml"].read_text() == (finished.directory.path / "study.yaml").read_text()
    assert (run.data.tags["runs"], run.data.tags["factors"]) == ("4", "activation")
    assert run.info.status == "FINISHED"


def test_the_study_run_carries_what_was_registered(finished: FinishedStudy) -> None:
    (run,) = runs_of_kind(finished, "study")
    text = artifacts(finished, run)["registration.json"].read_text()
    registration = Registration.model_validate_json(text)
    assert registration == read_registration(finished.directory)
    assert run.data.tags["registered"] == registration.registered_at
    assert run.data.tags["registration_digest"] == registration.digest
    assert run.data.tags["registered_after_first_runs"] == "False"


def test_the_first_registration_that_a_store_has_stays(tmp_path: Path) -> None:
    uri = default_tracking_uri(tmp_path)
    plan, directory, _ = queue(tmp_path)
    for _ in range(2):  # the second one as of a folder that was deleted
        directory.registration_path.unlink(missing_ok=True)
        register_once(plan, directory)
        Tracking(uri).open_study(plan, directory.path)
        plan = plan.model_copy(update={"study": plan.study.model_copy(update={"seeds": (7,)})})
    tracked = load_tracked_study(uri, plan.study.name).registration
    local = read_registration(directory)
    assert local is not None
    assert tracked is not None
    assert (tracked.parts["seeds"], local.parts["seeds"]) == ([0, 1], [7])


@pytest.mark.parametrize(
    ("query", "count"),
    [
        ("params.activation = 'swiglu' and tags.kind = 'run'", 2),
        ("tags.outcome = 'completed'", 4),
        ("metrics.\"summary/val_loss\" < 100 and tags.kind = 'variant'", 2),
        ("tags.leak = 'leaky'", 0),
    ],
)
def test_runs_are_found_by_what_they_are(finished: FinishedStudy, query: str, count: int) -> None:
    client = MlflowClient(finished.uri)
    experiment = client.get_experiment_by_name(finished.plan.study.name)
    assert len(client.search_runs([experiment.experiment_id], query)) == count


def test_reports_read_the_same_from_the_store_as_from_disk(finished: FinishedStudy) -> None:
    local = load_study(finished.directory.path)
    tracked = load_tracked_study(finished.uri, finished.plan.study.name)
    pd.testing.assert_frame_equal(local.runs, tracked.runs)
    pd.testing.assert_frame_equal(local.histories, tracked.histories)
    assert local.records == tracked.records
    assert local.plan == tracked.plan
    assert local.registration == tracked.registration


def test_sending_everything_again_changes_no_row(finished: FinishedStudy) -> None:
    before = rows_of_store(finished.uri)
    tracking = Tracking(finished.uri)
    assert sync_study(tracking, finished.plan, finished.directory) == 0
    study = tracking.open_study(finished.plan, finished.directory.path)
    for planned in finished.plan.runs:
        run = finished.directory.run(planned.run_key)
        record = run.record()
        assert record is not None
        attempt = run.attempt(record.attempt)
        publisher = RunPublisher(run, attempt, finished.plan, planned)
        publisher.close(record)
        publisher.advance(tracking, study)
    assert rows_of_store(finished.uri) == before


def test_a_new_store_gets_everything_from_the_directories(
    finished: FinishedStudy, tmp_path: Path
) -> None:
    uri = default_tracking_uri(tmp_path)
    assert sync_study(Tracking(uri), finished.plan, finished.directory) == 4
    again = load_tracked_study(uri, finished.plan.study.name)
    pd.testing.assert_frame_equal(again.runs, load_study(finished.directory.path).runs)


def test_processes_that_open_a_study_at_once_create_it_once(tmp_path: Path) -> None:
    plan, directory, _ = queue(tmp_path)
    uri = default_tracking_uri(tmp_path)
    command = [sys.executable, "-c", OPEN_STUDY, str(tmp_path), directory.study, uri]
    openers = [
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    seen = {opener.communicate()[0].strip() for opener in openers}
    assert [opener.returncode for opener in openers] == [0, 0, 0]
    assert len(seen) == 1
    client = MlflowClient(uri)
    assert [e.name for e in client.search_experiments()] == [directory.study, "Default"]
    runs = client.search_runs([client.get_experiment_by_name(directory.study).experiment_id])
    assert sorted(r.data.tags["kind"] for r in runs) == ["study", *["variant"] * len(plan.cells)]


def test_a_deleted_experiment_comes_back(tmp_path: Path) -> None:
    plan, directory, _ = queue(tmp_path)
    tracking = Tracking(default_tracking_uri(tmp_path))
    first = tracking.open_study(plan, directory.path)
    tracking.client.delete_experiment(first.experiment_id)
    again = tracking.open_study(plan, directory.path)
    assert again == first
    assert tracking.client.get_experiment(first.experiment_id).lifecycle_stage == "active"


def test_another_configuration_of_a_variant_is_another_variant_run(tmp_path: Path) -> None:
    plan, directory, _ = queue(tmp_path)
    tracking = Tracking(default_tracking_uri(tmp_path))
    first = tracking.open_study(plan, directory.path)
    longer, directory, _ = queue(tmp_path, training={**STUDY["training"], "max_steps": 31})
    second = tracking.open_study(longer, directory.path)
    assert second.study_run_id == first.study_run_id
    assert second.variant_run_ids.keys() == first.variant_run_ids.keys()
    assert not set(second.variant_run_ids.values()) & set(first.variant_run_ids.values())


def test_runs_of_an_earlier_plan_are_set_aside_and_come_back_with_it(tmp_path: Path) -> None:
    plan, directory, _ = queue(tmp_path)
    tracking = Tracking(default_tracking_uri(tmp_path))
    study = tracking.open_study(plan, directory.path)
    planned = plan.runs[0]
    run = tracking.open_run(study, TrackedRun.of(plan, planned), 0)
    longer, directory, _ = queue(tmp_path, training={**STUDY["training"], "max_steps": 31})

    def kinds() -> list[str]:
        found = tracking.client.search_runs([study.experiment_id])
        return sorted(r.data.tags["kind"] for r in found)

    variants = len(plan.cells)
    tracking.open_study(longer, directory.path)
    aside = ["earlier_run", *["earlier_variant"] * variants, "study", *["variant"] * variants]
    assert kinds() == aside
    again = tracking.open_study(plan, directory.path)
    assert again.runs[planned.run_key].info.run_id == run.info.run_id
    assert kinds() == ["earlier_variant"] * variants + ["run", "study"] + ["variant"] * variants


def test_another_factor_renames_what_the_store_has(tmp_path: Path) -> None:
    plan, directory, _ = queue(tmp_path)
    tracking = Tracking(default_tracking_uri(tmp_path))
    study = tracking.open_study(plan, directory.path)
    planned = plan.runs[0]
    run = tracking.open_run(study, TrackedRun.of(plan, planned), 0)
    factors = {"model.norm": ["layer", "rms"], "model.placement": ["pre", "post"]}
    wider, directory, _ = queue(tmp_path, factors=factors)
    again = tracking.open_study(wider, directory.path)
    assert again.variant_run_ids["layer-pre"] == study.variant_run_ids["layer"]
    for run_id, name in (
        (run.info.run_id, "layer-pre seed 0"),
        (again.variant_run_ids["layer-pre"], "layer-pre"),
    ):
        found = tracking.client.get_run(run_id)
        assert (found.data.tags["variant"], found.info.run_name) == ("layer-pre", name)


def test_a_description_is_written_once_and_a_persons_own_stays(tmp_path: Path) -> None:
    plan, directory, _ = queue(tmp_path, question=QUESTION)
    tracking = Tracking(default_tracking_uri(tmp_path))
    study = tracking.open_study(plan, directory.path)
    note = tracking.client.get_experiment(study.experiment_id).tags["mlflow.note.content"]
    assert QUESTION in note
    assert f"(#/experiments/{study.experiment_id}/runs?viewStateShareKey=by-norm&" in note
    assert f"(#/experiments/{study.experiment_id}/runs?viewStateShareKey=attention&" in note
    tracking.client.set_experiment_tag(study.experiment_id, "mlflow.note.content", "my own")
    tracking.open_study(plan, directory.path)
    tags = tracking.client.get_experiment(study.experiment_id).tags
    assert tags["mlflow.note.content"] == "my own"
