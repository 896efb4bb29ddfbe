"""Paces that are kept: what they are told apart by, and what becomes of a broken file."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ablations.machine import Machine
from ablations.paces import Paces
from ablations.rehearsal import Rehearsed
from studies.execution import ExecutionConfig
from studies.run_spec import RunSpec
from tests.ablations_tests.test_cost import TWO_CORES, Stage, pace, quietly
from tests.studies_tests.helpers import plan_of

EXECUTION = ExecutionConfig()


@pytest.fixture
def stage(monkeypatch) -> Stage:
    return Stage().set(monkeypatch)


def spec_of(seed: int = 0, **raw) -> RunSpec:
    [cell] = plan_of(**raw).cells
    return cell.spec(seed)


def test_what_was_measured_once_is_known(stage, tmp_path):
    first, spec, said = Paces(tmp_path, EXECUTION, TWO_CORES), spec_of(), []
    assert first.of(spec) is None
    first.measure({"a": spec, "b": spec_of(seed=1)}, said.append)
    assert said == ["measuring 1/1: b"]
    assert first.of(spec) == pace(20)
    assert first.remembered == set()

    again = Paces(tmp_path, EXECUTION, TWO_CORES)
    again.measure({"a": spec}, said.append)
    assert again.of(spec) == pace(20)
    assert again.remembered == {again.key(spec)}
    assert (len(stage.rehearsed), len(said)) == (1, 1)
    assert len(list(again.folder.iterdir())) == 1


@pytest.mark.parametrize(
    "same",
    [
        {"training": {"learning_rate": 0.5}},
        {"training": {"weight_decay": 0.5, "beta2": 0.5, "warmup_steps": 1, "data_seed": 4}},
        {"question": "Why?", "seeds": 2},
    ],
)
def test_what_takes_no_time_makes_no_other_pace(tmp_path, same):
    paces = Paces(tmp_path, EXECUTION, TWO_CORES)
    assert paces.key(spec_of(**same)) == paces.key(spec_of(seed=3))


@pytest.mark.parametrize(
    "other",
    [
        {"model": {"d_model": 64}},
        {"training": {"batch_size": 4}},
        {"training": {"max_steps": 4, "warmup_steps": 0}},
        {"training": {"precision": "bf16-mixed"}},
        {"diagnostics": {"probe_every_steps": 7}},
        {"data": {"evaluation_tokens": 64}},
    ],
)
def test_what_takes_time_makes_another_pace(tmp_path, other):
    paces = Paces(tmp_path, EXECUTION, TWO_CORES)
    assert paces.key(spec_of(**other)) != paces.key(spec_of())


def test_machine_execution_and_software_make_other_paces(tmp_path, monkeypatch):
    spec = spec_of()
    keys = {
        Paces(tmp_path, execution, machine).key(spec)
        for execution in (EXECUTION, ExecutionConfig(accelerator="cpu"), ExecutionConfig(devices=2))
        for machine in (
            TWO_CORES,
            replace(TWO_CORES, device="another CPU"),
            replace(TWO_CORES, workers=1),
        )
    }
    monkeypatch.setattr("ablations.paces.metadata.version", lambda package: "99.9")
    keys.add(Paces(tmp_path, EXECUTION, TWO_CORES).key(spec))
    assert len(keys) == 10


def test_a_broken_file_is_measured_again(stage, tmp_path):
    paces, spec = Paces(tmp_path, EXECUTION, TWO_CORES), spec_of()
    paces.measure({"a": spec}, quietly)
    [file] = paces.folder.iterdir()
    file.write_text("{")
    again = Paces(tmp_path, EXECUTION, TWO_CORES)
    again.measure({"a": spec}, quietly)
    assert again.of(spec) == pace(20)
    assert len(stage.rehearsed) == 2


def test_what_failed_is_not_tried_twice_and_not_kept(stage, tmp_path):
    stage.broken = ("gelu",)
    paces, spec = Paces(tmp_path, EXECUTION, TWO_CORES), spec_of()
    for _ in range(2):
        paces.measure({"a": spec}, quietly)
        assert paces.errors == {paces.key(spec): "RuntimeError: gelu is broken"}
    assert len(stage.rehearsed) == 1
    stage.broken = ()
    again = Paces(tmp_path, EXECUTION, TWO_CORES)
    again.measure({"a": spec}, quietly)
    assert again.errors == {}
    assert again.of(spec) == pace(20)


@pytest.mark.parametrize(
    ("gpus", "workers", "here"), [((), 1, True), ((), 2, False), (("0",), 1, False)]
)
def test_what_needs_a_process_of_its_own_gets_one(tmp_path, monkeypatch, gpus, workers, here):
    """Workers side by side do, and whatever takes memory of a GPU."""
    played = []

    def play(place):
        def rehearsed(specs, *_):
            played.append(place)
            yield from (Rehearsed(pace(1)) for _ in specs)

        return rehearsed

    monkeypatch.setattr("ablations.paces.rehearse", play("here"))
    monkeypatch.setattr("ablations.paces.rehearse_side_by_side", play("elsewhere"))
    machine = Machine(gpus, "a device", workers, 1)
    Paces(tmp_path, EXECUTION, machine).measure({"a": spec_of()}, quietly)
    assert played == ["here" if here else "elsewhere"]
