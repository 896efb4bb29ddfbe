"""Whether the kernel killed a process of this control group for its memory."""

from __future__ import annotations

from pathlib import Path

ROOT = Path("/sys/fs/cgroup")


def oom_kills(root: Path = ROOT, membership: Path = Path("/proc/self/cgroup")) -> int:
    """Processes of our control group, and of those below it, killed for memory; 0 if not known."""
    try:
        lines = membership.read_text(encoding="utf-8").splitlines()
    except OSError:
        return 0
    for line in lines:
        _, controllers, path = line.split(":", 2)
        group = path.lstrip("/")
        if not controllers:  # version 2
            files = [root / group / "memory.events", root / "memory.events"]
        elif "memory" in controllers.split(","):
            files = [root / "memory" / group / "memory.oom_control"]
        else:
            continue
        for file in files:
            if (count := _count(file)) is not None:
                return count
    return 0


def _count(file: Path) -> int | None:
    try:
        pairs = (line.split() for line in file.read_text(encoding="utf-8").splitlines())
        return next((int(value) for name, value in pairs if name == "oom_kill"), None)
    except OSError:
        return None
