"""Measured paces of runs, kept under HOME/cache so that asking again costs nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from ablations.machine import Machine
from ablations.rehearsal import THREADS, Rehearsed, rehearse, rehearse_side_by_side
from studies.execution import ExecutionConfig
from studies.files import write_atomically
from studies.pace import Pace
from studies.run_spec import RunSpec, digest

PACE_VERSION = 1
"""Raise it when the same run would be measured in another way than before."""

_TIMELESS = {
    "learning_rate",
    "final_learning_rate_fraction",
    "warmup_steps",
    "weight_decay",
    "beta1",
    "beta2",
    "adam_eps",
    "divergence_factor",
    "initialization_seed",
    "data_seed",
    "dropout_seed",
}
"""Keys of `training` that change no time."""

_TIMELESS_OF_FINETUNING = ("pretrained", "learning_rate", "warmup_fraction", "seed")


class Paces:
    """Knows how long runs take on a machine, or finds it out."""

    def __init__(self, cache: Path, execution: ExecutionConfig, machine: Machine) -> None:
        self._cache, self._execution, self._machine = cache, execution, machine
        self._known: dict[str, Pace] = {}
        self.errors: dict[str, str] = {}
        """Key to what went wrong with a run that could not be rehearsed."""
        self.remembered: set[str] = set()
        """Keys of the paces that were measured at another time."""

    @property
    def folder(self) -> Path:
        """Where paces are kept; may be deleted, to have them measured again."""
        return self._cache / "paces"

    def key(self, spec: RunSpec) -> str:
        """What runs of one pace have in common: configuration, machine, software and company."""
        return digest(
            {
                "pace_version": PACE_VERSION,
                "run": _timeless(spec),
                "accelerator": self._execution.accelerator,
                "devices": self._execution.devices,
                "checkpoint_every_s": self._execution.checkpoint_every_s,
                "device": self._machine.device,
                "threads": THREADS,
                "workers": self._machine.workers,
                "packages": {p: metadata.version(p) for p in ("torch", "pytorch-lightning")},
            }
        )

    def of(self, spec: RunSpec) -> Pace | None:
        """The pace of a run, if it was measured, now or at another time."""
        key = self.key(spec)
        if key not in self._known:
            try:
                text = self._path(key).read_text(encoding="utf-8")
                self._known[key] = Pace.model_validate_json(text)
            except (OSError, ValidationError):
                return None
            self.remembered.add(key)
        return self._known[key]

    def measure(self, specs: Mapping[str, RunSpec], on_step: Callable[[str], None]) -> None:
        """Rehearse the runs, given by what to call them, whose pace is not known."""
        missing = {self.key(spec): (name, spec) for name, spec in specs.items()}
        missing = {
            key: asked
            for key, asked in missing.items()
            if self.of(asked[1]) is None and key not in self.errors
        }
        if not missing:
            return
        names = [name for name, _ in missing.values()]
        found = self._rehearsals([spec for _, spec in missing.values()])
        for number, (key, name) in enumerate(zip(missing, names, strict=True), 1):
            on_step(f"measuring {number}/{len(names)}: {name}")
            pace, error = next(found)
            if pace is None:
                self.errors[key] = error
                continue
            self._known[key] = pace
            self.folder.mkdir(parents=True, exist_ok=True)
            write_atomically(self._path(key), pace.model_dump_json(indent=1))

    def _rehearsals(self, specs: list[RunSpec]) -> Iterator[Rehearsed]:
        """In this process where it is one worker's work, and leaves no trace on a GPU."""
        if self._machine.workers == 1 and not self._machine.gpus:
            return rehearse(specs, self._execution, self._cache)
        return rehearse_side_by_side(specs, self._execution, self._cache, self._machine)

    def _path(self, key: str) -> Path:
        return self.folder / f"{key}.json"


def _timeless(spec: RunSpec) -> dict[str, Any]:
    """A run without what changes no time."""
    run = spec.model_dump(mode="json", exclude={"seed"})
    run["training"] = {k: v for k, v in run["training"].items() if k not in _TIMELESS}
    if spec.finetuning is not None:
        for key in _TIMELESS_OF_FINETUNING:
            del run["finetuning"][key]
        del run["finetuning"]["definition"]["source"]
    return run
