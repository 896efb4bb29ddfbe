"""A run in a process of its own, for tests that kill it: spec, folder, file of rows."""

import json
import sys
from collections.abc import Mapping
from pathlib import Path

import torch

from studies.run_spec import RunSpec
from tests.lightning_modules_tests.tiny_runs import train


class LinesSink:
    def __init__(self, path: Path) -> None:
        self._file = path.open("w", buffering=1)

    def write(self, step: int, values: Mapping[str, float]) -> None:
        self._file.write(json.dumps([step, dict(values)]) + "\n")

    def keep(self) -> bool:
        return True


if __name__ == "__main__":
    torch.set_num_threads(1)
    spec_file, directory, rows = map(Path, sys.argv[1:])
    spec = RunSpec.model_validate_json(spec_file.read_text())
    train(spec, directory, sink=LinesSink(rows), checkpoint_every_s=0)
