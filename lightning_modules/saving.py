"""When a run is saved, and which checkpoints stay."""

from __future__ import annotations

import time
from pathlib import Path

import pytorch_lightning as pl

from lightning_modules.checkpoints import checkpoint_path, list_checkpoints


class Saver:
    """Writes one checkpoint at a time into a directory and keeps the newest."""

    def __init__(self, directory: Path, every_s: float) -> None:
        self._directory, self._every_s = directory, every_s
        self._saved_at_s = time.monotonic()

    def start(self) -> None:
        """Count the time to the first checkpoint from here."""
        self._saved_at_s = time.monotonic()

    def is_due(self) -> bool:
        """Whether the last checkpoint, or the start, is long enough ago."""
        return time.monotonic() - self._saved_at_s >= self._every_s

    def save(self, trainer: pl.Trainer) -> None:
        """Write a checkpoint of the current step, then remove the ones before it."""
        path = checkpoint_path(self._directory, trainer.global_step)
        trainer.save_checkpoint(path)
        self._saved_at_s = time.monotonic()
        if trainer.is_global_zero and path.exists():
            for older in list_checkpoints(self._directory):
                if older.path != path:
                    older.path.unlink(missing_ok=True)
