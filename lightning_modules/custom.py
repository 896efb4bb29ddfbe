"""A LightningModule of one's own: found by import path, its arguments bound to the run.

The contract is: `training_step(batch, batch_idx)` and `validation_step(batch, batch_idx)` take
(B, T+1) tokens and return the mean loss in nats per token, and `configure_optimizers` is its own.
With `forward(tokens) -> logits` as well, future tokens that leak are measured.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import inspect
import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import pytorch_lightning as pl
import torch

from lightning_modules.seeding import isolated_rng, stream_seed
from studies.errors import AblationError, close_matches
from studies.run_spec import RunSpec
from studies.schema import CustomModule

_OF_GPT_ALONE = ("weights", "weights_digest")
"""Configuration keys that a constructor argument of the same name is not filled from."""
_REQUIRED_METHODS = ("training_step", "validation_step", "configure_optimizers")


def build_custom_module(spec: RunSpec, vocabulary_size: int) -> pl.LightningModule:
    """The module that a run names, initialised under a torch seed derived from the run's seed.

    Raises:
        AblationError: there is no such module, it is not fit for training, or its constructor
            arguments cannot be bound.
    """
    assert spec.module is not None
    module_class = load_class(spec.module.import_path)
    arguments = bind_arguments(module_class, spec.module, _configuration(spec, vocabulary_size))
    with isolated_rng():
        torch.manual_seed(stream_seed(spec.initialization_seed, "init"))
        module = module_class(**arguments)
    if not module.automatic_optimization:
        raise AblationError(
            f"module {spec.module.import_path} sets automatic_optimization = False: clipping, "
            "accumulation and step counts are the harness's; leave it on"
        )
    return module


def load_class(import_path: str) -> type[pl.LightningModule]:
    """The class that `package.module:Class` or `path/to/file.py:Class` names.

    Raises:
        AblationError: it cannot be imported, or is not a LightningModule with the methods needed.
    """
    source, _, class_name = import_path.rpartition(":")
    try:
        if source.endswith(".py"):
            module = _import_file(Path(source))
        else:
            module = importlib.import_module(source)
    except Exception as error:
        raise AblationError(
            f"module.import_path = {import_path!r} cannot be imported ({error!r}): give an "
            "installed package.module:Class, or path/to/file.py:Class relative to the study file"
        ) from error
    found = getattr(module, class_name, None)
    if not (inspect.isclass(found) and issubclass(found, pl.LightningModule)):
        modules = [n for n, c in vars(module).items() if inspect.isclass(c)]
        raise AblationError(
            f"module.import_path = {import_path!r}: {source} has no LightningModule "
            f"{class_name!r}; {close_matches(class_name, modules) or 'classes: '}"
            f"{'' if close_matches(class_name, modules) else ', '.join(modules) or 'none'}"
        )
    missing = [m for m in _REQUIRED_METHODS if getattr(found, m) is getattr(pl.LightningModule, m)]
    if missing:
        raise AblationError(
            f"{import_path} does not define {', '.join(missing)}: a module of one's own needs "
            f"{', '.join(_REQUIRED_METHODS)}"
        )
    return found


def _import_file(path: Path) -> ModuleType:
    """Import a file once per content, under a name of its own.

    The content read here is what runs: Python's own loader may take the bytecode of an earlier
    content, of the same length and saved in the same second.
    """
    content = path.read_bytes()
    name = f"_custom_{path.stem}_{hashlib.sha256(bytes(path) + content).hexdigest()[:12]}"
    if name in sys.modules:
        return sys.modules[name]
    found = importlib.util.spec_from_file_location(name, path)
    assert found is not None
    module = importlib.util.module_from_spec(found)
    sys.modules[name] = module  # dataclasses and pickling look their module up there
    try:
        exec(compile(content, path, "exec"), vars(module))
    except BaseException:
        del sys.modules[name]
        raise
    return module


def bind_arguments(
    module_class: type, custom: CustomModule, configuration: Mapping[str, Any]
) -> dict[str, Any]:
    """Constructor arguments: those of the study first, then configuration keys of the same name.

    Raises:
        AblationError: an argument that the constructor does not take, or one that it needs and
            nothing gives.
    """
    accepted = inspect.signature(module_class).parameters.values()
    names = [p.name for p in accepted if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    takes_any = any(p.kind is p.VAR_KEYWORD for p in accepted)
    unknown = [name for name in custom.arguments if name not in names and not takes_any]
    if unknown:
        raise AblationError(
            f"{custom.import_path} takes no argument {', '.join(map(repr, unknown))}; "
            f"{close_matches(unknown[0], names)} allowed in module.arguments: {', '.join(names)}"
        )
    filled = {name: configuration[name] for name in names if name in configuration}
    bound = {**filled, **custom.arguments}
    missing = [p.name for p in accepted if _is_required(p) and p.name not in bound]
    if missing:
        raise AblationError(
            f"{custom.import_path} needs {', '.join(map(repr, missing))}: set it in "
            "module.arguments, give it a default, or name it as a configuration key: "
            f"{', '.join(sorted(configuration))}"
        )
    return bound


def _is_required(parameter: inspect.Parameter) -> bool:
    variadic = parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
    return parameter.default is parameter.empty and not variadic


def _configuration(spec: RunSpec, vocabulary_size: int) -> dict[str, Any]:
    assert spec.module is not None
    values = spec.model_copy(update={"module": None}).params()
    known = {name: v for name, v in values.items() if name not in _OF_GPT_ALONE}
    return {**known, "vocabulary_size": vocabulary_size}
