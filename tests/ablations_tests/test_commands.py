"""What subcommands do where a study is between two things."""

from __future__ import annotations

import time
from pathlib import Path
from types import SimpleNamespace

import pytest

import ablations.watching
from ablations.cli import main
from ablations.driver import Driver, RunSummary
from ablations.keeper import StudyKeeper
from ablations.run_directory import StudyDirectory
from ablations.search import SearchKeeper
from tests.ablations_tests.tiny_studies import keys_of, queue, work

RATE = "training.learning_rate"
SWEEP = {"search": {"kind": "sweep", "values": {RATE: [1e-3, 1e-2]}, "seeds": 1, "extend": 0}}
SHORT = {"factors": {}, "seeds": 1, "protocol": SWEEP}


def train_what_waits(directory: StudyDirectory, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that ends before it takes the search further."""
    with monkeypatch.context() as patch:
        patch.setattr(StudyKeeper, "keep", lambda _: True)
        work(directory)


def test_retrying_what_failed_where_nothing_did_has_nothing_to_do(finished, capsys) -> None:
    command = ["run", str(finished.file), "--home", str(finished.home), "--workers", "1"]
    assert main([*command, "--retry-failed"]) == 0
    assert "nothing to run: every run has ended" in capsys.readouterr().out


def test_a_search_that_stopped_between_two_runs_goes_on_without_a_check(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    _, directory, _ = queue(home, **SHORT)
    train_what_waits(directory, monkeypatch)

    def asked_to_go_on(driver: Driver, on_progress) -> RunSummary:
        driver._go_on()
        return RunSummary(driver.keeper.progress(), driver.keeper.statuses(), False)

    monkeypatch.setattr(Driver, "run", asked_to_go_on)
    monkeypatch.setattr("ablations.driver.preflight", None)
    assert main(["run", str(home / "study.yaml"), "--home", str(home)]) == 0
    output = capsys.readouterr().out
    assert "nothing to run" not in output
    assert "3/4 runs ended" in output


def test_watching_a_search_ends_with_the_study(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    _, directory, ledger = queue(home, **SHORT)
    train_what_waits(directory, monkeypatch)
    keeper = SearchKeeper(directory)
    looks = 0

    def between_looks(_: float) -> None:
        nonlocal looks
        looks += 1
        if looks > 1:
            ledger.reconcile(keys_of(keeper.go_on()))
            work(directory)

    clock = SimpleNamespace(sleep=between_looks, monotonic=time.monotonic)
    monkeypatch.setattr(ablations.watching, "time", clock)
    assert main(["status", "tiny", "--home", str(home), "--watch"]) == 0
    assert looks == 2
    assert "4/4 runs ended" in capsys.readouterr().out.splitlines()[-1]
