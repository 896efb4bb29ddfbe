from __future__ import annotations

import subprocess
from types import SimpleNamespace

import pytest

from ablations.machine import Machine, gpus_for, this_machine, usable_cores, visible_gpus
from studies.execution import ExecutionConfig


@pytest.fixture
def tool(monkeypatch):
    """`nvidia-smi`, which knows one model; `asked` has what it was asked."""
    asked = []

    def run(command, **_):
        asked.append(command)
        return SimpleNamespace(stdout="NVIDIA H100\n")

    monkeypatch.setattr("ablations.machine.subprocess.run", run)
    return asked


@pytest.mark.parametrize(
    ("listed", "devices", "workers"), [("0,1,2,3", 1, 4), ("0,1,2,3", 2, 2), ("2,3", 4, 1)]
)
def test_a_worker_for_each_group_of_gpus(monkeypatch, tool, listed, devices, workers):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", listed)
    machine = this_machine(ExecutionConfig(devices=devices))
    assert (machine.workers, machine.device, machine.unit) == (workers, "NVIDIA H100", "GPU-hours")
    assert machine.gpus == tuple(listed.split(","))
    assert tool[0][1] == f"--id={listed[0]}"


def test_a_worker_for_each_core_where_there_is_no_gpu(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    machine = this_machine(ExecutionConfig())
    assert machine.workers == usable_cores() >= 1
    assert (machine.unit, machine.gpus) == ("core-hours", ())
    assert machine.device
    assert this_machine(ExecutionConfig(), workers=1).devices == "1 core"
    assert this_machine(ExecutionConfig(), workers=7).devices == "7 cores"


def test_gpus_are_dealt_out_as_to_workers():
    machine = Machine(("0", "1", "2", "3"), "a GPU", workers=3, devices_per_worker=2)
    assert [machine.gpus_of(slot) for slot in range(3)] == [("0", "1"), ("2", "3"), ("0", "1")]
    assert Machine((), "a CPU", 2, 1).gpus_of(1) == ()


def test_runs_on_the_cpu_use_no_gpu(monkeypatch, tool):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    machine = this_machine(ExecutionConfig(accelerator="cpu"))
    assert (machine.gpus, machine.unit, tool) == ((), "core-hours", [])


def test_a_gpu_without_its_tool_goes_by_the_host(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")

    def absent(*_, **__):
        raise FileNotFoundError("nvidia-smi")

    monkeypatch.setattr("ablations.machine.subprocess.run", absent)
    monkeypatch.setattr("ablations.machine.socket.gethostname", lambda: "node7")
    assert this_machine(ExecutionConfig()).device == "GPU of node7"

    def broken(*_, **__):
        raise subprocess.CalledProcessError(9, "nvidia-smi")

    monkeypatch.setattr("ablations.machine.subprocess.run", broken)
    assert this_machine(ExecutionConfig()).device == "GPU of node7"


def test_gpus_are_those_that_cuda_may_see(monkeypatch):
    assert visible_gpus() == []
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,GPU-17, ")
    assert visible_gpus() == ["2", "GPU-17"]


def test_who_trains_on_the_cpu_takes_no_gpu(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    assert gpus_for(ExecutionConfig()) == ["0", "1"]
    assert gpus_for(ExecutionConfig(accelerator="cpu")) == []
