"""Taking a queue to another storage: all of it or nothing, and nobody trains from two."""

from __future__ import annotations

import json
import secrets

import optuna
import pytest

import ablations.moving
from ablations.claims import Failure
from ablations.cli import main
from ablations.launchers.fleet import FleetFile, save_fleet_file
from ablations.ledger_location import known_ledger, ledger_of, planner_ledger, worker_ledger
from ablations.moving import move_queue
from ablations.run_directory import StudyDirectory
from ablations.storages.opening import open_storage
from studies.errors import AblationError
from studies.records import Outcome
from tests.ablations_tests.cluster_study import trials_of
from tests.ablations_tests.queue_storages import UNREACHABLE
from tests.ablations_tests.tiny_studies import queue


@pytest.fixture
def directory(tmp_path):
    return StudyDirectory(tmp_path / "home", "tiny")


@pytest.fixture
def database(postgresql):
    """Of nothing yet, with its password in the URL."""
    return postgresql.create_database(f"moving_{secrets.token_hex(4)}")


def history(directory) -> list[tuple[int, str, dict[str, object]]]:
    """Every attempt in the queue of a study."""
    return [(t.number, t.state.name, t.user_attrs) for t in trials_of(ledger_of(directory))]


def queued(directory):
    ledger = planner_ledger(directory)
    ledger.reconcile(["a", "b", "c"])
    return ledger


def test_a_queue_moves_with_every_attempt_under_its_number(
    directory, postgresql, database, monkeypatch
):
    monkeypatch.setenv("PGPASSWORD", postgresql.password)
    ledger = queued(directory)
    ledger.claim(["a"]).complete(Outcome.COMPLETED, 1.5)
    ledger.claim(["b"]).fail("a wire broke", Failure.NODE)
    before, old = history(directory), ledger
    names = [ledger.name]
    for storage in ("journal", database.replace(f":{postgresql.password}@", "@"), "sqlite"):
        move_queue(directory, storage)
        assert history(directory) == before
        names.append(json.loads(directory.ledger_file_path.read_text())["name"])
        assert old.claim(["c"]) is None
        assert history(directory) == before
        with pytest.raises(AblationError, match=r"the queue of .* was moved to "):
            old.take_up()
        old = planner_ledger(directory)
    assert len(set(names)) == 4
    old.take_up()
    old.reconcile(["a", "b", "c"])
    assert sorted(old.claim(["a", "b", "c"]).attempt for _ in range(2)) == [2, 3]


def test_what_pruned_runs_are_compared_with_moves_too(directory):
    ledger = queued(directory)
    for name in (f"{ledger.name}/pruning/report/seed-0", "somebody-else"):
        study = optuna.create_study(study_name=name, storage=ledger.storage)
        study.add_trial(optuna.trial.create_trial(value=2.0, intermediate_values={5: 2.5}))
    move_queue(directory, "journal")
    moved = known_ledger(directory)
    names = {s.study_name for s in open_storage(moved.url).get_all_studies()}
    assert names == {moved.name, f"{moved.name}/pruning/report/seed-0"}
    study = optuna.load_study(
        study_name=f"{moved.name}/pruning/report/seed-0", storage=open_storage(moved.url)
    )
    assert study.trials[0].intermediate_values == {5: 2.5}


def test_a_database_that_asks_for_a_password_has_it_of_the_environment(
    directory, postgresql, database, monkeypatch
):
    queued(directory)
    monkeypatch.setenv("ABLATE_STORAGE", database)
    shown = move_queue(directory, database.replace(f":{postgresql.password}@", "@"))
    assert postgresql.password not in shown + directory.ledger_file_path.read_text()
    assert worker_ledger(directory, None).claim(["a"]).attempt == 0


def test_a_queue_that_cannot_move_stays_and_goes_on(directory, monkeypatch):
    monkeypatch.setattr(ablations.moving, "ANSWER_S", 0.2)
    with pytest.raises(AblationError, match="has no queue yet"):
        move_queue(directory, "journal")
    ledger = queued(directory)
    with pytest.raises(AblationError, match=r"is in sqlite:.* already"):
        move_queue(directory, "sqlite")
    with pytest.raises(AblationError, match=r"storage .* does not answer"):
        move_queue(directory, UNREACHABLE)
    assert known_ledger(directory).name == "tiny"
    claim = ledger.claim(["a"])
    with pytest.raises(AblationError, match="1 runs of study 'tiny' are being trained"):
        move_queue(directory, "journal")
    claim.complete(Outcome.COMPLETED, 1.0)
    assert ledger.claim(["b"]).attempt == 1


def test_who_claims_just_before_the_queue_is_left_is_not_left_behind(directory, monkeypatch):
    ledger = queued(directory)
    leave = type(ledger).leave

    def claimed_before(self, successor):
        ledger.claim(["a"])
        leave(self, successor)

    monkeypatch.setattr(type(ledger), "leave", claimed_before)
    with pytest.raises(AblationError, match="1 runs of study 'tiny' are being trained"):
        move_queue(directory, "journal")
    assert not ledger.is_cancelled()
    assert not directory.ledger_file_path.exists()


@pytest.mark.parametrize("error", [ConnectionError("refused"), KeyboardInterrupt()])
def test_a_copy_that_breaks_leaves_nothing_and_the_queue_as_it_was(directory, monkeypatch, error):
    ledger = queued(directory)
    copy = optuna.copy_study

    def breaking(**kwargs):
        copy(**kwargs)
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(optuna, "copy_study", breaking)
        with pytest.raises((AblationError, KeyboardInterrupt)):
            move_queue(directory, "journal")
    journal = f"journal://{directory.path / 'ledger.journal'}"
    assert open_storage(journal).get_all_studies() == []
    assert ledger.claim(["a"]).attempt == 0


def test_a_mover_that_was_killed_holds_up_nobody(directory):
    ledger = queued(directory)
    ledger.leave("journal:///somewhere")  # and then kill -9
    assert ledger.claim(["a"]) is None
    planner_ledger(directory).take_up()
    assert ledger.claim(["a"]).attempt == 0


def test_the_command_says_where_the_queue_is_and_whose_jobs_it_had_is_forgotten(
    home, monkeypatch, capsys
):
    _, directory, _ = queue(home)
    file = FleetFile(launcher="slurm", profile=None, tracking_uri="none", storage=None, workers=1)
    save_fleet_file(directory, file)
    withdrawn = []

    class Fleet:
        def withdraw(self, *, running):
            withdrawn.append(running)

    monkeypatch.setattr(ablations.moving, "known_fleet", lambda *_: Fleet())
    assert main(["move", "tiny", "--home", str(home), "--storage", "journal"]) == 0
    url = f"journal://{directory.path / 'ledger.journal'}"
    assert f"the queue of study 'tiny' is in {url} now" in capsys.readouterr().out
    assert withdrawn == [True]
    assert not directory.fleet_path.exists()
