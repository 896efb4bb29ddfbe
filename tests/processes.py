"""Processes on this machine, those of `ablate worker` among them."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path


def is_alive(pid: int) -> bool:
    """Whether it runs; a killed one stays in the table until somebody asks what became of it."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


def workers_of(home: Path, *, training: bool) -> list[int]:
    """Processes of the studies in a home folder that train, or that look after those."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            words = (entry / "cmdline").read_bytes().split(b"\0")
            own = b"worker" in words and str(home).encode() in words
            if own and (b"--parent" in words) == training:
                found.append(int(entry.name))
    return found
