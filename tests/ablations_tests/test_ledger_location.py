"""Where a study's queue is: chosen once, written down without secrets, found again by everybody."""

from __future__ import annotations

import json
import re
import secrets
import time

import optuna
import pytest

import ablations.ledger_location
from ablations.cli import main
from ablations.ledger_location import (
    known_ledger,
    ledger_of,
    planner_ledger,
    worker_ledger,
)
from ablations.listing import statuses_of
from ablations.run_directory import StudyDirectory
from ablations.run_status import RunState
from ablations.storages.opening import open_storage
from ablations.storages.sqlite import sqlite_url
from studies.errors import AblationError
from studies.records import Outcome
from tests.ablations_tests.queue_storages import UNREACHABLE
from tests.ablations_tests.tiny_studies import keys_of, queue


@pytest.fixture
def directory(tmp_path):
    return StudyDirectory(tmp_path / "home", "tiny")


@pytest.fixture
def server(postgresql, monkeypatch):
    """An empty database, whose password is in the environment."""
    url = postgresql.create_database(f"location_{secrets.token_hex(4)}")
    monkeypatch.setenv("PGPASSWORD", postgresql.password)
    return url.replace(f":{postgresql.password}@", "@")


def recorded(directory):
    return json.loads(directory.ledger_file_path.read_text())


def queued(ledger):
    ledger.reconcile(["a"])
    return ledger


def test_a_study_without_a_queue_has_no_location(directory):
    assert known_ledger(directory) is None
    assert ledger_of(directory) is None
    with pytest.raises(AblationError, match="study 'tiny' has no queue in "):
        worker_ledger(directory, None)


def test_a_queue_is_a_sqlite_file_in_the_study_s_folder_if_nobody_says_otherwise(directory):
    queued(planner_ledger(directory))
    assert not directory.ledger_file_path.exists()
    assert known_ledger(directory).url == sqlite_url(directory.ledger_path)
    assert worker_ledger(directory, None).claim(["a"]).run_key == "a"
    assert worker_ledger(directory, "sqlite").name == "tiny"


def test_a_journal_stands_in_the_study_s_folder_and_moves_with_it(directory, tmp_path):
    queued(planner_ledger(directory, "journal"))
    assert recorded(directory)["url"] == "journal"
    assert not directory.ledger_path.exists()
    (tmp_path / "home").rename(tmp_path / "moved")
    moved = StudyDirectory(tmp_path / "moved", "tiny")
    assert known_ledger(moved).url == f"journal://{moved.path / 'ledger.journal'}"
    assert worker_ledger(moved, None).claim(["a"]).run_key == "a"


@pytest.mark.parametrize("kind", ["sqlite", "journal", "postgresql"])
def test_two_homes_share_a_storage_and_their_queues_never_meet(kind, tmp_path, request):
    shared = {
        "sqlite": sqlite_url(tmp_path / "shared.db"),
        "journal": f"journal://{tmp_path / 'shared.journal'}",
    }.get(kind) or request.getfixturevalue("server")
    homes = [StudyDirectory(tmp_path / name, "tiny") for name in ("ada", "bob")]
    for home in homes:
        queued(planner_ledger(home, shared))
    names = [recorded(home)["name"] for home in homes]
    assert all(re.fullmatch(r"tiny-[0-9a-f]{8}", name) for name in names)
    assert len(set(names)) == 2
    assert {study.study_name for study in open_storage(shared).get_all_studies()} == set(names)
    ada, bob = (worker_ledger(home, None) for home in homes)
    ada.claim(["a"]).complete(Outcome.COMPLETED, 1.0)
    states = [ledger.statuses(["a"])["a"].state for ledger in (ada, bob)]
    assert states == [RunState.COMPLETED, RunState.WAITING]


def test_where_the_queue_is_holds_for_whoever_plans_next(directory, tmp_path, monkeypatch):
    url = f"journal://{tmp_path / 'shared.journal'}"
    first = queued(planner_ledger(directory, None, usual=url))
    monkeypatch.setenv("ABLATE_STORAGE", UNREACHABLE)
    for again in (planner_ledger(directory), planner_ledger(directory, url, usual="sqlite")):
        assert again.name == first.name
        assert again.statuses(["a"])["a"].state is RunState.WAITING


def test_the_storage_of_the_environment_comes_before_the_usual_one(directory, monkeypatch):
    monkeypatch.setenv("ABLATE_STORAGE", "journal")
    planner_ledger(directory, usual="sqlite")
    assert recorded(directory)["url"] == "journal"


@pytest.mark.parametrize(
    ("first", "asked"),
    [
        ("sqlite", "journal"),
        ("journal", "sqlite"),
        ("sqlite", "sqlite:////elsewhere/ledger.db"),
        ("journal", "journal:///elsewhere/ledger.journal"),
        ("sqlite", UNREACHABLE),
        ("journal", "grpc://127.0.0.1:1"),
    ],
)
def test_another_storage_than_the_file_of_the_queue_is_refused(directory, first, asked):
    planner_ledger(directory, first)
    for opened in (planner_ledger, worker_ledger, ledger_of):
        with pytest.raises(AblationError, match=r"the queue of study 'tiny' is in .*`ablate move"):
            opened(directory, asked)


def test_a_file_is_refused_where_the_queue_is_in_a_database(directory, server):
    planner_ledger(directory, server)
    with pytest.raises(AblationError, match=r"is in postgresql.* and journal was asked for"):
        worker_ledger(directory, "journal")


