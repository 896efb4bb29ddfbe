"""A search that is really trained: to its end, killed in the middle, run twice at once."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ablations.aggregates import log_aggregates
from ablations.cli import main
from ablations.run_directory import StoredPlan, StudyDirectory
from ablations.run_lookup import find_run
from ablations.search import SearchKeeper, with_stored_search
from ablations.tracking import Tracking
from ablations.tracking_store import NONE, default_tracking_uri
from reports.results.sources import load_study as load_results
from studies.errors import AblationError
from studies.loading import load_study
from studies.metrics import FINAL_LOSS
from studies.plan import Plan
from studies.planning import make_plan
from tests.ablations_tests.tiny_studies import (
    keys_of,
    numbers,
    queue,
    states,
    trials,
    work,
    write_study,
)
from tests.waiting import wait_until

RATE = "training.learning_rate"
REPOSITORY = Path(__file__).parents[2]
SWEEP = {"search": {"kind": "sweep", "values": {RATE: [1e-3, 3e-3]}, "seeds": 1, "extend": 0}}
TUNE = {
    "search": {
        "kind": "tune",
        "ranges": {RATE: {"low": 1e-3, "high": 3e-2}, "training.warmup_steps": [0, 4]},
        "trials": 4,
        "at_once": 2,
        "seeds": 1,
    }
}


def to_the_end(directory: StudyDirectory, ledger: Any, uri: str | None = None) -> Plan:
    """What driver and workers do, in this process."""
    keeper, plan = SearchKeeper(directory), None
    while (further := keeper.go_on()) is not plan:
        plan = further
        ledger.reconcile(keys_of(plan))
        work(directory, uri)
    return plan


@pytest.fixture(scope="module")
def swept(tmp_path_factory) -> tuple[Plan, StudyDirectory]:
    _, directory, ledger = queue(tmp_path_factory.mktemp("swept"), protocol=SWEEP)
    return to_the_end(directory, ledger), directory


def test_every_run_of_a_search_is_trained_once(swept) -> None:
    plan, directory = swept
    assert plan.is_settled
    assert set(states(plan, directory)) == {"completed"}
    assert len(trials(directory)) == len(plan.runs)
    assert directory.load_plan() == plan


def test_the_choice_is_the_lowest_mean_of_what_was_recorded(swept) -> None:
    plan, directory = swept
    for cell in plan.cells:
        losses = {
            run.settings[RATE]: directory.run(run.run_key).record().summary[FINAL_LOSS]
            for run in plan.runs
            if run.stage == "search" and run.variant == cell.variant
        }
        assert plan.choices[cell.variant].settings[RATE] == min(losses, key=losses.__getitem__)
        assert plan.choices[cell.variant].loss == pytest.approx(min(losses.values()))


def test_the_store_tells_search_and_columns_apart(swept) -> None:
    plan, directory = swept
    tracking = Tracking(default_tracking_uri(directory.path.parent))
    study = tracking.open_study(plan, directory.path)

    def found(filter_string: str) -> int:
        return len(tracking.client.search_runs([study.experiment_id], filter_string))

    assert found("tags.kind = 'run'") == len(plan.runs)
    assert found("tags.stage = 'search'") == 2 * 2
    assert found("tags.column LIKE '%tuned%'") == 4
    assert found("tags.column LIKE '%shared%'") == 4
    assert found(f"params.learning_rate = '{0.001}'") == 2
    records = [directory.run(key).record() for key in keys_of(plan)]
    log_aggregates(tracking, study, plan, records)
    run = tracking.client.get_run(study.variant_run_ids["layer"])
    results = load_results(directory.path)
    compared = results.compared.values(FINAL_LOSS, "layer").mean()
    assert run.data.metrics[FINAL_LOSS] == pytest.approx(compared)
    assert run.data.metrics["search/chosen_learning_rate"] == plan.choices["layer"].settings[RATE]
    assert run.data.metrics["search/trials"] == 2
    shared = results.shared.values(FINAL_LOSS, "layer").mean()
    assert run.data.metrics["aggregate/shared_val_loss"] == pytest.approx(shared)
    assert run.data.tags["chosen"] == f"learning_rate={plan.choices['layer'].settings[RATE]}"
    assert run.data.tags["at_edge"] == "learning_rate high"
    assert "learning_rate" not in run.data.params
    assert run.info.status == "FINISHED"


def test_planned_again_nothing_is_left_to_do(swept) -> None:
    plan, directory = swept
    again = make_plan(load_study(str(directory.path.parent / "study.yaml")).study)
    assert not again.is_settled
    assert with_stored_search(again, directory) == plan


def test_a_worker_follows_a_plan_that_grows(tmp_path) -> None:
    """The plan is written under a worker that has nothing left of the old one."""
    plan, directory, ledger = queue(tmp_path, protocol=TUNE)
    assert all(run.stage == "report" for run in plan.runs)
    stored = StoredPlan(directory)
    assert stored.read() is stored.read()
    grown = SearchKeeper(directory).go_on()
    assert stored.read() == grown != plan
    ledger.reconcile(keys_of(grown))
    work(directory, NONE)
    assert set(states(grown, directory)) == {"completed"}


def test_two_who_extend_the_plan_come_to_the_same(tmp_path) -> None:
    _, directory, ledger = queue(tmp_path, protocol=TUNE)
    first, second = SearchKeeper(directory), SearchKeeper(directory)
    plan = first.go_on()
    assert second.go_on() == plan
    ledger.reconcile(keys_of(plan))
    work(directory, NONE)
    assert second.go_on() == first.go_on() != plan


def start(folder: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "ablations.cli", "run", str(folder / "study.yaml")]
    environment = os.environ | {"CUDA_VISIBLE_DEVICES": "", "PYTHONPATH": str(REPOSITORY)}
    with (folder / "out.log").open("ab") as log:
        return subprocess.Popen(
            [*command, "--home", str(folder), "--workers", "1"],
            stdout=log, stderr=log, env=environment, start_new_session=True,
        )  # fmt: skip


def log_of(folder: Path) -> str:
    return (folder / "out.log").read_text()


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory) -> tuple[Plan, dict[str, Any]]:
    _, directory, ledger = queue(tmp_path_factory.mktemp("undisturbed"), protocol=TUNE)
    plan = to_the_end(directory, ledger, NONE)
    return plan, numbers(plan, directory)


def assert_equal(folder: Path, undisturbed: tuple[Plan, dict[str, Any]]) -> None:
    """The same trials, choices and numbers, each run completed once."""
    plan, expected = undisturbed
    directory = StudyDirectory(folder, "tiny")
    found = directory.load_plan()
    assert found.trials == plan.trials
    assert found.choices == plan.choices
    assert numbers(found, directory) == expected
    completed = [t["run_key"] for t in trials(directory) if t["state"] == "COMPLETE"]
    assert sorted(completed) == sorted(plan.run_keys)


def test_two_drivers_at_once_one_of_them_killed_in_the_middle_of_a_search(
    tmp_path, undisturbed
) -> None:
    write_study(tmp_path, protocol=TUNE)
    killed, other = start(tmp_path), start(tmp_path)
    wait_for_trials(StudyDirectory(tmp_path, "tiny"), 4)
    os.kill(killed.pid, signal.SIGKILL)
    killed.wait(60)
    assert other.wait(300) == 0, log_of(tmp_path)
    assert_equal(tmp_path, undisturbed)


def wait_for_trials(directory: StudyDirectory, count: int) -> None:
    """Until the search has come to so many trials of a variant, and some of them have begun."""

    def has_come() -> bool:
        if not directory.plan_path.exists():
            return False
        plan = directory.load_plan()
        begun = sum(directory.run(run.run_key).path.exists() for run in plan.runs)
        return len(plan.trials) >= 2 * count and begun >= count

    wait_until(has_come, f"{count} trials of a variant", every_s=0.2)


def test_the_command_says_what_it_will_do(tmp_path, capsys, monkeypatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    study = write_study(tmp_path, protocol=TUNE)
    assert main(["plan", str(study)]) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert "2 cells x 8 runs (search, 2 seeds twice) = 16 runs of 30 steps" in printed
    assert "4 trials of each variant (tpe, 2 at once) on the seeds 10000" in printed
    assert "pruning" not in printed
    pruning = 'protocol.pruning={"pruner": "threshold", "options": {"upper": 9}}'
    assert main(["plan", str(study), "--set", pruning]) == 0
    assert "pruning runs of the search, by threshold, upper 9" in " ".join(
        capsys.readouterr().out.split()
    )
    unequal = ["--set", 'factors={"training.max_steps": [10, 20]}']
    assert main(["check", str(study), "--home", str(tmp_path), *unequal]) == 2
    assert "budgets differ" in capsys.readouterr().err


def test_a_run_at_searched_values_has_a_name_of_its_own(swept) -> None:
    plan, directory = swept
    home = directory.path.parent
    for run in plan.runs:
        name = f"tiny/{run.variant}/{run.place}"
        found = find_run(home, name)
        assert (found.planned, found.name) == (run, name)
    assert find_run(home, "tiny/layer/0").planned.settings == {}
    assert find_run(home, "tiny/layer/10000@learning_rate=0.001").planned.stage == "search"
    with pytest.raises(AblationError, match=r"10000@learning_rate=0\.003"):
        find_run(home, "tiny/layer/10000")
