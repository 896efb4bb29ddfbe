from __future__ import annotations

import contextlib
import os
import shutil
from collections import namedtuple
from pathlib import Path

import pytest

from ablations.doctor import folder, mounts
from ablations.doctor.findings import Mark
from tests.ablations_tests.situations import marks, on_slurm, only, situation

CHECKS = (
    folder.writable,
    folder.file_system,
    folder.locks,
    folder.creation,
    folder.renaming,
    folder.clock,
)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_an_ordinary_folder_has_no_problem_and_nothing_stays_in_it(check, tmp_path):
    (tmp_path / "home").mkdir()
    assert "problem" not in marks(check(situation(tmp_path / "home")))
    assert list((tmp_path / "home").iterdir()) == []


def test_a_folder_that_is_not_there_is_not_made(tmp_path):
    found = list(folder.writable(situation(tmp_path / "new" / "home")))
    assert "to be made" in found[0].found
    assert not (tmp_path / "new").exists()


def test_a_folder_that_cannot_be_written_is_a_problem():
    assert "cannot be written" in only(folder.writable(situation(Path("/proc")))).found


def test_little_room_is_a_warning(tmp_path, monkeypatch):
    usage = namedtuple("usage", "free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(2**31))
    assert only(folder.writable(situation(tmp_path)), Mark.WARNING).found == "2.0 GiB"


def test_locks_that_keep_nobody_out_are_found_out(tmp_path, monkeypatch):
    monkeypatch.setattr(folder, "FileLock", lambda *_, **__: contextlib.nullcontext())
    assert "'taken'" in only(folder.locks(situation(tmp_path))).found


def test_locks_that_a_file_system_does_not_have_are_a_problem(tmp_path, monkeypatch):
    class Refused(contextlib.nullcontext):
        def __enter__(self):
            raise NotImplementedError("FileSystem does not appear to support flock")

    monkeypatch.setattr(folder, "FileLock", lambda *_, **__: Refused())
    assert "support flock" in only(folder.locks(situation(tmp_path))).found


def test_creation_by_several_at_once_is_found_out(tmp_path, monkeypatch):
    real = os.open

    def open_anyway(path, flags, *rest, **named):
        return real(path, flags & ~os.O_EXCL, *rest, **named)

    monkeypatch.setattr(os, "open", open_anyway)
    assert "not exactly one" in only(folder.creation(situation(tmp_path))).found


def test_writing_that_readers_see_half_of_is_found_out(tmp_path, monkeypatch):
    def in_pieces(path, text):
        with path.open("w", buffering=1) as file:
            for start in range(0, len(text), 100):
                file.write(text[start : start + 100])
                file.flush()

    monkeypatch.setattr(folder, "write_atomically", in_pieces)
    assert "a reader saw" in only(folder.renaming(situation(tmp_path))).found


def test_a_file_server_whose_clock_is_off_is_a_warning(tmp_path, monkeypatch):
    real = folder.time.time
    monkeypatch.setattr(folder.time, "time", lambda: real() + 60)
    assert "-60.0 s" in only(folder.clock(situation(tmp_path)), Mark.WARNING).found


@pytest.fixture
def mounted(tmp_path, monkeypatch):
    """Says that a folder of this test is mounted so."""

    def mount(kind: str) -> Path:
        point = tmp_path / "shared disk"
        point.mkdir(exist_ok=True)
        escaped = str(point).replace(" ", "\\040")
        table = tmp_path / "mounts"
        table.write_text(f"/dev/a / ext4 rw 0 0\nserver:/x {escaped} {kind} rw 0 0\n")
        monkeypatch.setattr(mounts, "MOUNTS", table)
        return point

    return mount


def test_the_nearest_mount_names_the_file_system(tmp_path, mounted):
    point = mounted("nfs4")
    mount = mounts.mount_of(point / "home")
    assert mount == ("server:/x", str(point), "nfs4")
    assert mount.is_network
    assert mounts.mount_of(tmp_path).kind == "ext4"


def test_workers_of_other_machines_need_a_shared_folder(tmp_path, mounted):
    point = mounted("lustre")
    assert marks(folder.file_system(on_slurm(point))) == ["ok"]
    assert "this machine" in only(folder.file_system(on_slurm(tmp_path)), Mark.WARNING).found
    assert marks(folder.file_system(situation(tmp_path))) == ["ok"]


def test_a_folder_in_memory_is_a_warning(mounted):
    only(folder.file_system(situation(mounted("tmpfs"))), Mark.WARNING)
