"""The cost of a study from paces that are given, and how long workers take over it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import ClassVar

import pytest

from ablations.cost import BETWEEN_RUNS_S, HOUR_S, WORKER_START_S, Costing, Estimate, PricedRuns
from ablations.machine import Machine
from ablations.rehearsal import Rehearsed
from studies.expected_runs import ExpectedRuns
from studies.pace import Pace, Part
from studies.plan import Plan
from studies.run_spec import RunSpec
from tests.studies_tests.helpers import plan_of
from tests.studies_tests.test_finetuning_plan import folder, planned

__all__ = ["folder"]

TWO_CORES = Machine((), "a CPU", workers=2, devices_per_worker=1)
RATE = "training.learning_rate"
DROPOUT = "model.dropout"
ACTIVATIONS = {"model.activation": ["relu", "gelu", "swiglu"]}


def pace(seconds: float) -> Pace:
    return Pace(device="cpu", parts=(Part(name="step", times=1, seconds=seconds),))


class Stage:
    """Rehearses in no time: an activation has its length, and dropout lengthens it."""

    lengths: ClassVar = {"relu": 10.0, "gelu": 20.0, "swiglu": 30.0}
    tasks: ClassVar = {"one": 3.0, "two": 5.0}

    def __init__(self, broken: Sequence[str] = ()) -> None:
        self.broken, self.rehearsed = broken, list[RunSpec]()

    def __call__(self, specs, execution, cache) -> Iterator[Rehearsed]:
        for spec in specs:
            self.rehearsed.append(spec)
            name = spec.model.activation
            if spec.finetuning is not None:
                yield Rehearsed(pace(self.tasks[spec.finetuning.task]))
                continue
            if name in self.broken:
                yield Rehearsed(None, f"RuntimeError: {name} is broken")
            else:
                yield Rehearsed(pace(self.lengths[name] * (1 + spec.model.dropout)))

    def side_by_side(self, specs, execution, cache, machine) -> Iterator[Rehearsed]:
        return self(specs, execution, cache)

    def set(self, monkeypatch) -> Stage:
        """Let every rehearsal be played here."""
        monkeypatch.setattr("ablations.paces.rehearse", self)
        monkeypatch.setattr("ablations.paces.rehearse_side_by_side", self.side_by_side)
        return self


@pytest.fixture
def stage(monkeypatch) -> Stage:
    return Stage().set(monkeypatch)


def costing_of(plan: Plan, folder, machine=TWO_CORES, ended=()) -> Costing:
    return Costing(plan, folder, machine, ended)


def quietly(_: str) -> None:
    """Progress that nobody sees."""


def priced(*groups: tuple[int, float]) -> tuple[PricedRuns, ...]:
    return tuple(PricedRuns(ExpectedRuns("some", "report", ({},), n), s) for n, s in groups)


def test_hours_are_runs_times_what_each_takes(stage, tmp_path):
    plan = plan_of(factors=ACTIVATIONS, seeds=3)
    estimate = costing_of(plan, tmp_path).estimate(quietly)
    assert estimate.count == 9
    assert estimate.device_hours * HOUR_S == pytest.approx(3 * (60 + 3 * BETWEEN_RUNS_S))
    assert len(stage.rehearsed) == 3


def test_runs_that_have_ended_do_not_count(stage, tmp_path):
    plan = plan_of(factors=ACTIVATIONS, seeds=3)
    ended = [r.run_key for r in plan.runs if r.variant != "gelu" or r.seed == 0]
    costing = costing_of(plan, tmp_path, ended=ended)
    assert costing.estimate(quietly).count == 2
    assert [spec.model.activation for spec in stage.rehearsed] == ["gelu"]
    assert costing_of(plan, tmp_path, ended=plan.run_keys).expected == []


def test_a_rough_estimate_rehearses_the_run_of_most_flops_alone(stage, tmp_path):
    factors = {"model.activation": ["relu", "gelu"], "model.n_layers": [1, 2]}
    plan = plan_of(factors=factors, exclude=[
        {"when": {"model.activation": "relu", "model.n_layers": 2}, "because": "one is the largest"}
    ], seeds=2)  # fmt: skip
    costing = costing_of(plan, tmp_path)
    rough = costing.rough_estimate(quietly)
    [spec] = stage.rehearsed
    assert (spec.model.activation, spec.model.n_layers) == ("gelu", 2)
    assert costing.largest == "gelu-n_layers=2"
    assert rough.device_hours * HOUR_S == pytest.approx(6 * (20 + BETWEEN_RUNS_S))
    costing.estimate(quietly)
    assert len(stage.rehearsed) == 1 + 3
    assert costing_of(plan, tmp_path).rough_estimate(quietly) == rough
    assert len(stage.rehearsed) == 1 + 3


def test_longer_runs_are_larger_ones(stage, tmp_path):
    plan = plan_of(factors={"training.max_steps": [1000, 100, 2000]}, module=None, seeds=1)
    assert costing_of(plan, tmp_path).largest == "max_steps=2000"


def test_a_run_that_cannot_be_rehearsed_counts_as_the_slowest(stage, tmp_path):
    stage.broken = ("relu",)
    costing = costing_of(plan_of(factors=ACTIVATIONS, seeds=1), tmp_path)
    estimate = costing.estimate(quietly)
    assert estimate.device_hours * HOUR_S == pytest.approx(20 + 30 + 30 + 3 * BETWEEN_RUNS_S)
    assert costing.errors() == {"relu": "RuntimeError: relu is broken"}
    stage.broken = tuple(stage.lengths)
    hopeless = costing_of(plan_of(factors=ACTIVATIONS, seeds=1), tmp_path / "other")
    assert hopeless.rough_estimate(quietly) is None
    assert hopeless.estimate(quietly) is None


def test_a_search_counts_in_full_with_the_dearest_that_it_may_choose(stage, tmp_path):
    values = {DROPOUT: [0.0, 0.5], RATE: [1e-3, 3e-3]}
    sweep = {"kind": "sweep", "values": values, "seeds": 2}
    plan = plan_of(factors={"model.activation": ["relu"]}, protocol={"search": sweep}, seeds=3)
    costing = costing_of(plan, tmp_path)
    estimate = costing.estimate(quietly)
    assert {spec.model.dropout for spec in stage.rehearsed} == {0.0, 0.5}
    assert len(stage.rehearsed) == 2  # a learning rate takes no time

    def busy_s(stage_name):
        part = estimate.of(stage_name)
        return part.device_hours * HOUR_S - part.count * BETWEEN_RUNS_S

    assert (estimate.of("search").count, estimate.of("report").count) == (8, 6)
    assert busy_s("search") == pytest.approx(2 * 2 * (10 + 15))
    assert busy_s("report") == pytest.approx(3 * 15 + 3 * 10)
    assert estimate.rounds == 2
    assert f"relu at {DROPOUT} = 0.5, {RATE} = 0.003" in costing.run_s()


@pytest.mark.parametrize("rough", [True, False])
def test_fine_tunings_are_paid_for_at_their_own_pace(stage, folder, rough):
    weights = {"finetuning.auxiliary_weight": [0.5, 0], "finetuning.pretrained": [True, False]}
    factors = {"model.activation": ["gelu", "swiglu"], **weights}
    plan = planned(folder, factors=factors, seeds=3)
    costing = costing_of(plan, folder)
    estimate = costing.rough_estimate(quietly) if rough else costing.estimate(quietly)
    tuned = [spec for spec in stage.rehearsed if spec.finetuning]
    # what differs in its start alone is rehearsed once; roughly, one model stands for both
    assert len(tuned) == len(plan.tasks) * 2 * (1 if rough else 2)
    assert estimate.count == len(plan.all_runs)
    busy = {stage: estimate.of(stage) for stage in ("report", "finetuning")}
    busy_s = {
        stage: part.device_hours * HOUR_S - part.count * BETWEEN_RUNS_S
        for stage, part in busy.items()
    }
    assert busy_s["report"] == pytest.approx(3 * (2 * 20 if rough else 20 + 30))
    assert busy_s["finetuning"] == pytest.approx(2 * 3 * 4 * (3 + 5))
    one = "swiglu on one with auxiliary_weight=0.5-pretrained=on"
    assert rough or costing.run_s()[one] == 3
    assert costing.largest == "gelu"
    assert costing_of(plan, folder, ended=plan.run_keys).expected == []


def test_fine_tunings_of_runs_of_minutes_are_rehearsed_all_the_same(stage, folder):
    plan = planned(folder, protocol={"budget": {"minutes": 5}}, seeds=1)
    estimate = costing_of(plan, folder).estimate(quietly)
    assert estimate.of("report").device_hours == pytest.approx(2 * (300 + BETWEEN_RUNS_S) / HOUR_S)
    assert estimate.of("finetuning").count == 4
    left = costing_of(plan, folder, ended=[run.run_key for run in plan.runs])
    assert left.rough_estimate(quietly) == left.estimate(quietly)
    assert left.largest == "gelu on one"


def test_a_fine_tuning_waits_for_its_pre_training():
    machine = Machine((), "a CPU", 100, 1)
    second = PricedRuns(ExpectedRuns("some", "finetuning", ({},), 9), 4.0)
    estimate = Estimate((*priced((9, 10.0)), second), machine, rounds=1)
    assert estimate.wall_s == WORKER_START_S + 14


@pytest.mark.parametrize(
    ("workers", "groups", "seconds"),
    [
        (1, [(3, 10.0)], 30.0),
        (2, [(3, 10.0)], 20.0),
        (2, [(1, 10.0), (1, 2.0), (2, 5.0)], 12.0),
        (8, [(3, 10.0)], 10.0),
    ],
)
def test_workers_take_runs_in_turn(workers, groups, seconds):
    machine = Machine((), "a CPU", workers, 1)
    estimate = Estimate(priced(*groups), machine, rounds=1)
    assert estimate.wall_s == pytest.approx(WORKER_START_S + seconds)


def test_rounds_of_a_search_cannot_be_shared_out():
    machine = Machine((), "a CPU", 100, 1)
    assert Estimate(priced((50, 10.0)), machine, rounds=4).wall_s == WORKER_START_S + 40


def test_every_device_of_a_run_is_paid_for():
    machine = Machine(("0", "1", "2", "3"), "a GPU", workers=2, devices_per_worker=2)
    estimate = Estimate(priced((2, HOUR_S)), machine, rounds=1)
    assert estimate.device_hours == 4
    assert (machine.devices, machine.unit) == ("4 GPUs", "GPU-hours")
