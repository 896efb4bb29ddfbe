"""Run configurations as dotted keys: `{"model": {"norm": "layer"}}` is `model.norm`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

ARGUMENTS_PREFIX = "module.arguments."
"""Start of the keys that name constructor arguments of a module of one's own."""

FINETUNING_PREFIX = "finetuning."
"""Start of the keys that fine-tuning goes by: as factors they make no cells."""

Configuration = dict[str, Any]
"""Section to key to value, as `Study.base()` gives it."""

Flat = dict[str, Any]
"""Dotted key to value."""


def flatten(configuration: Mapping[str, Any]) -> Flat:
    """Dotted keys of a configuration; arguments of a module are `module.arguments.NAME`."""
    flat: Flat = {}
    for section, values in configuration.items():
        if section == "module":
            if values is not None:
                flat["module.import_path"] = values["import_path"]
                flat |= {ARGUMENTS_PREFIX + k: v for k, v in values["arguments"].items()}
        else:
            flat |= {f"{section}.{key}": value for key, value in values.items()}
    return flat


def with_values(configuration: Configuration, values: Mapping[str, Any]) -> Configuration:
    """A configuration with dotted keys set; sections without one of them are shared, not copied."""
    changed = dict(configuration)
    for key, value in values.items():
        if key.startswith(ARGUMENTS_PREFIX):
            name, module = key.removeprefix(ARGUMENTS_PREFIX), changed["module"]
            changed["module"] = {**module, "arguments": {**module["arguments"], name: value}}
        else:
            section, _, leaf = key.partition(".")
            changed[section] = {**changed[section], leaf: value}
    return changed


def value_at(configuration: Mapping[str, Any], key: str) -> Any:
    """The value of a dotted key in a configuration."""
    if key.startswith(ARGUMENTS_PREFIX):
        return configuration["module"]["arguments"].get(key.removeprefix(ARGUMENTS_PREFIX))
    section, _, name = key.partition(".")
    return configuration[section][name]


def leaf_name(key: str) -> str:
    """Last part of a dotted key: how a factor is called in params and tables."""
    return key.rpartition(".")[2]
