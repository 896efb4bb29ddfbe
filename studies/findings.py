"""Problems collected while a study is checked, and pydantic's errors put in our words."""

from __future__ import annotations

import types
import typing
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel
from pydantic_core import ErrorDetails

from studies.errors import Problem, close_matches
from studies.schema import Section, Study

_UNION_TAGS = {"full_factorial", "one_at_a_time", "list", "bool", "int", "float", "str", "none"}


@dataclass
class Findings:
    """Every problem of one study."""

    source_of: Callable[[str], str]
    """Where a dotted key came from: the file, or `--set`."""
    problems: list[Problem] = field(default_factory=list)

    def add(self, key: str, value: object, allowed: str, remedy: str) -> None:
        """Note a problem, once."""
        problem = Problem(self.source_of(key), key, value, allowed, remedy)
        if problem not in self.problems:
            self.problems.append(problem)

    def add_schema_error(self, details: ErrorDetails, key: str | None = None) -> None:
        """Note what pydantic found; `key` stands for the location where that says more."""
        parts = location(details)
        name = key or ".".join(parts) or "study"
        kind, value = details["type"], details.get("input")
        allowed = details["msg"].removeprefix("Input should be ").removeprefix("a valid ")
        remedy = "change the value"
        if kind == "extra_forbidden":
            allowed, remedy = _known_keys(parts)
        elif kind == "missing":
            allowed, value, remedy = "a value is needed", None, f"add {name} to the study file"
        elif kind == "value_error":
            allowed, _, hint = allowed.removeprefix("Value error, ").partition("|")
            remedy = hint or remedy
        elif kind == "string_pattern_mismatch" and name == "name":
            allowed, remedy = "lower-case letters, digits, '.', '_' and '-'", "rename the study"
        self.add(name, value, allowed, remedy)


def location(details: ErrorDetails) -> list[str]:
    """The keys that lead to an error, without the branches of unions."""
    return [str(part) for part in details["loc"] if not _is_union_tag(part)]


def _is_union_tag(part: int | str) -> bool:
    return isinstance(part, str) and (part in _UNION_TAGS or "[" in part)


def _known_keys(parts: list[str]) -> tuple[str, str]:
    section: type[BaseModel] | None = Study
    for part in parts[:-1]:
        entry = section.model_fields.get(part) if section else None
        section = _section_class(entry.annotation) if entry else None
    known = list(section.model_fields) if section else []
    where = ".".join(parts[:-1]) or "a study"
    hint = close_matches(parts[-1], known) or "remove the key"
    return (f"keys of {where}: {', '.join(known)}" if known else "no such key"), hint


def _section_class(annotation: Any) -> type[BaseModel] | None:
    if typing.get_origin(annotation) in (types.UnionType, typing.Union, typing.Annotated):
        options = [_section_class(arg) for arg in typing.get_args(annotation)]
        return next((option for option in options if option is not None), None)
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return annotation
    return None
