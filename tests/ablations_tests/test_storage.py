from __future__ import annotations

import multiprocessing
import sqlite3
import time

import optuna
import pytest
import sqlalchemy
from optuna.exceptions import StorageInternalError

import ablations.storage
from ablations.storage import open_storage, patiently, sqlite_url


def new_study(path):
    storage = open_storage(sqlite_url(path))
    study = optuna.create_study(study_name="s", storage=storage)
    return storage, study._study_id


def test_transactions_take_the_write_lock_when_they_begin(tmp_path):
    storage, _ = new_study(tmp_path / "ledger.db")
    with storage._backend.engine.begin() as connection:
        connection.execute(sqlalchemy.text("SELECT 1"))
        other = sqlite3.connect(tmp_path / "ledger.db", timeout=0, isolation_level=None)
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            other.execute("BEGIN IMMEDIATE")
    other.execute("BEGIN IMMEDIATE")
    other.close()


def test_readers_do_not_wait_for_a_writer(tmp_path):
    new_study(tmp_path / "ledger.db")
    writer = sqlite3.connect(tmp_path / "ledger.db", isolation_level=None)
    writer.execute("BEGIN IMMEDIATE")
    reader = sqlite3.connect(tmp_path / "ledger.db", timeout=0)
    assert reader.execute("SELECT study_name FROM studies").fetchall() == [("s",)]
    reader.close()
    writer.close()


def test_patiently_outlives_a_database_that_is_away(monkeypatch):
    waited = []
    monkeypatch.setattr(time, "sleep", waited.append)
    answers = iter([StorageInternalError("away"), ConnectionError("away"), None])

    def call(value):
        error = next(answers)
        if error is not None:
            raise error
        return value

    assert patiently(call, 7) == 7
    assert len(waited) == 2


def test_patiently_gives_up_after_two_minutes(monkeypatch):
    clock = iter(range(0, 10_000, 50))
    monkeypatch.setattr(ablations.storage.time, "monotonic", lambda: next(clock))
    monkeypatch.setattr(ablations.storage.time, "sleep", lambda _: None)
    with pytest.raises(ConnectionError, match="never comes back"):
        patiently(raise_, ConnectionError("never comes back"))


def test_patiently_passes_other_errors_on_at_once():
    with pytest.raises(KeyError):
        patiently(raise_, KeyError("no such study"))


def raise_(error):
    raise error


def open_together(barrier, path):
    barrier.wait()
    open_storage(sqlite_url(path))


def test_several_processes_may_create_one_storage_at_once(tmp_path):
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(4)
    path = tmp_path / "ledger.db"
    processes = [context.Process(target=open_together, args=(barrier, path)) for _ in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
    assert [process.exitcode for process in processes] == [0] * 4
