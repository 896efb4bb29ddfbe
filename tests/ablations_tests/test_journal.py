"""The journal file and its lock: torn, left behind, taken from a writer that was suspended."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import optuna
import pytest

import ablations.storages.journal
from ablations.storages.journal import MendingLock, open_journal

REPOSITORY = Path(__file__).parents[2]
KILLED_WRITER = """
import os, sys
from pathlib import Path
from ablations.storages.journal import MendingLock

lock = MendingLock(Path(sys.argv[1]))
lock.acquire()
os.kill(os.getpid(), 9)
"""
pytestmark = pytest.mark.filterwarnings("ignore:The value of `grace_period` might be too small")


@pytest.fixture(autouse=True)
def short_grace(monkeypatch):
    monkeypatch.setattr(ablations.storages.journal, "LOCK_GRACE_S", 1)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "shared" / "ledger.journal"


def names(path):
    return [study.study_name for study in open_journal(path).get_all_studies()]


def new_study(path, name):
    optuna.create_study(study_name=name, storage=open_journal(path))


@pytest.mark.parametrize("torn", ['{"op_code":0,"study_n', "\x00\x00\x00", '{"op_code"', "{"])
def test_a_torn_last_line_is_cut_by_the_next_writer_and_no_other(path, torn):
    for name in ("first", "second"):
        new_study(path, name)
    whole = path.read_bytes()
    with path.open("a") as file:
        file.write(torn)  # a full disk, or a crash
    assert names(path) == ["first", "second"]  # readers pass it over
    new_study(path, "third")
    assert path.read_bytes().startswith(whole)
    assert names(path) == ["first", "second", "third"]
    assert [json.loads(line)["op_code"] for line in path.read_text().splitlines()] == [0, 0, 0]


def test_a_journal_of_one_torn_line_begins_anew(path):
    open_journal(path)
    path.write_text('{"op_code"')
    new_study(path, "first")
    assert names(path) == ["first"]


def test_a_torn_line_longer_than_what_is_read_at_once_leaves_the_lines_before_it(path, monkeypatch):
    monkeypatch.setattr(ablations.storages.journal, "LONGEST_LINE_BYTES", 64)
    new_study(path, "first")
    with path.open("a") as file:
        file.write("x" * 40)
    new_study(path, "second")
    assert names(path) == ["first", "second"]


def test_the_lock_of_a_killed_writer_is_taken_after_its_grace_time(path):
    new_study(path, "first")
    command = [sys.executable, "-c", KILLED_WRITER, str(path)]
    killed = subprocess.run(command, cwd=REPOSITORY, check=False)
    assert killed.returncode == -signal.SIGKILL
    lock = path.with_name(path.name + ".lock")
    assert lock.exists()
    started = time.monotonic()
    new_study(path, "second")
    assert time.monotonic() - started > 1
    assert names(path) == ["first", "second"]
    assert not lock.exists()


def test_a_suspended_writer_whose_lock_was_taken_neither_crashes_nor_frees_it(path):
    open_journal(path)
    suspended, other = MendingLock(path), MendingLock(path)
    suspended.acquire()
    other.acquire()  # after the grace time
    suspended.release()
    assert os.path.exists(path.with_name(path.name + ".lock")), "it is the other's"
    other.release()
    suspended.release()
    assert not os.path.exists(path.with_name(path.name + ".lock"))
    new_study(path, "first")
    assert names(path) == ["first"]


def test_a_writer_that_cannot_mend_the_journal_leaves_no_lock(path):
    lock = MendingLock(path)
    path.parent.mkdir()
    with pytest.raises(FileNotFoundError):
        lock.acquire()
    assert list(path.parent.iterdir()) == []
