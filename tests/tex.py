"""LaTeX as an author runs it."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest


def run_tex(folder: Path, name: str, command: str = "pdflatex") -> subprocess.CompletedProcess[str]:
    """Run a TeX program on a document; the test is skipped where it is not installed."""
    if shutil.which(command) is None:
        pytest.skip(f"{command} is not installed")
    options = [] if command == "bibtex" else ["-interaction=nonstopmode", "-halt-on-error"]
    return subprocess.run(
        [command, *options, name],
        cwd=folder, capture_output=True, text=True, errors="replace", timeout=120, check=False,
    )  # fmt: skip
