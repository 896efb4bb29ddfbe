"""Small models of the presets, and programs that run beside `transformers`."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest

from studies.loading import load_study
from studies.schema import ModelConfig

REFERENCE = Path(sys.prefix) / "reference"
"""Where the Makefile puts `transformers`: beside the environment, not in it."""
SMALL = {"n_layers": 2, "n_heads": 2, "d_model": 32, "d_ff": None, "context_length": 24}


def preset(name: str, **changes: object) -> ModelConfig:
    """The model of a preset in a small size."""
    model = load_study(name).study.model
    return ModelConfig(**{**model.model_dump(), **SMALL, "initialization": "xavier", **changes})


def require_reference() -> None:
    """Skip a test where `transformers` is not installed."""
    if not (REFERENCE / "transformers").is_dir():
        pytest.skip(f"no transformers in {REFERENCE}: see the Makefile")


def run_beside_transformers(program: str, folders: Iterable[Path]) -> None:
    """Run a program of this folder on folders with models."""
    environment = {**os.environ, "PYTHONPATH": str(REFERENCE), "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, str(Path(__file__).with_name(program)), *map(str, folders)]
    subprocess.run(command, check=True, env=environment)
