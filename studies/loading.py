"""Finding and reading study files: a path or a shipped name, with `--set` on top."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import yaml

from studies.errors import AblationError, InvalidStudy, Problem, close_matches
from studies.schema import Study
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
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))}


def load_study(reference: str, settings: Sequence[str] = ()) -> LoadedStudy:
    """Read a study by path or shipped name and apply `key=value` settings.

    Raises:
        InvalidStudy: the study is not valid; every problem is listed.
        AblationError: there is no such study, or the file is not YAML.
    """
    path = find_study(reference)
    raw = read_yaml(path)
    overrides = dict(_parse_setting(setting) for setting in settings)
    for key, value in overrides.items():
        _set(raw, key, value)

    def source_of(key: str) -> str:
        set_here = any(key == k or key.startswith(k + ".") for k in overrides)
        return "--set" if set_here else str(path)

    study = validate(raw, source_of, path.parent)
    return LoadedStudy(study, path, overrides)


def find_study(reference: str) -> Path:
    """The file of a study given by path or by shipped name."""
    path = Path(reference)
    if path.is_file():
        return path.resolve()
    shipped = shipped_studies()
    if reference in shipped:
        return shipped[reference]
    hint = close_matches(reference, shipped)
    raise AblationError(
        f"no study {reference!r}: neither a file nor a shipped study. "
        f"{hint + ' ' if hint else ''}Shipped: {', '.join(shipped)}. "
        "Give the path of a study file, or see `ablate list`."
    )


class _Loader(yaml.SafeLoader):
    """Safe YAML that reads 1e-3 as a number and refuses a key given twice."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(\d[\d_]*(\.[\d_]*)?|\.\d[\d_]*)[eE][-+]?\d+$"),
    list("-+0123456789."),
)


def _mapping(loader: _Loader, node: yaml.MappingNode) -> Raw:
    keys = [loader.construct_object(key) for key, _ in node.value]
    repeated = sorted({str(key) for key in keys if keys.count(key) > 1})
    if repeated:
        raise yaml.constructor.ConstructorError(
            None, None, f"key given twice: {', '.join(repeated)}", node.start_mark
        )
    return dict(loader.construct_pairs(node, deep=True))


_Loader.add_constructor("tag:yaml.org,2002:map", _mapping)


def read_yaml(path: Path) -> Raw:
    """The mapping in a YAML file."""
    try:
        raw = yaml.load(path.read_text(encoding="utf-8"), _Loader)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
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
        return key.strip(), yaml.load(text, _Loader)
    except yaml.YAMLError as error:
        raise AblationError(f"--set {setting!r}: the value is not YAML: {error}") from None


def _set(raw: Raw, key: str, value: Any) -> None:
    """Set a dotted key; what follows `factors.` is one key, dots and all."""
    head, _, rest = key.partition(".")
    if not rest:
        raw[key] = value
        return
    inner = raw.get(head)
    if isinstance(inner, str) and head == "design":
        inner = {"kind": inner}
    raw[head] = inner = dict(inner) if isinstance(inner, dict) else {}
    if head == "factors":
        inner[rest] = value
    else:
        _set(inner, rest, value)
