"""The machine that workers run on: what it lends them, and how many there are."""

from __future__ import annotations

import os
import platform
import socket
import subprocess
from dataclasses import dataclass
from pathlib import Path

from studies.execution import ExecutionConfig


@dataclass(frozen=True)
class Machine:
    """The devices that the workers of a study use."""

    gpus: tuple[str, ...]
    """By the name that `CUDA_VISIBLE_DEVICES` takes; none where runs train on the CPU."""
    device: str
    """Model of the first GPU, or of the CPU."""
    workers: int
    devices_per_worker: int

    def gpus_of(self, slot: int) -> tuple[str, ...]:
        """The GPUs of a worker; none where runs train on the CPU."""
        size = self.devices_per_worker
        groups = [self.gpus[i : i + size] for i in range(0, len(self.gpus), size)]
        return groups[slot % len(groups)] if groups else ()

    @property
    def devices(self) -> str:
        """All that is used at once: `8 GPUs`, `1 core`."""
        count = self.workers * self.devices_per_worker
        return f"{count} {'GPU' if self.gpus else 'core'}{'s' if count > 1 else ''}"

    @property
    def unit(self) -> str:
        """What time on the devices is counted in."""
        return "GPU-hours" if self.gpus else "core-hours"


def this_machine(execution: ExecutionConfig, workers: int | None = None) -> Machine:
    """This machine, with as many workers as `ablate run` starts here."""
    used = tuple(gpus_for(execution))
    device = _gpu_model(used[0]) if used else _cpu_model()
    return Machine(used, device, workers or usual_workers(execution), execution.devices)


def usual_workers(execution: ExecutionConfig) -> int:
    """Worker processes where nobody says how many: one for each GPU, or else for each core."""
    return max(1, (len(gpus_for(execution)) or usable_cores()) // execution.devices)


def usable_cores() -> int:
    """CPU cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):  # Linux; containers may lend fewer than there are
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def gpus_for(execution: ExecutionConfig) -> list[str]:
    """The GPUs that runs of a study train on; who trains on the CPU does not wait for torch."""
    return [] if execution.accelerator == "cpu" else visible_gpus()


def visible_gpus() -> list[str]:
    """CUDA devices that workers may use, by the name that `CUDA_VISIBLE_DEVICES` takes."""
    listed = os.environ.get("CUDA_VISIBLE_DEVICES")
    if listed is not None:
        return [name for name in listed.split(",") if name.strip()]
    import torch

    return [str(index) for index in range(torch.cuda.device_count())]


def node_name() -> str:
    """This machine, as Slurm calls it, or else as it calls itself."""
    return os.environ.get("SLURMD_NODENAME") or socket.gethostname()


def _gpu_model(gpu: str) -> str:
    """Asked of the driver's own tool: torch would take memory of the GPU to answer."""
    command = ["nvidia-smi", f"--id={gpu}", "--query-gpu=name", "--format=csv,noheader"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return f"GPU of {socket.gethostname()}"
    return done.stdout.strip()


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    models = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(models, platform.processor() or platform.machine())
