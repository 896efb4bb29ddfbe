from __future__ import annotations

import contextlib
import logging
import resource
import signal

import pandas as pd
import pytest

from ablations.run_directory import MetricRow, MetricsFile, MetricsTail, StudyDirectory
from studies.errors import AblationError
from studies.records import Outcome, RunRecord
from tests.ablations_tests.synthetic_runs import definitions
from tests.ablations_tests.tiny_studies import keys_of, queue, rows_of


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


@contextlib.contextmanager
def disk_full_after(path, more_bytes):
    """A file that may grow by a few bytes only: the write that crosses the limit is cut short."""
    previous = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + more_bytes, previous[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, previous)
        signal.signal(signal.SIGXFSZ, handler)


def test_definitions_come_back_as_they_were_written(attempt):
    assert attempt.definitions() == {}
    attempt.save_definitions(definitions())
    assert attempt.definitions() == definitions()


def test_rows_come_back_as_they_were_written(attempt):
    file = MetricsFile(attempt)
    file.write(1, {"train/loss": 0.1 + 0.2})
    file.write(1, {"val/loss": 1e-300})
    file.close()
    assert attempt.read_metrics() == [
        MetricRow(1, {"train/loss": 0.1 + 0.2}),
        MetricRow(1, {"val/loss": 1e-300}),
    ]


def test_a_row_is_on_disk_when_write_returns(attempt):
    MetricsFile(attempt).write(1, {"train/loss": 2.0})
    assert rows_of(attempt.metrics_path) == [{"step": 1, "values": {"train/loss": 2.0}}]


def test_the_torn_last_line_of_a_killed_writer_is_left_out(attempt):
    MetricsFile(attempt).write(1, {"train/loss": 2.0})
    with attempt.metrics_path.open("a") as file:
        file.write('{"step": 2, "val')
    assert [row.step for row in attempt.read_metrics()] == [1]


def test_a_tail_reads_each_row_once_and_waits_for_whole_lines(attempt):
    file, tail = MetricsFile(attempt), MetricsTail(attempt)
    assert tail.new_rows() == []
    file.write(1, {"train/loss": 2.0})
    assert [row.step for row in tail.new_rows()] == [1]
    with attempt.metrics_path.open("a") as torn:
        torn.write('{"step": 2, "val')
    assert tail.new_rows() == []
    with attempt.metrics_path.open("a") as rest:
        rest.write('ues": {"train/loss": 1.0}}\n')
    assert tail.new_rows() == [MetricRow(2, {"train/loss": 1.0})]


@pytest.mark.parametrize("room", [0, 1, 30, 70, 130])
def test_a_full_disk_delays_rows_and_loses_none(attempt, caplog, room):
    file, tail = MetricsFile(attempt), MetricsTail(attempt)
    file.write(1, {"train/loss": 5.0})
    seen = tail.new_rows()
    with disk_full_after(attempt.metrics_path, room), caplog.at_level(logging.WARNING):
        for step in (2, 3, 4):
            file.write(step, {"train/loss": float(step), "learning_rate": 1e-3})
        seen += tail.new_rows()  # a reader may look while a line is torn
        with pytest.raises(OSError, match="too large"):
            file.close()
    assert len(caplog.records) == 1
    assert str(attempt.metrics_path) in caplog.text
    file.write(5, {"train/loss": 5.0})
    file.close()
    seen += tail.new_rows()
    assert [row.step for row in seen] == [1, 2, 3, 4, 5]
    assert attempt.read_metrics() == seen


def test_rows_survive_a_folder_that_is_away_for_a_while(attempt):
    file = MetricsFile(attempt)
    hidden = attempt.path.with_name("hidden")
    attempt.path.rename(hidden)
    file.write(1, {"train/loss": 2.0})
    hidden.rename(attempt.path)
    file.write(2, {"train/loss": 1.0})
    assert [row.step for row in attempt.read_metrics()] == [1, 2]


def test_an_attempt_continues_what_was_recorded_up_to_its_checkpoint(run, attempt):
    file = MetricsFile(attempt)
    for step in (0, 5, 10, 15):
        file.write(step, {"train/loss": float(step)})
    with attempt.metrics_path.open("a") as torn:
        torn.write('{"step": 20, "val')
    heir = run.attempt(10)
    heir.continue_from(attempt, 10)
    MetricsFile(heir).write(15, {"train/loss": -15.0})
    assert [(row.step, row.values["train/loss"]) for row in heir.read_metrics()] == [
        (0, 0.0),
        (5, 5.0),
        (10, 10.0),
        (15, -15.0),
    ]
    assert [a.number for a in run.attempts()] == [3, 10]


def test_an_attempt_starts_without_rows_of_another_of_its_number(attempt):
    MetricsFile(attempt).write(1, {"train/loss": 2.0})
    attempt.start()  # the ledger was deleted, and counts from 0 again
    assert attempt.read_metrics() == []


def test_publishing_can_be_repeated_and_overtaken(run, attempt):
    MetricsFile(attempt).write(5, {"train/loss": 2.0, "val/loss": 3.0})
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
