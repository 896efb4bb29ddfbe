"""Peak memory of a run, by device."""

from __future__ import annotations

import resource
import sys

import torch

GIB = 1 << 30


def reset_peak_memory(device: torch.device) -> None:
    """Begin anew on a GPU; the peak of a process on the CPU cannot be reset."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)


def peak_memory_gib(device: torch.device) -> float:
    """Peak of the memory allocated on a GPU; elsewhere, peak resident set of the process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / GIB
    unit = 1 if sys.platform == "darwin" else 1024  # ru_maxrss is in bytes there, in KiB elsewhere
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / GIB
