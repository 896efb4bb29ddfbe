from __future__ import annotations

import pytest
import torch

from lightning_modules import clock as clock_module
from lightning_modules.clock import WARM_UP_STEPS, Clock


@pytest.fixture
def seconds(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(clock_module.time, "perf_counter", lambda: now[0])
    return now


def test_training_time_stands_still_aside(seconds):
    clock = Clock()
    clock.start(torch.device("cpu"))
    for step in range(WARM_UP_STEPS + 4):
        seconds[0] += 1.0 if step >= WARM_UP_STEPS else 5.0
        with clock.aside(diagnostics=True):
            seconds[0] += 0.25
        with clock.aside():
            seconds[0] += 30.0
        clock.end_step()
    times = clock.read()
    assert times.training_s == 5.0 * WARM_UP_STEPS + 4.0
    assert (times.timed_s, times.timed_steps) == (4.0, 4)
    assert times.diagnostics_s == 0.25 * (WARM_UP_STEPS + 4)


def test_attempts_add_up(seconds):
    first = Clock()
    first.start(torch.device("cpu"))
    seconds[0] += 7.0
    second = Clock()
    second.load_state_dict(first.state_dict())
    seconds[0] += 1000.0
    second.start(torch.device("cpu"))
    seconds[0] += 2.0
    assert second.read().training_s == 9.0


def test_on_a_cpu_diagnostics_in_a_step_are_aside(seconds):
    clock = Clock()
    clock.start(torch.device("cpu"))
    seconds[0] += 1.0
    with clock.diagnostics_in_step():
        seconds[0] += 0.5
    times = clock.read()
    assert (times.training_s, times.diagnostics_s) == (1.0, 0.5)


def test_a_gpu_is_not_waited_for_within_a_step(seconds, monkeypatch):
    waits = []

    class Event:
        def __init__(self, enable_timing):
            assert enable_timing

        def record(self):
            self.at = seconds[0]

        def query(self):
            return bool(waits)

        def elapsed_time(self, end):
            assert waits, "the times of a GPU are there once it was waited for"
            return 1000 * (end.at - self.at)

    monkeypatch.setattr(torch.cuda, "Event", Event)
    monkeypatch.setattr(torch.cuda, "synchronize", waits.append)
    clock = Clock()
    clock.start(torch.device("cuda", 0))
    waits.clear()
    for _ in range(3):
        seconds[0] += 1.0
        with clock.diagnostics_in_step():
            seconds[0] += 0.5
    assert clock.elapsed_s() == 4.5  # what is still queued counts until it is known
    assert waits == []
    times = clock.read()
    assert (times.training_s, times.diagnostics_s) == (3.0, 1.5)
    assert clock.elapsed_s() == 3.0
    assert clock.read() == times
