"""Writing a checkpoint so that a crash, a full disk or a foreign file does no harm."""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import Any

import torch
from lightning_fabric.plugins.io.torch_io import TorchCheckpointIO

from studies.errors import AblationError
from studies.files import replacing
from studies.records import MetricSink

RUN_KEY = "run_key"


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes beside the target and renames; reads nothing but tensors and plain values.

    There is no checkpoint while the numbers before it are not kept: whoever went on from it would
    never make them again.
    """

    def __init__(self, run_key: str, sink: MetricSink) -> None:
        super().__init__()
        self._run_key, self._sink = run_key, sink

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None
    ) -> None:
        """Write a checkpoint; one that cannot be written is a warning, and training goes on."""
        if not self._sink.keep():
            return
        target = Path(path)
        # Constructor arguments come from the run spec, and may not be loadable as plain values.
        checkpoint = {k: v for k, v in checkpoint.items() if not k.startswith("hparams")}
        checkpoint.pop("hyper_parameters", None)
        checkpoint[RUN_KEY] = self._run_key
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            with replacing(target) as temporary, temporary.open("wb") as file:
                torch.save(checkpoint, file)
                file.flush()
                os.fsync(file.fileno())
        except (OSError, RuntimeError) as error:  # torch reports a short write as a RuntimeError
            warnings.warn(
                f"checkpoint {target} could not be written ({error}); training goes on without it",
                RuntimeWarning,
                stacklevel=2,
            )

    def load_checkpoint(
        self, path: str | Path, map_location: Any = "cpu", weights_only: bool | None = True
    ) -> dict[str, Any]:
        """Read a checkpoint of this run.

        Raises:
            AblationError: the file cannot be read, or belongs to another run.
        """
        try:
            checkpoint: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        except Exception as error:
            raise AblationError(
                f"checkpoint {path} cannot be read ({error}); delete it to start from an older one"
            ) from error
        if checkpoint.get(RUN_KEY) != self._run_key:
            raise AblationError(
                f"checkpoint {path} belongs to run {checkpoint.get(RUN_KEY)!r}, and this is run "
                f"{self._run_key!r}; give the run a directory of its own"
            )
        return checkpoint
