from __future__ import annotations

import os
import shlex
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from ablations.launchers.local import LocalLauncher, worker_command
from ablations.worker import WorkerSettings
from tests.waiting import wait_until


@pytest.fixture
def launcher_of(tmp_path):
    launchers = []

    def make(code, devices=()):
        launcher = LocalLauncher([sys.executable, "-c", code], tmp_path / "logs", devices)
        launchers.append(launcher)
        return launcher

    yield make
    for launcher in launchers:
        launcher.stop(0)


def reaped(launcher, count):
    ended = []

    def are_all():
        ended.extend(launcher.reap())
        return len(ended) >= count

    wait_until(are_all, f"{count} have ended")
    return ended


def logs(launcher):
    return {path.name: path.read_text() for path in Path(launcher.log_folder).iterdir()}


def wait_for_logs(launcher, text):
    wait_until(lambda: all(text in log for log in logs(launcher).values()), f"logs say {text}")


SLEEP = "import time; print('up'); time.sleep(600)"


def test_workers_are_kept_at_a_number(launcher_of):
    launcher = launcher_of(SLEEP)
    launcher.start(2)
    first, second = launcher.workers
    launcher.start(2)
    assert launcher.workers == [first, second]
    first.process.kill()
    assert reaped(launcher, 1) == [first]
    launcher.start(2)
    assert sorted(worker.slot for worker in launcher.workers) == [0, 1]
    assert second in launcher.workers


def test_each_worker_has_its_device_one_thread_and_its_parent(launcher_of):
    code = (
        "import os, sys; e = os.environ\n"
        "print(e['CUDA_VISIBLE_DEVICES'], e['OMP_NUM_THREADS'], sys.argv[1:], os.getppid())"
    )
    launcher = launcher_of(code, devices=["0,1", "2,3"])
    launcher.start(2)
    assert [worker.process.returncode for worker in reaped(launcher, 2)] == [0, 0]
    pid = os.getpid()
    assert logs(launcher) == {
        "worker-0.log": f"0,1 1 ['--parent', '{pid}'] {pid}\n",
        "worker-1.log": f"2,3 1 ['--parent', '{pid}'] {pid}\n",
    }


def test_workers_stop_when_asked_and_are_killed_when_they_do_not(launcher_of):
    deaf = "import signal, time; signal.signal(15, signal.SIG_IGN); print('up'); time.sleep(600)"
    for code, expected in ((SLEEP, -15), (deaf, -9)):
        launcher = launcher_of(code)
        launcher.start(1)
        wait_for_logs(launcher, "up")
        (worker,) = launcher.stop(0.5 if expected == -9 else 60)
        assert worker.process.returncode == expected
        assert launcher.workers == []
        (Path(launcher.log_folder) / "worker-0.log").unlink()


def test_the_last_words_are_the_worker_s_own(launcher_of):
    launcher = launcher_of("print('loading'); raise SystemExit('out of paper')")
    launcher.start(1)
    (first,) = reaped(launcher, 1)
    assert first.obituary() == f"worker 0 ended with 1: out of paper (log: {first.log_path})"
    launcher.command = [sys.executable, "-c", "import os; os.kill(os.getpid(), 9)"]
    launcher.start(1)
    (second,) = reaped(launcher, 1)
    assert second.obituary() == "worker 0 died of SIGKILL without a word"


def test_the_command_can_be_retyped(tmp_path):
    settings = WorkerSettings(tmp_path / "a folder", "tiny", "sqlite:///x.db")
    command = worker_command(settings)
    assert shlex.split(shlex.join(command))[1:] == [
        *("-P", "-m", "ablations.cli", "worker", "tiny"),
        *("--home", str(tmp_path / "a folder"), "--tracking-uri", "sqlite:///x.db"),
    ]
    elsewhere = worker_command(replace(settings, storage="grpc://head:13000"))
    assert elsewhere == [*command, "--storage", "grpc://head:13000"]
