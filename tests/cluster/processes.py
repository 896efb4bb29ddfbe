"""Processes of `ablate worker` on this machine."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path


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
