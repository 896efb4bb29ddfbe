"""Where a run's numbers come from: code, versions, machine."""

from __future__ import annotations

import functools
import os
import platform
import socket
import subprocess
from importlib import metadata
from typing import Any

PACKAGES = (
    "ablations",
    "torch",
    "pytorch-lightning",
    "mlflow-skinny",
    "optuna",
    "datasets",
    "numpy",
)


@functools.cache
def provenance() -> dict[str, Any]:
    """Git commit of the working directory, package versions and host; read once."""
    return {
        "git": git_state(),
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in PACKAGES},
        "host": socket.gethostname(),
        "platform": platform.platform(),
        "cpus": os.cpu_count(),
    }


def git_state() -> dict[str, Any]:
    """Commit and whether tracked files differ from it; null outside a repository."""
    commit = _git("rev-parse", "HEAD")
    changes = _git("status", "--porcelain", "--untracked-files=no")
    return {"commit": commit, "dirty": None if changes is None else bool(changes)}


def _git(*arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", *arguments], capture_output=True, text=True, timeout=10, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
