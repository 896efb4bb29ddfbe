from __future__ import annotations

import contextlib
import logging
import os
import resource
import signal

import pytest

from ablations.metrics_file import MetricRow, MetricsFile, MetricsTail
from ablations.run_directory import StudyDirectory
from tests.ablations_tests.tiny_studies import rows_of


@pytest.fixture
def attempt(tmp_path):
    attempt = StudyDirectory(tmp_path, "study").run("0123456789abcdef").attempt(3)
    attempt.start()
    return attempt


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


def test_rows_come_back_as_they_were_written(attempt):
    file = MetricsFile(attempt.metrics_path)
    file.write(1, {"train/loss": 0.1 + 0.2})
    file.write(1, {"val/loss": 1e-300})
    file.close()
    assert attempt.read_metrics() == [
        MetricRow(1, {"train/loss": 0.1 + 0.2}),
        MetricRow(1, {"val/loss": 1e-300}),
    ]


def test_a_row_is_on_disk_when_write_returns(attempt):
    MetricsFile(attempt.metrics_path).write(1, {"train/loss": 2.0})
    assert rows_of(attempt.metrics_path) == [{"step": 1, "values": {"train/loss": 2.0}}]


def test_the_torn_last_line_of_a_killed_writer_is_left_out(attempt):
    MetricsFile(attempt.metrics_path).write(1, {"train/loss": 2.0})
    with attempt.metrics_path.open("a") as file:
        file.write('{"step": 2, "val')
    assert [row.step for row in attempt.read_metrics()] == [1]


def test_a_tail_reads_each_row_once_and_waits_for_whole_lines(attempt):
    file, tail = MetricsFile(attempt.metrics_path), MetricsTail(attempt.metrics_path)
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
    file, tail = MetricsFile(attempt.metrics_path), MetricsTail(attempt.metrics_path)
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
    file = MetricsFile(attempt.metrics_path)
    hidden = attempt.path.with_name("hidden")
    attempt.path.rename(hidden)
    file.write(1, {"train/loss": 2.0})
    hidden.rename(attempt.path)
    file.write(2, {"train/loss": 1.0})
    assert [row.step for row in attempt.read_metrics()] == [1, 2]


def test_rows_are_with_the_disk_before_a_checkpoint_may_be_written(attempt, monkeypatch):
    synced = []
    monkeypatch.setattr(
        os, "fsync", lambda number: synced.append(os.readlink(f"/proc/self/fd/{number}"))
    )
    file = MetricsFile(attempt.metrics_path)
    file.write(1, {"train/loss": 2.0})
    assert synced == []  # not at each row
    assert file.keep()
    assert synced == [str(attempt.metrics_path)]
    with disk_full_after(attempt.metrics_path, 3):
        file.write(2, {"train/loss": 1.0})
        assert not file.keep()
    assert file.keep()
    assert [row.step for row in attempt.read_metrics()] == [1, 2]
