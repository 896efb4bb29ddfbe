"""Pruners by name, and what they answer to the attempts at a run."""

from __future__ import annotations

import inspect
import random
from pathlib import Path
from types import SimpleNamespace

import optuna
import pytest
from optuna.exceptions import StorageInternalError

from ablations.ledger import Ledger
from ablations.metrics_file import MetricRow
from ablations.pruning import PRUNERS, RunPruning, build_pruner, run_pruning
from ablations.run_directory import StudyDirectory
from studies import pruners
from studies.metrics import (
    VALIDATION_LOSS,
)
from studies.plan import Plan, PlannedRun
from studies.records import Outcome
from tests.ablations_tests.pruned_studies import (
    RATE,
    STEPWISE,
    comparisons,
    rates,
)
from tests.ablations_tests.tiny_studies import (
    queue,
)
from tests.studies_tests.helpers import plan_of

REAL = {
    "median": optuna.pruners.MedianPruner,
    "percentile": optuna.pruners.PercentilePruner,
    "successive_halving": optuna.pruners.SuccessiveHalvingPruner,
    "hyperband": optuna.pruners.HyperbandPruner,
    "threshold": optuna.pruners.ThresholdPruner,
    "patient": optuna.pruners.PatientPruner,
    "wilcoxon": optuna.pruners.WilcoxonPruner,
}


def test_every_pruner_of_the_vocabulary_is_there() -> None:
    assert set(PRUNERS) == set(pruners.PRUNERS) == set(REAL) == {*STEPWISE, "wilcoxon"}


@pytest.mark.parametrize("name", REAL)
def test_options_are_those_of_the_pruner_itself(name: str) -> None:
    real = inspect.signature(REAL[name]).parameters
    assert set(real) == set(pruners.PRUNERS[name].options)
    for option, parameter in real.items():
        ours = pruners.PRUNERS[name].options[option]
        if option != "wrapped_pruner" and parameter.default not in (inspect.Parameter.empty, None):
            assert ours.takes(parameter.default), option


@pytest.mark.parametrize("name", [*STEPWISE, "wilcoxon"])
def test_the_least_that_an_option_takes_is_taken_and_less_is_not(name: str) -> None:
    level = pruners.PRUNERS[name]
    for option, takes in level.options.items():
        given = {"percentile": 50.0, "patience": 1, "upper": 1e9}
        own = {k: v for k, v in given.items() if k in level.options} | STEPWISE.get(name, {})
        own = {**own, "max_resource": 100} if name == "hyperband" else own
        if not takes.number or option == "lower":
            continue
        if option == "upper":
            own = {}
        least = takes.least if takes.least > -1e9 else 0
        build_pruner(name, {**own, option: int(least)})
        if name != "hyperband" and takes.least > -1e9:
            with pytest.raises(ValueError):  # noqa: PT011
                build_pruner(name, {**own, option: int(least) - 1})


def pruning_of(plan: Plan, number: int, ledger: Ledger, losses: dict[int, float]) -> RunPruning:
    rows = [MetricRow(step, {VALIDATION_LOSS: loss}) for step, loss in losses.items()]
    found = run_pruning(plan, plan.runs[number], ledger, rows)
    assert found is not None
    return found


@pytest.mark.parametrize("name", STEPWISE)
def test_an_attempt_that_died_is_no_rival_of_anybody(name: str, tmp_path: Path) -> None:
    """The answers are the same whether or not the best run was begun four times."""
    answers = []
    for deaths in (0, 3):
        (tmp_path / str(deaths)).mkdir()
        study = rates(1e-2, 2e-2, 3e-2, 4e-2, pruner=name)
        plan, _, ledger = queue(tmp_path / str(deaths), **study)
        told = []
        for number, loss in enumerate((4.0, 2.9, 3.0, 2.95)):
            for _ in range(deaths if loss == 2.9 else 0):
                dead = pruning_of(plan, number, ledger, {})
                assert [dead.should_prune(step, loss) for step in (4, 10)] == [False, False]
            alive = pruning_of(plan, number, ledger, {})
            told += [alive.should_prune(step, loss) for step in (4, 10, 20)]
            alive.end(Outcome.COMPLETED, loss)
        answers.append(told)
    assert answers[0] == answers[1]


def test_what_a_dead_attempt_was_told_holds_for_the_next(tmp_path: Path) -> None:
    plan, _, ledger = queue(tmp_path, **rates(1e-2, 3e-2))
    first = pruning_of(plan, 0, ledger, {})
    assert not first.should_prune(4, 3.0)
    first.end(Outcome.COMPLETED, 3.0)
    dead = pruning_of(plan, 1, ledger, {})
    assert dead.should_prune(4, 5.0)
    dead.end(Outcome.PRUNED, 5.0)  # and dies before the queue knows
    assert pruning_of(plan, 1, ledger, {}).should_prune(4, 5.0)


