"""What one run is, in full: the resolved configuration and the seed, and the key made of them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import PurePath
from typing import Any, Literal

from studies.content import FILES
from studies.finetuning import Finetuning
from studies.schema import CustomModule, DataConfig, DiagnosticsConfig, ModelConfig, TrainingConfig
from studies.section import Section
from studies.values import Scalar

KEY_DIGITS = 16


class RunSpec(Section):
    """A frozen run: equal specs train to equal numbers on one machine, but for runs of minutes."""

    spec_version: Literal[2] = 2
    model: ModelConfig
    data: DataConfig
    training: TrainingConfig
    diagnostics: DiagnosticsConfig
    module: CustomModule | None = None
    seed: int
    finetuning: Finetuning | None = None
    """Of a run that fine-tunes the model of the run without it."""

    @property
    def parent(self) -> RunSpec | None:
        """The run whose trained weights this one starts from; None where it has no such run."""
        if self.finetuning is None or not self.finetuning.pretrained:
            return None
        return self.model_copy(update={"finetuning": None})

    @property
    def run_key(self) -> str:
        """Identity of the run everywhere: 16 hexadecimal digits of a digest of the spec."""
        return digest(self._identity())

    @property
    def cell_key(self) -> str:
        """Identity of the run's cell: as `run_key`, without the seeds."""
        identity = {key: value for key, value in self._identity().items() if key != "seed"}
        if self.finetuning is not None:
            del identity["finetuning"]["seed"]
        return digest(identity)

    @property
    def initialization_seed(self) -> int:
        """Seed of the initial weights."""
        return _given(self.training.initialization_seed, self.seed)

    @property
    def data_seed(self) -> int:
        """Seed of the order of the training data."""
        return _given(self.training.data_seed, self.seed)

    @property
    def dropout_seed(self) -> int:
        """Seed of dropout, and of whatever else a training step draws."""
        return _given(self.training.dropout_seed, self.seed)

    def _identity(self) -> dict[str, Any]:
        """The spec with the names of files for their paths, where a digest says what is in them."""
        spec = self.model_dump(mode="json")
        spec["model"], module = without_absent_weights(spec["model"]), spec["module"]
        for key in FILES:
            section, _, name = key.partition(".")
            if spec[section].get(f"{name}_digest") is not None:
                spec[section][name] = PurePath(spec[section][name]).name
        if module is not None and module["source_digest"] is not None:
            module["import_path"] = PurePath(module["import_path"]).name
        if self.finetuning is None:
            del spec["finetuning"]
        elif self.finetuning.definition.source_digest is not None:
            task = spec["finetuning"]["definition"]
            task["source"] = PurePath(task["source"]).name
        return spec

    def params(self) -> dict[str, Scalar]:
        """Configuration by leaf name: `norm`, `learning_rate`, `seed`.

        Arguments of a module of one's own win over a key of the same name, since they are what was
        trained.
        """
        flat: dict[str, Scalar] = {}
        for section in (self.model, self.data, self.training, self.diagnostics):
            for name, value in section.model_dump(mode="json").items():
                flat[name] = _one_line(value)
        if self.module is not None:
            flat["module"] = self.module.import_path
            flat.update(self.module.arguments)
        flat["seed"] = self.seed
        if self.finetuning is not None:
            told = self.finetuning.model_dump(mode="json", exclude={"definition"})
            flat |= {f"finetuning.{name}": value for name, value in told.items()}
        return flat


def without_absent_weights(model: Mapping[str, Any]) -> dict[str, Any]:
    """A `model` section as it was before there were weights to start from, where there are none."""
    absent = ("weights", "weights_digest") if model["weights"] is None else ()
    return {key: value for key, value in model.items() if key not in absent}


def _given(seed: int | None, run_seed: int) -> int:
    return run_seed if seed is None else seed


def _one_line(value: Any) -> Scalar:
    """Lists and mappings as text: `a,b`, `a=1,b=2`."""
    if isinstance(value, dict):
        value = [f"{key}={entry}" for key, entry in value.items()]
    return ",".join(value) if isinstance(value, list) else value


def canonical_json(value: Mapping[str, Any]) -> str:
    """The one spelling of a JSON object: sorted keys, no spaces, no NaN."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def digest(value: Mapping[str, Any]) -> str:
    """The first 16 hexadecimal digits of the SHA-256 of the canonical JSON."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()[:KEY_DIGITS]
