"""Rehearsals that are really played, here and in a process of its own."""

from __future__ import annotations

import json
import os

import pytest
import torch

from ablations.rehearsal import THREADS, Rehearsed, rehearse, rehearse_elsewhere
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
    assert not [p for p in (home / "cache").iterdir() if p.name.startswith("tmp")]


def test_a_process_of_its_own_answers_alike(home, specs):
    check(list(rehearse_elsewhere(*specs, home / "cache", ())))


def test_a_process_that_dies_says_how(home, specs, monkeypatch):
    monkeypatch.setattr("ablations.rehearsal.sys.executable", "/bin/false")
    found = list(rehearse_elsewhere(*specs, home / "cache", ()))
    assert found == [Rehearsed(None, "the rehearsal ended with 1")] * 3


def test_a_process_that_nobody_waits_for_any_more_is_ended(home, specs, monkeypatch):
    processes = []
    popen = __import__("subprocess").Popen

    def noted(*arguments, **options):
        processes.append(popen(*arguments, **options))
        return processes[-1]

    monkeypatch.setattr("ablations.rehearsal.subprocess.Popen", noted)
    running = rehearse_elsewhere(*specs, home / "cache", ("0",))
    assert next(running).pace is not None
    running.close()
    [process] = processes
    assert process.returncode is not None
    with pytest.raises(ProcessLookupError):
        os.kill(process.pid, 0)