def test_a_storage_that_is_away_ends_no_run(tmp_path: Path, monkeypatch) -> None:
    plan, _, ledger = queue(tmp_path, **rates(1e-2, 3e-2))
    first = pruning_of(plan, 0, ledger, {})
    first.should_prune(4, 3.0)
    first.end(Outcome.COMPLETED, 3.0)
    second = pruning_of(plan, 1, ledger, {})

    def away(*_: object, **__: object) -> None:
        raise StorageInternalError("the database is away")

    with monkeypatch.context() as patch:
        patch.setattr(optuna, "create_study", away)
        assert not second.should_prune(4, 5.0)
        second.end(Outcome.COMPLETED, 5.0)
    assert second.should_prune(10, 5.0) is False  # nothing to compare with at that step
    [study] = comparisons(StudyDirectory(tmp_path, plan.study.name))
    assert study.trials[1].intermediate_values == {4: 5.0, 10: 5.0}


def test_a_diverged_run_is_no_measure_for_others(tmp_path: Path) -> None:
    plan, directory, ledger = queue(tmp_path, **rates(1e-2, 3e-2))
    first = pruning_of(plan, 0, ledger, {})
    first.should_prune(4, 3.0)
    first.end(Outcome.DIVERGED, 9.0)
    assert comparisons(directory)[0].trials[0].state.name == "FAIL"
    assert not pruning_of(plan, 1, ledger, {}).should_prune(4, 5.0)


QUALITY = {1e-3: 2.3, 3e-3: 2.0, 1e-2: 2.1, 3e-2: 2.2}
"""Learning rate to the loss that a run comes to on the first seed; the second is unluckier."""
RUNGS = (4, 8, 16)
HALVING = {"pruner": "successive_halving", "options": {"min_resource": 4, "reduction_factor": 2}}


def halving_plan(stage: str) -> Plan:
    pruning = {**HALVING, "stage": stage}
    if stage == "report":
        return plan_of(factors={RATE: list(QUALITY)}, seeds=2, protocol={"pruning": pruning})
    search = {"kind": "sweep", "values": {RATE: list(QUALITY)}, "seeds": 2, "extend": 0}
    protocol = {"search": search, "pruning": pruning}
    return plan_of(factors={"model.norm": ["layer"]}, seeds=1, protocol=protocol)


def halved(plan: Plan, runs: list[PlannedRun], *, at_once: bool) -> set[tuple[float, int]]:
    """Rate and seed of the runs that are pruned, trained one after the other or side by side."""
    storage = optuna.storages.InMemoryStorage()
    ledger = SimpleNamespace(name="queue", storage=storage)
    running = {run.run_key: run_pruning(plan, run, ledger, []) for run in runs}
    rates = {run.run_key: plan.spec(run).training.learning_rate for run in runs}
    turns = (
        [(run, step) for step in RUNGS for run in runs]
        if at_once
        else [(run, step) for run in runs for step in RUNGS]
    )
    pruned = set()
    for run, step in turns:
        pruning = running[run.run_key]
        if pruning is None:
            continue
        loss = QUALITY[rates[run.run_key]] + 0.25 * (run.seed % 10) + 1 / step
        if pruning.should_prune(step, loss):
            pruned.add((rates[run.run_key], run.seed % 10))
            pruning.end(Outcome.PRUNED, loss)
            running[run.run_key] = None
        elif step == RUNGS[-1]:
            pruning.end(Outcome.COMPLETED, loss)
    return pruned


@pytest.mark.parametrize("at_once", [False, True])
@pytest.mark.parametrize("stage", ["search", "report"])
def test_the_best_of_a_sweep_is_pruned_on_no_seed_whatever_the_order(
    stage: str, at_once: bool
) -> None:
    plan = halving_plan(stage)
    runs = [run for run in plan.runs if run.stage == stage]
    assert len(runs) == 8
    found = [set[tuple[float, int]]() for _ in range(40)]
    for number, pruned in enumerate(found):
        order = random.Random(number).sample(runs, len(runs))
        pruned |= halved(plan, order, at_once=at_once)
    assert not any({(3e-3, 0), (3e-3, 1)} & pruned for pruned in found)
    for seed in (0, 1):  # and the others are, on either seed
        others = {rate for pruned in found for rate, of in pruned if of == seed}
        assert others == QUALITY.keys() - {3e-3}
