"""Files of weights: what they are called, which checkpoint is newest; torch is not needed."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

SUFFIX = ".ckpt"
WEIGHTS = "weights.safetensors"
"""File with the weights of a run that completed; a checkpoint has the optimiser's state as well."""
TOKENIZER = "tokenizer.json"
"""File with the tokeniser of a run, beside its weights."""
_NAME = re.compile(r"step-(\d+)\.ckpt")


class Checkpoint(NamedTuple):
    """A file that a run can be resumed from."""

    path: Path
    step: int
    """Optimiser steps done when it was written."""


def checkpoint_path(directory: Path, step: int) -> Path:
    """Where the checkpoint of an optimiser step goes."""
    return directory / f"step-{step:09d}{SUFFIX}"


def newest_checkpoint(directories: Iterable[Path]) -> Checkpoint | None:
    """The readable checkpoint with the highest step in any of the directories.

    A torn file is passed over: the index of a zip archive, which a checkpoint is, stands at its
    end. A directory that does not exist holds none.
    """
    found = [checkpoint for directory in directories for checkpoint in list_checkpoints(directory)]
    for checkpoint in sorted(found, key=lambda c: c.step, reverse=True):
        if zipfile.is_zipfile(checkpoint.path):
            return checkpoint
    return None


def list_checkpoints(directory: Path) -> Iterator[Checkpoint]:
    """Every file of a directory that is named as a checkpoint, readable or not."""
    for path in directory.glob(f"step-*{SUFFIX}"):
        if match := _NAME.fullmatch(path.name):
            yield Checkpoint(path, int(match.group(1)))
