"""Finding and reading study files: a path or a shipped name, with `--set` on top."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import yaml

from studies.errors import AblationError, InvalidStudy, Problem, close_matches
from studies.findings import OVERRIDE
from studies.presets import PRESETS, preset_path
from studies.schema import RUN_SECTIONS, Study
from studies.tasks import TASKS, task_path
from studies.validation import Raw, validate


@dataclass(frozen=True)
class LoadedStudy:
    """A valid study, and where it came from."""

    study: Study
    path: Path
    overrides: dict[str, Any]
    """What `--set` changed: dotted key to value."""


def shipped_studies() -> dict[str, Path]:
    """Name to file of the studies that come with the package."""
    folder = Path(str(resources.files("studies") / "catalog"))
    catalog = {path.stem: path for path in sorted(folder.glob("*.yaml"))}
    return catalog | {name: preset_path(name) for name in PRESETS}


def load_study(reference: str, settings: Sequence[str] = ()) -> LoadedStudy:
    """Read a study by path or shipped name and apply `key=value` settings.

    Raises:
        InvalidStudy: the study is not valid; every problem is listed.
        AblationError: there is no such study, or the file is not YAML.
    """
    path = find_study(reference)
    raw = read_yaml(path)
    overrides = dict(_parse_setting(setting) for setting in settings)
    new_sections = {key.partition(".")[0] for key in overrides} - raw.keys()
    for key, value in overrides.items():
        _set(raw, key, value)
    inherited = _inherited(raw)

    def source_of(key: str) -> str:
        section, _, name = key.partition(".")
        if name in inherited.get(section, {}):
            return str(preset_path(raw["preset"]))
        set_here = any(key == k or key.startswith(k + ".") for k in overrides)
        return OVERRIDE if set_here or key in new_sections else str(path)

    own = {section: raw.get(section, {}) for section in inherited}
    filled = {section: {**values, **own[section]} for section, values in inherited.items()}
    study = validate(_with_known_tasks({**raw, **filled}), source_of, path.parent)
    return LoadedStudy(study, path, overrides)


def _inherited(raw: Raw) -> dict[str, Raw]:
    """Section to the values that a study takes from its preset; a broken section takes none."""
    name = raw.get("preset")
    if not isinstance(name, str) or name not in PRESETS:
        return {}
    preset = read_yaml(preset_path(name))
    return {
        section: {name: value for name, value in preset[section].items() if name not in own}
        for section in RUN_SECTIONS
        if section in preset and isinstance(own := raw.get(section, {}), dict)
    }


def _with_known_tasks(raw: Raw) -> Raw:
    """The study with what the package knows of the tasks that it names, where it says nothing."""
    section = raw.get("finetuning")
    if not isinstance(section, dict) or not isinstance(tasks := section.get("tasks"), dict):
        return raw
    filled = {
        name: {**read_yaml(task_path(name)), **own}
        if name in TASKS and isinstance(own, dict)
        else own
        for name, own in tasks.items()
    }
    return {**raw, "finetuning": {**section, "tasks": filled}}


def find_study(reference: str) -> Path:
    """The file of a study given by path or by shipped name."""
    if _is_file(reference):
        return Path(reference).resolve()
    shipped = shipped_studies()
    if reference in shipped:
        return shipped[reference]
    hint = close_matches(reference, shipped)
    raise AblationError(
        f"no study {reference!r}: neither a file nor a shipped study. "
        f"{hint + ' ' if hint else ''}Shipped: {', '.join(shipped)}. "
        "Give the path of a study file, or see `ablate list`."
    )


def _is_file(reference: str) -> bool:
    try:
        return Path(reference).is_file()
    except OSError:  # a name too long for the file system
        return False


class _Loader(yaml.SafeLoader):
    """Safe YAML that reads 1e-3 as a number and refuses a key given twice."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(\d[\d_]*(\.[\d_]*)?|\.\d[\d_]*)[eE][-+]?\d+$"),
    list("-+0123456789."),
)


def _mapping(loader: _Loader, node: yaml.MappingNode) -> Raw:
    keys = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
    repeated = sorted(key for key, count in Counter(keys).items() if count > 1)
    if repeated:
        raise yaml.constructor.ConstructorError(
            None, None, f"key given twice: {', '.join(repeated)}", node.start_mark
        )
    loader.flatten_mapping(node)  # `<<: *anchor`
    return dict(loader.construct_pairs(node, deep=True))


_Loader.add_constructor("tag:yaml.org,2002:map", _mapping)


def _parse(text: str) -> Any:
    """The value of a YAML text.

    Raises:
        ValueError: it is not YAML, or a value in it is not what its tag says.
    """
    try:
        return yaml.load(text, _Loader)
    except Exception as error:  # PyYAML passes on what int(), date() and the like raise
        raise ValueError(str(error) or type(error).__name__) from None


def read_yaml(path: Path) -> Raw:
    """The mapping in a YAML file."""
    try:
        raw = _parse(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise AblationError(f"{path} cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise AblationError(f"{path}: not a YAML file: {error}") from None
    if not isinstance(raw, dict):
        problem = Problem(
            str(path), "study", raw, "a mapping of sections", "see `ablate list` for examples"
        )
        raise InvalidStudy([problem])
    return raw


def _parse_setting(setting: str) -> tuple[str, Any]:
    key, equals, text = setting.partition("=")
    if not equals or not key.strip():
        raise AblationError(
            f"--set {setting!r}: expected key=value, for example training.max_steps=200"
        )
    try:
        return key.strip(), _parse(text)
    except ValueError as error:
        raise AblationError(f"--set {setting!r}: the value is not YAML: {error}") from None


_KEYED_BY_FACTOR = {"factors", "baseline", "without", "values", "ranges", "of", "against"}
"""Mappings from a configuration key to values: their keys have dots of their own."""


def _set(raw: Raw, key: str, value: Any) -> None:
    """Set a dotted key; what follows `factors.` and the like is one key, dots and all."""
    head, _, rest = key.partition(".")
    if not rest:
        raw[key] = value
        return
    inner = raw.get(head)
    if isinstance(inner, str) and head == "design":
        inner = {"kind": inner}
    raw[head] = inner = dict(inner) if isinstance(inner, dict) else {}
    if head in _KEYED_BY_FACTOR:
        inner[rest] = value
    else:
        _set(inner, rest, value)
