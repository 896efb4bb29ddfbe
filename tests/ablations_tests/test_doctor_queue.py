from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import optuna
import pytest
import sqlalchemy
from optuna.storages import RDBStorage

from ablations.doctor import mounts, queue
from ablations.doctor.findings import Mark
from ablations.ledger import Ledger
from ablations.ledger_location import LedgerLocation
from ablations.profiles import Profile
from ablations.storages import probing
from ablations.storages.opening import open_storage
from tests.ablations_tests.situations import marks, on_slurm, only, situation
from tests.cluster.ports import free_ports


@pytest.fixture
def database(postgresql, request) -> str:
    return postgresql.create_database(f"doctor_{abs(hash(request.node.name))}")


@contextmanager
def proxied(url):
    """Optuna's proxy in front of a storage."""
    from optuna.storages._grpc.server import make_server

    [port] = free_ports()
    server = make_server(open_storage(url), "127.0.0.1", port, ThreadPoolExecutor(10))
    server.start()
    try:
        yield f"grpc://127.0.0.1:{port}"
    finally:
        server.stop(None)


@pytest.mark.parametrize("kind", ["sqlite", "journal"])
def test_files_are_tried_in_one_beside_them(kind, tmp_path):
    url = {"sqlite": f"sqlite:///{tmp_path}/s", "journal": f"journal://{tmp_path}/s"}[kind]
    here = situation(tmp_path, storage=url)
    for check in (queue.reachable, queue.claims, queue.round_trip_time, queue.connections):
        assert set(marks(check(here))) <= {"ok"}
    assert list(tmp_path.iterdir()) == []
    Ledger(url, "study")
    assert marks(queue.round_trip_time(here)) == ["ok"]
    assert optuna.get_all_study_names(open_storage(url)) == ["study"]
    known = situation(tmp_path, storage=url, ledger=LedgerLocation(url, "study"))
    assert set(marks(queue.reachable(known))) == {"ok"}
    gone = situation(tmp_path, storage=url, ledger=LedgerLocation(url, "other"))
    assert "no study 'other'" in only(queue.reachable(gone)).found


def test_a_database_is_tried_and_left_as_it_was(database, tmp_path):
    here = situation(tmp_path, storage=database)
    said = [*queue.reachable(here), *queue.claims(here), *queue.round_trip_time(here)]
    assert set(marks(said)) == {"ok"}
    assert "PostgreSQL 1" in said[0].found
    assert optuna.get_all_study_names(open_storage(database)) == []


def test_more_workers_than_connections_are_a_problem(database, tmp_path):
    open_storage(database)

    def said(workers):
        here = situation(tmp_path, storage=database, profile=Profile(workers=workers))
        return list(queue.connections(here))

    assert marks(said(2)) == ["ok"]
    assert "ablate proxy" in only(said(30), Mark.WARNING).remedy
    assert "processes of 500 workers" in only(said(500)).found


def test_a_proxy_is_tried_like_what_is_behind_it(database, tmp_path):
    with proxied(database) as url:
        here = situation(tmp_path, storage=url, recorded_storage=database)
        said = [*queue.reachable(here), *queue.claims(here)]
        assert set(marks(said)) == {"ok"}
        assert "in front of postgresql" in said[0].found


def test_a_wrong_password_is_told_from_a_server_that_is_away(postgresql, tmp_path):
    def said(url):
        return only(queue.reachable(situation(tmp_path, storage=url)))

    wrong = said(postgresql.url.replace(postgresql.password, "wrong-password"))
    assert "refuses us" in wrong.found
    assert "PGPASSWORD" in wrong.remedy
    assert "wrong-password" not in str(wrong)
    [port] = free_ports()
    away = said(postgresql.url.replace(str(postgresql.port), str(port)))
    assert "does not answer" in away.found
    assert "port" in away.remedy
    assert "does not exist" in said(postgresql.url_of("nowhere")).found
    assert "does not answer" in said(f"grpc://127.0.0.1:{port}").found


def test_tables_of_another_optuna_are_a_warning(tmp_path):
    url = f"sqlite:///{tmp_path}/s"
    storage = open_storage(url)
    with probing._engine(storage).begin() as connection:
        connection.execute(sqlalchemy.text("UPDATE version_info SET library_version = '4.9.0'"))
    found = only(queue.reachable(situation(tmp_path, storage=url)), Mark.WARNING)
    assert "made by 4.9.0" in found.found


def test_a_storage_whose_claims_are_no_compare_and_set_is_found_out(tmp_path, monkeypatch):
    monkeypatch.setattr(probing, "open_storage", lambda url, existing=False: RDBStorage(url))
    before = threading.active_count()
    assert "claimed twice" in only(queue.claims(situation(tmp_path))).found
    assert threading.active_count() <= before + 1


def test_a_torn_journal_is_a_warning(tmp_path):
    url = f"journal://{tmp_path}/j"
    Ledger(url, "study")
    with (tmp_path / "j").open("a") as file:
        file.write('{"op_code": 1')
    torn = only(queue.reachable(situation(tmp_path, storage=url)), Mark.WARNING)
    assert "torn" in torn.found


def test_sqlite_is_for_one_machine(tmp_path, monkeypatch):
    sqlite = f"sqlite:///{tmp_path}/s"
    (tmp_path / "mounts").write_text("server:/x / nfs4 rw 0 0\n")
    monkeypatch.setattr(mounts, "MOUNTS", tmp_path / "mounts")
    assert "nfs4" in only(queue.reachable(situation(tmp_path, storage=sqlite))).found
    assert marks(queue.reachable(on_slurm(tmp_path))) == ["ok"]
    slurm = situation(tmp_path, launcher="slurm", storage=sqlite)
    assert "launcher slurm" in only(queue.reachable(slurm)).found
