from __future__ import annotations

import multiprocessing
import random
import sqlite3
import time
from contextlib import closing

import optuna
import pytest
import sqlalchemy
from optuna.exceptions import StorageInternalError

import ablations.storages.patience
from ablations.storages.opening import open_storage
from ablations.storages.patience import patiently
from ablations.storages.sqlite import sqlite_url
from studies.errors import AblationError
from tests.ablations_tests.queue_storages import STORAGES, new_url


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

    seeded = random.getstate()
    assert patiently(call, 7) == 7
    assert len(waited) == 2
    assert random.getstate() == seeded, "a run that waited would draw other numbers"


def test_patiently_gives_up_after_two_minutes(monkeypatch):
    clock = iter(range(0, 10_000, 50))
    monkeypatch.setattr(ablations.storages.patience.time, "monotonic", lambda: next(clock))
    monkeypatch.setattr(ablations.storages.patience.time, "sleep", lambda _: None)
    with pytest.raises(ConnectionError, match="never comes back"):
        patiently(raise_, ConnectionError("never comes back"))


def test_patiently_passes_other_errors_on_at_once():
    with pytest.raises(KeyError):
        patiently(raise_, KeyError("no such study"))


def raise_(error):
    raise error


def open_together(barrier, url):
    barrier.wait()
    open_storage(url)


@pytest.fixture(params=STORAGES)
def url(request, tmp_path):
    return new_url(request, tmp_path)


def test_several_processes_may_create_one_storage_at_once(url):
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(4)
    processes = [context.Process(target=open_together, args=(barrier, url)) for _ in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
    assert [process.exitcode for process in processes] == [0] * 4


def test_a_storage_of_another_version_of_optuna_is_refused(tmp_path):
    new_study(tmp_path / "ledger.db")
    with closing(sqlite3.connect(tmp_path / "ledger.db")) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = 'v99'")
    with pytest.raises(AblationError, match="was made by another version of Optuna"):
        open_storage(sqlite_url(tmp_path / "ledger.db"))
