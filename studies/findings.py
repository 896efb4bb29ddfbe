"""Problems collected while a study is checked, and pydantic's errors put in our words."""

from __future__ import annotations

import re
import types
import typing
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel
from pydantic_core import ErrorDetails

from studies.aliases import ALIASES
from studies.configuration import leaf_name
from studies.errors import ABSENT, Problem, close_matches
from studies.schema import MAX_SEEDS, Study, factor_keys
from studies.section import Section

OVERRIDE = "--set"
"""Source of what the command line overrides."""

_HOLDERS = (types.UnionType, typing.Union, typing.Annotated, dict, tuple)
"""Kinds of annotations with a section inside."""

_KINDS = {
    "design": ("full_factorial", "one_at_a_time", "list"),
    "protocol.search": ("fixed", "sweep", "tune"),
}
"""Kinds that a mapping at a key may be of."""

_UNION_TAGS = {kind for kinds in _KINDS.values() for kind in kinds} | {
    *("Range", "bool", "int", "float", "str", "none"),
}

_KEY = "[key]"
"""Ends the location of an error about a key of a mapping."""

_ALLOWED_AT = {
    "name": "at most 81 lower-case letters, digits, '.', '_' and '-', a letter or digit first",
    "seeds": f"a number of seeds from 1 to {MAX_SEEDS}, or a list of different seeds",
    "design": "full_factorial, or a mapping with kind: full_factorial, one_at_a_time or list",
    "protocol.search": "fixed, or a mapping with kind: fixed, sweep or tune",
    "module.import_path": "package.module:Class, or path/to/file.py:Class",
}
"""What may stand at keys whose rule pydantic cannot put into words."""

_ALLOWED_TYPE = {
    "dict_type": "a mapping of keys to values",
    "model_type": "a mapping of keys to values",
    "tuple_type": "a list",
    "invalid_key": "keys that are text",
    "string_type": "text",
}


@dataclass
class Findings:
    """Every problem of one study."""

    source_of: Callable[[str], str]
    """Where a dotted key came from: the file, or `--set`."""
    problems: list[Problem] = field(default_factory=list)

    def add(self, key: str, value: object, allowed: str, remedy: str) -> None:
        """Note a problem, once."""
        problem = Problem(self.source_of(key), key, value, allowed, remedy)
        if str(problem) not in map(str, self.problems):
            self.problems.append(problem)

    def add_schema_errors(self, errors: Sequence[ErrorDetails], key: str | None = None) -> None:
        """Note what pydantic found at one place: several errors are branches of a union.

        `key` stands for the location where that says more.
        """
        wrong_keys = [e for e in errors if e["loc"][-1:] == (_KEY,)]
        errors = wrong_keys or errors
        details = errors[0]
        parts = location(details)
        name = key or ".".join(parts) or "study"
        kind, value = details["type"], details.get("input")
        allowed = " or ".join(dict.fromkeys(map(_allowed, errors)))
        remedy = "remove the key" if wrong_keys else "change the value"
        if kind == "extra_forbidden":
            allowed, remedy = _known_keys(parts, details["loc"])
        elif kind == "missing":
            allowed, value, remedy = "a value is needed", ABSENT, f"add {name} to the study file"
        elif kind == "value_error":
            allowed, _, hint = allowed.removeprefix("Value error, ").partition("|")
            remedy = hint or remedy
        elif kind == "literal_error":
            remedy = close_matches(str(value), re.findall(r"'([^']*)'", allowed)) or remedy
        elif kind == "string_type" and len(errors) == 1 and isinstance(value, bool | int | float):
            remedy = f"put it in quotes: '{value}'"
        elif kind.startswith("union_tag") and isinstance(value, dict):
            remedy = close_matches(str(value.get("kind")), _KINDS[name]) or "name a kind"
        if wrong_keys:  # what pydantic gives as the value is the key
            allowed = f"keys of {'.'.join(parts[:-1])}: {allowed.removeprefix('one of ')}"
            value = ABSENT
        self.add(name, value, _ALLOWED_AT.get(name, allowed), remedy)


def location(details: ErrorDetails) -> list[str]:
    """The keys that lead to an error, without the branches of unions."""
    *path, last = details["loc"] or ("",)
    is_key = details["type"] == "extra_forbidden" or not _is_union_tag(last)
    kept = [part for part in path if not _is_union_tag(part)] + [last] * is_key
    return [str(part) for part in kept]


def _is_union_tag(part: int | str) -> bool:
    return isinstance(part, str) and (part in _UNION_TAGS or "[" in part)


def _allowed(details: ErrorDetails) -> str:
    plain = details["msg"].removeprefix("Input should be ").removeprefix("a valid ")
    return _ALLOWED_TYPE.get(details["type"], plain)


def _known_keys(parts: list[str], loc: Sequence[int | str]) -> tuple[str, str]:
    section: type[BaseModel] | None = Study
    path = iter(parts[:-1])
    for part in path:
        found = section.model_fields.get(part) if section else None
        sections = _section_classes(found.annotation) if found else []
        section = next((s for s in sections if _kind_of(s) in loc), next(iter(sections), None))
        if found and typing.get_origin(found.annotation) in (dict, tuple):
            next(path, None)  # the name or the number of an entry
    known = list(section.model_fields) if section else []
    where = ".".join(parts[:-1]) or "a study"
    hint = _in_another_section(parts[-1], known) or close_matches(parts[-1], known)
    allowed = f"keys of {where}: {', '.join(known)}" if known else "no such key"
    return allowed, hint or "remove the key"


def _in_another_section(name: str, known: Collection[str]) -> str:
    """A hint for a key that stands in the wrong section."""
    ours = ALIASES.get(name, name)
    found = [] if ours in known else [k for k in factor_keys() if leaf_name(k) == ours]
    return f"did you mean {found[0]!r}?" if found else ""


def _section_classes(annotation: Any) -> list[type[BaseModel]]:
    """The sections that an annotation allows, of a union each."""
    if typing.get_origin(annotation) in _HOLDERS:
        return [found for arg in typing.get_args(annotation) for found in _section_classes(arg)]
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return [annotation]
    return []


def _kind_of(section: type[BaseModel]) -> str | None:
    """What tells a section from the others of a union."""
    kind = section.model_fields.get("kind")
    return typing.get_args(kind.annotation)[0] if kind else None
