"""Rehearsals that are really played, here and in a process of its own."""

from __future__ import annotations

import json
import subprocess

import pytest
import torch

from ablations.machine import Machine
from ablations.rehearsal import THREADS, Rehearsed, rehearse, rehearse_side_by_side
from studies.loading import load_study
from studies.planning import make_plan
from tests.ablations_tests.tiny_studies import STUDY, write_study


@pytest.fixture
def specs(home):
    plan = make_plan(load_study(str(write_study(home))).study)
    good = [cell.spec(0) for cell in plan.cells]
    text = json.dumps({**STUDY, "model": {**STUDY["model"], "context_length": 10**7}})
    (home / "long.yaml").write_text(text)
    [long, *_] = make_plan(load_study(str(home / "long.yaml")).study).cells
    return [good[0], long.spec(0), good[1]], plan.study.execution


def cores(workers: int) -> Machine:
    return Machine((), "a CPU", workers, devices_per_worker=1)


def check(found: list[Rehearsed]) -> None:
    first, broken, last = found
    assert first.pace is not None
    assert last.pace is not None
    assert first.pace.run_s > 0
    assert first.pace.device == last.pace.device == "cpu"
    assert broken.pace is None
    assert "DataError" in broken.error
    assert (first.error, last.error) == ("", "")


def test_one_after_the_other_with_the_threads_of_a_worker(home, specs, monkeypatch):
    import lightning_modules.pace

    threads, measure_pace = [], lightning_modules.pace.measure_pace

    def watched(*arguments, **options):
        threads.append(torch.get_num_threads())
        return measure_pace(*arguments, **options)

    monkeypatch.setattr("lightning_modules.pace.measure_pace", watched)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        check(list(rehearse(*specs, home / "cache")))
        assert threads == [THREADS] * 3
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
    assert sorted(p.name for p in (home / "cache").iterdir()) == ["index", "locks", "stores"]


@pytest.mark.parametrize("workers", [2, 5])
def test_side_by_side_the_answers_are_alike(home, specs, workers):
    check(list(rehearse_side_by_side(*specs, home / "cache", cores(workers))))


def test_processes_that_die_say_how(home, specs, monkeypatch):
    monkeypatch.setattr("ablations.rehearsal.sys.executable", "/bin/false")
    found = list(rehearse_side_by_side(*specs, home / "cache", cores(2)))
    assert found == [Rehearsed(None, "the rehearsal ended with 1")] * 3


def test_processes_that_nobody_waits_for_any_more_are_ended(home, specs, monkeypatch):
    processes, environments = [], []
    popen = subprocess.Popen

    def noted(*arguments, **options):
        environments.append(options["env"])
        processes.append(popen(*arguments, **options))
        return processes[-1]

    monkeypatch.setattr("ablations.rehearsal.subprocess.Popen", noted)
    machine = Machine(("6", "7"), "a GPU", workers=2, devices_per_worker=1)
    running = rehearse_side_by_side(*specs, home / "cache", machine)
    assert next(running).pace is not None
    running.close()
    assert sorted(p.name for p in (home / "cache").iterdir()) == ["index", "locks", "stores"]
    assert [process.returncode is not None for process in processes] == [True, True]
    assert [environment["CUDA_VISIBLE_DEVICES"] for environment in environments] == ["6", "7"]
    assert {environment["OMP_NUM_THREADS"] for environment in environments} == {"1"}
