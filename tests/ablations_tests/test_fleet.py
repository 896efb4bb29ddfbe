"""Placing the workers that are missing, and no more."""

from __future__ import annotations

from datetime import timedelta

import filelock
import pytest

import ablations.launchers.fleet
import ablations.ledger
from ablations.claims import Failure
from ablations.launchers.fleet import (
    FleetFile,
    PlacedWorker,
    read_fleet_file,
    save_fleet_file,
    top_up,
)
from ablations.progress import Progress
from ablations.run_status import RunState
from studies.errors import AblationError
from tests.ablations_tests.tiny_studies import keys_of, queue


class Fleet:
    """Workers that were placed and stay."""

    def __init__(self):
        self.names = []
        self.avoided = None
        self.ours = None
        self.count = 0

    def placed(self):
        return [PlacedWorker(name, is_running=True) for name in self.names]

    def own(self):
        return self.ours

    def place(self, count, avoided=()):
        self.avoided = avoided
        placed = [f"job {self.count + index}" for index in range(count)]
        self.count += count
        self.names += placed
        return placed


@pytest.fixture
def study(home):
    _, directory, ledger = queue(home)
    file = FleetFile(launcher="slurm", profile=None, tracking_uri="none", storage=None, workers=16)
    save_fleet_file(directory, file)
    return directory, ledger


def test_nobody_is_placed_for_runs_that_a_search_has_yet_to_ask_for(study):
    """They would find nothing and end, again and again, until that is taken for an error."""
    directory, ledger = study
    counts = {RunState.RUNNING: 1, RunState.WAITING: 2, RunState.COMPLETED: 5}
    progress = Progress(counts, 8, (), 5.5, to_come=100, is_searching=True)
    fleet = Fleet()
    assert top_up(fleet, directory, ledger, progress) == ["job 0", "job 1", "job 2"]
    assert top_up(fleet, directory, ledger, progress) == []


def test_workers_that_train_several_runs_at_a_time_are_placed_for_all_of_them(study):
    directory, ledger = study
    file = read_fleet_file(directory)
    save_fleet_file(directory, file.model_copy(update={"runs_per_worker": 4}))
    progress = Progress({RunState.WAITING: 9}, 9, (), 0.0)
    assert len(top_up(Fleet(), directory, ledger, progress)) == 3


def test_nodes_of_which_runs_failed_are_avoided_for_a_day(study, home, monkeypatch):
    directory, ledger = study
    for node, failure in (("n1", Failure.NODE), ("n2", Failure.DISK), ("n3", Failure.NODE)):
        monkeypatch.setenv("SLURMD_NODENAME", node)
        ledger.claim(keys_of(directory.load_plan())).fail("it was not the run", failure)
    progress = Progress({RunState.WAITING: 4}, 4, (), 0.0)
    fleet = Fleet()
    top_up(fleet, directory, ledger, progress)
    assert fleet.avoided == ["n1", "n3"]
    monkeypatch.setattr(ablations.ledger, "BAD_FOR", timedelta(0))
    assert ledger.bad_nodes() == []


def test_a_process_that_is_suspended_while_it_places_workers_is_not_waited_for(study, monkeypatch):
    directory, ledger = study
    monkeypatch.setattr(ablations.launchers.fleet, "LOCK_PATIENCE_S", 0.1)
    progress = Progress({RunState.WAITING: 4}, 4, (), 0.0)
    with filelock.FileLock(directory.path / ".fleet.lock") as lock:
        with pytest.raises(AblationError, match="is it suspended"):
            top_up(Fleet(), directory, ledger, progress)
        lock.release()
        assert len(top_up(Fleet(), directory, ledger, progress)) == 4


def test_each_of_several_that_leave_at_once_has_a_successor(study):
    """Workers of one array come to their time limit together, and end only some time after."""
    directory, ledger = study
    progress = Progress({RunState.WAITING: 2}, 2, (), 0.0)
    fleet = Fleet()
    assert top_up(fleet, directory, ledger, progress) == ["job 0", "job 1"]
    for leaving, successor in (("job 0", "job 2"), ("job 1", "job 3")):
        fleet.ours = leaving
        assert top_up(fleet, directory, ledger, progress, is_leaving=True) == [successor]
    fleet.ours = None
    assert top_up(fleet, directory, ledger, progress) == []
    fleet.names.remove("job 1")
    assert top_up(fleet, directory, ledger, progress) == []
    assert read_fleet_file(directory).leaving == ("job 0",)
    fleet.names.remove("job 3")
    assert top_up(fleet, directory, ledger, progress) == ["job 4"]