@pytest.mark.parametrize(
    ("asked", "error"),
    [
        ("ledger.db", "'ledger.db' is no storage; allowed: postgresql://USER"),
        ("journal://ledger.journal", r"give the whole path \(journal:///FOLDER/FILE\)"),
        ("sqlite:///ledger.db", r"give the whole path \(sqlite:////FOLDER/FILE\)"),
        ("redis://db/0", "redis"),
        ("postgresql://ada:secret@db/x", "--storage has a password in it"),
    ],
)
def test_what_is_no_storage_is_refused_and_nothing_is_written(directory, asked, error):
    with pytest.raises(AblationError, match=error) as refused:
        planner_ledger(directory, asked)
    assert "secret" not in str(refused.value)
    assert not directory.ledger_file_path.exists()
    assert known_ledger(directory) is None


def test_a_password_on_the_command_line_is_refused_by_every_command(tmp_path, capsys):
    queue(tmp_path)
    options = ["--home", str(tmp_path), "--storage", "postgresql://ada:secret@db/x"]
    for command in (["run", "--yes"], ["worker"], ["status"]):
        assert main([command[0], str(tmp_path / "study.yaml"), *command[1:], *options]) == 2
        output = "".join(capsys.readouterr())
        assert "--storage has a password in it" in output
        assert "secret" not in output


def test_a_database_is_written_down_without_its_password(directory, postgresql, monkeypatch):
    url = postgresql.create_database(f"location_{secrets.token_hex(4)}")
    monkeypatch.setenv("ABLATE_STORAGE", url)
    queued(planner_ledger(directory))
    assert recorded(directory)["url"] == url.replace(f":{postgresql.password}@", "@")
    written = [path.read_bytes() for path in directory.path.rglob("*") if path.is_file()]
    assert not any(postgresql.password.encode() in content for content in written)
    assert worker_ledger(directory, None).statuses(["a"])["a"].state is RunState.WAITING
    monkeypatch.delenv("ABLATE_STORAGE")
    monkeypatch.setenv("PGPASSWORD", postgresql.password)
    assert worker_ledger(directory, None).claim(["a"]).run_key == "a"


def test_another_address_of_the_database_is_accepted_where_it_has_the_study(
    directory, server, postgresql, monkeypatch
):
    name = queued(planner_ledger(directory, server)).name
    alias = server.replace("127.0.0.1", "localhost")
    for ledger in (worker_ledger(directory, alias), planner_ledger(directory, alias)):
        assert ledger.name == name
        assert ledger.statuses(["a"])["a"].state is RunState.WAITING
    monkeypatch.setenv("ABLATE_STORAGE", alias)
    assert known_ledger(directory).url == alias
    assert recorded(directory)["url"] == server  # nobody moved the queue


def test_a_database_without_the_study_is_refused(directory, server, postgresql):
    name = planner_ledger(directory, server).name
    other = postgresql.create_database(f"location_{secrets.token_hex(4)}")
    open_storage(other)
    other = other.replace(f":{postgresql.password}@", "@")
    for opened in (planner_ledger, worker_ledger, ledger_of):
        with pytest.raises(AblationError, match=f"has no study '{name}'.*correct `url` in ledger"):
            opened(directory, other)
    assert open_storage(other).get_all_studies() == []


def test_an_empty_database_has_no_study_either(directory, server, postgresql, monkeypatch):
    monkeypatch.setattr(ablations.ledger_location, "ANSWER_S", 600.0)  # it is told at once
    planner_ledger(directory, server)
    empty = postgresql.create_database(f"location_{secrets.token_hex(4)}")
    with pytest.raises(AblationError, match="has no study"):
        ledger_of(directory, empty.replace(f":{postgresql.password}@", "@"))


def test_a_journal_that_was_deleted_is_no_empty_queue(directory):
    planner_ledger(directory, "journal")
    (directory.path / "ledger.journal").unlink()
    for opened in (planner_ledger, ledger_of):
        with pytest.raises(AblationError, match="has no study 'tiny-"):
            opened(directory)


def test_a_database_that_does_not_answer_is_told_within_the_patience(directory, monkeypatch):
    monkeypatch.setattr(ablations.ledger_location, "ANSWER_S", 0.5)
    started = time.monotonic()
    with pytest.raises(AblationError, match=r"does not answer: .*refused(.|\n)*Nothing is lost"):
        planner_ledger(directory, UNREACHABLE)
    assert time.monotonic() - started < 20
    assert known_ledger(directory) is None


def test_a_wrong_password_is_told_and_not_shown(directory, postgresql, monkeypatch):
    monkeypatch.setattr(ablations.ledger_location, "ANSWER_S", 0.5)
    monkeypatch.setenv("ABLATE_STORAGE", postgresql.url.replace(postgresql.password, "not-it"))
    with pytest.raises(AblationError, match=r"does not answer: .*password") as refused:
        planner_ledger(directory)
    assert "not-it" not in str(refused.value)


@pytest.mark.parametrize("text", ["", "{", '{"url": "journal"}', '{"url": 3, "name": "x"}'])
def test_a_ledger_file_that_cannot_be_read_is_an_error(directory, text):
    planner_ledger(directory, "journal")
    directory.ledger_file_path.write_text(text)
    with pytest.raises(AblationError, match=r"ledger.json says not where the queue is: .*backup"):
        known_ledger(directory)


def test_what_is_read_is_read_where_the_queue_is(tmp_path):
    plan, directory, old = queue(tmp_path, seeds=1)
    del old
    directory.ledger_path.unlink()
    ledger = planner_ledger(directory, "journal")
    ledger.reconcile(keys_of(plan))
    assert {s.state for s in statuses_of(plan, directory).values()} == {RunState.WAITING}
    storage = open_storage(f"journal://{directory.path / 'ledger.journal'}")
    assert optuna.study.get_all_study_names(storage) == [ledger.name]
