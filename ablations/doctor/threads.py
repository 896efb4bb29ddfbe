"""The cores of this machine, and how many threads ask for them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from ablations.doctor.findings import Finding, ok, warning
from ablations.doctor.situation import Situation
from ablations.machine import usable_cores

THREADS = "OMP_NUM_THREADS"
QUOTA = Path("/sys/fs/cgroup/cpu.max")


def cores(situation: Situation) -> Iterator[Finding]:
    """Usable cores, what a container lends of them, and the threads of each process."""
    usable, there = usable_cores(), os.cpu_count() or 1
    lent = _lent_cores()
    found = f"{usable} of {there} usable"
    if lent is not None and lent < usable:
        yield warning(
            "cores",
            f"{found}, of which the container lends {lent:g}",
            f"Do not start more workers than that: --workers {max(1, int(lent))}.",
        )
    else:
        yield ok("cores", found)
    asked = os.environ.get(THREADS)
    if asked is None or not asked.isdigit() or int(asked) <= usable:
        said = "not set" if asked is None else asked
        yield ok("threads", f"{THREADS} is {said} here; worker processes train with 1 each")
    else:
        yield warning(
            "threads",
            f"{THREADS} is {asked}, more than there are cores",
            f"export {THREADS}=1; processes that share a core slow each other down.",
        )


def _lent_cores() -> float | None:
    """What the control group of a container allows; None where there is no limit."""
    try:
        quota, period = QUOTA.read_text(encoding="utf-8").split()
        return None if quota == "max" else float(quota) / float(period)
    except (OSError, ValueError):
        return None
