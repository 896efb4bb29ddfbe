from __future__ import annotations

import pandas as pd
import pytest

from ablations.metrics_file import MetricsFile
from ablations.run_directory import StudyDirectory
from studies.errors import AblationError
from studies.records import Outcome, RunRecord
from tests.ablations_tests.synthetic_runs import definitions
from tests.ablations_tests.tiny_studies import keys_of, queue


@pytest.fixture
def run(tmp_path):
    return StudyDirectory(tmp_path, "study").run("0123456789abcdef")


@pytest.fixture
def attempt(run):
    attempt = run.attempt(3)
    attempt.start()
    return attempt


def record(attempt, **changes):
    fields = {
        "run_key": "0123456789abcdef",
        "study": "study",
        "variant": "rms",
        "seed": 0,
        "levels": {},
        "attempt": attempt.number,
        "outcome": Outcome.COMPLETED,
    }
    return RunRecord(**{**fields, **changes})


def test_definitions_come_back_as_they_were_written(attempt):
    assert attempt.definitions() == {}
    attempt.save_definitions(definitions())
    assert attempt.definitions() == definitions()


def test_an_attempt_continues_what_was_recorded_up_to_its_checkpoint(run, attempt):
    file = MetricsFile(attempt.metrics_path)
    for step in (0, 5, 10, 15):
        file.write(step, {"train/loss": float(step)})
    with attempt.metrics_path.open("a") as torn:
        torn.write('{"step": 20, "val')
    heir = run.attempt(10)
    heir.continue_from(attempt, 10)
    MetricsFile(heir.metrics_path).write(15, {"train/loss": -15.0})
    assert [(row.step, row.values["train/loss"]) for row in heir.read_metrics()] == [
        (0, 0.0),
        (5, 5.0),
        (10, 10.0),
        (15, -15.0),
    ]
    assert [a.number for a in run.attempts()] == [3, 10]


def test_an_attempt_starts_without_rows_of_another_of_its_number(attempt):
    MetricsFile(attempt.metrics_path).write(1, {"train/loss": 2.0})
    attempt.start()  # the ledger was deleted, and counts from 0 again
    assert attempt.read_metrics() == []


def test_publishing_can_be_repeated_and_overtaken(run, attempt):
    MetricsFile(attempt.metrics_path).write(5, {"train/loss": 2.0, "val/loss": 3.0})
    assert run.record() is None
    run.publish(record(attempt, outcome=Outcome.FAILED, error="x"))
    for _ in range(2):
        run.publish(record(attempt))
    assert run.record() == record(attempt)
    history = pd.read_parquet(run.history_path)
    assert history.values.tolist() == [["train/loss", 5, 2.0], ["val/loss", 5, 3.0]]
    assert sorted(p.name for p in run.path.iterdir()) == [
        "attempt-3",
        "history.parquet",
        "record.json",
    ]


def test_a_run_without_any_rows_or_folder_can_be_published(run):
    lost = record(run.attempt(7), outcome=Outcome.FAILED, error="the worker died")
    run.publish(lost)
    assert run.record() == lost
    assert pd.read_parquet(run.history_path).empty


def test_checkpoints_are_removed_and_nothing_else(attempt):
    from lightning_modules.checkpoints import checkpoint_path

    checkpoint_path(attempt.path, 30).touch()
    attempt.remove_checkpoints()
    assert [p.name for p in attempt.path.iterdir()] == ["metrics.jsonl"]


def test_a_plan_comes_back_as_it_was_saved(tmp_path):
    plan, directory, _ = queue(tmp_path)
    loaded = directory.load_plan()
    assert loaded.model_dump_json() == plan.model_dump_json()
    assert [loaded.spec(run).run_key for run in loaded.runs] == keys_of(plan)
    assert (directory.path / "study.yaml").read_text() == (tmp_path / "study.yaml").read_text()


def test_a_study_that_never_ran_names_those_that_did(tmp_path):
    queue(tmp_path)
    with pytest.raises(AblationError, match=r"no runs of study 'other'.*Studies there: tiny\."):
        StudyDirectory(tmp_path, "other").load_plan()
