"""The reference of the study file, in Markdown: made of the schema and the vocabulary."""

from __future__ import annotations

import json
import types
import typing
from collections.abc import Iterator, Mapping
from typing import Any

from annotated_types import Ge, Gt, Le, Lt
from pydantic.fields import FieldInfo

from studies.data_levels import CORPORA, TOKENIZERS
from studies.design_kinds import CellList, Exclusion, FullFactorial, OneAtATime
from studies.protocol import Fixed, Range, Sweep, Tune
from studies.registry import Level
from studies.schema import Study
from studies.section import Section
from studies.tasks import TASKS
from studies.vocabulary import VOCABULARIES

_GROUPS: dict[str, tuple[type[Section], ...]] = {
    "design": (FullFactorial, OneAtATime, CellList),
    "exclude": (Exclusion,),
    "protocol.search": (Fixed, Sweep, Tune),
    "protocol.search.ranges": (Range,),
}
"""Sections that a key of the study holds in some other way than as its type."""

_LEVELS: dict[str, Mapping[str, Level]] = {
    **VOCABULARIES,
    "data.corpus": CORPORA,
    "data.tokenizer": TOKENIZERS,
    "finetuning.tasks": TASKS,
}

_BOUNDS = {Ge: ("ge", "≥"), Gt: ("gt", ">"), Le: ("le", "≤"), Lt: ("lt", "<")}

_PLAIN: dict[object, str] = {
    bool: "true or false",
    int: "whole number",
    float: "number",
    str: "text",
    type(None): "null",
}


def reference() -> str:
    """Every key with its default, what it takes and what it means; then every level by name."""
    parts = ["## Keys", "", *_table("", Study)]
    for key, section in _described("", Study):
        parts += ["", f"### `{_heading(key, section)}`", "", _summary(section), ""]
        parts += _table(key, section)
    parts += ["", "## Levels"]
    for levels in {id(levels): levels for levels in _LEVELS.values()}.values():
        keys = [f"`{key}`" for key, used in _LEVELS.items() if used is levels]
        parts += ["", f"### {', '.join(keys)}", "", *_levels_table(levels)]
    return "\n".join(parts) + "\n"


def _described(prefix: str, section: type[Section]) -> Iterator[tuple[str, type[Section]]]:
    """Every section that a section's keys hold, at any depth, with the key that holds it."""
    for name, field in section.model_fields.items():
        key = f"{prefix}.{name}" if prefix else name
        for inner in _sections_of(key, field):
            yield key, inner
            yield from _described(key, inner)


def _sections_of(key: str, field: FieldInfo) -> Iterator[type[Section]]:
    yield from _GROUPS.get(key, ())
    for part in (field.annotation, *typing.get_args(field.annotation)):
        if isinstance(part, type) and issubclass(part, Section) and key not in _GROUPS:
            yield part


def _heading(key: str, section: type[Section]) -> str:
    kind = section.model_fields.get("kind")
    return f"{key}: {_literals(kind.annotation)[0]}" if kind else key


def _summary(section: type[Section]) -> str:
    return " ".join((section.__doc__ or "").split())


def _table(prefix: str, section: type[Section]) -> list[str]:
    rows = ["| key | default | takes | meaning |", "|---|---|---|---|"]
    for name, field in section.model_fields.items():
        key = f"{prefix}.{name}" if prefix else name
        if name != "kind":
            takes = _cell(_takes(key, field))
            rows.append(f"| `{name}` | {_default(field)} | {takes} | {_meaning(name, field)} |")
    return rows if len(rows) > 2 else ["No further keys."]


def _meaning(name: str, field: FieldInfo) -> str:
    if field.description:
        return _cell(field.description)
    sections = [_summary(section) for section in _sections_of(name, field)]
    return _cell(" ".join([*sections, f"See [`{name}`](#{name})."]))


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "needed"
    value = field.get_default(call_default_factory=True)
    return "" if isinstance(value, Section | dict) else f"`{_yaml(value)}`"


def _yaml(value: object) -> str:
    if isinstance(value, tuple):
        return f"[{', '.join(map(_yaml, value))}]"
    return value if isinstance(value, str) and value else json.dumps(value)


def _takes(key: str, field: FieldInfo) -> str:
    if key in VOCABULARIES:
        names = " ".join(f"`{name}`" for name in VOCABULARIES[key])
        one, *null = _parts(field.annotation)
        kind = _kind(one) if typing.get_origin(one) else ""
        before = {"list": "list of ", "mapping": "mapping from "}.get(kind, "")
        return before + names + " or null" * len(null)
    fixed = [literal for part in _parts(field.annotation) for literal in _literals(part)]
    if fixed:
        or_null = " or null" * (type(None) in _parts(field.annotation))
        return " ".join(f"`{name}`" for name in fixed) + or_null
    symbols = [(m, *_BOUNDS[type(m)]) for m in field.metadata if type(m) in _BOUNDS]
    bounds = ", ".join(f"{sign} {getattr(m, name)}" for m, name, sign in symbols)
    kinds = [f"{_kind(part)} {bounds}".strip() for part in _parts(field.annotation)]
    return " or ".join(dict.fromkeys(kinds)).replace(f"null {bounds}".strip(), "null")


def _parts(annotation: Any) -> tuple[Any, ...]:
    union = typing.get_origin(annotation) in (typing.Union, types.UnionType)
    return typing.get_args(annotation) if union else (annotation,)


def _kind(part: Any) -> str:
    if typing.get_origin(part) is typing.Annotated:
        part = typing.get_args(part)[0]
    origin = typing.get_origin(part)
    if origin is tuple:
        return "list"
    is_mapping = origin is dict or (isinstance(part, type) and issubclass(part, Section))
    return "mapping" if is_mapping else _PLAIN[part]


def _literals(annotation: Any) -> tuple[str, ...]:
    return typing.get_args(annotation) if typing.get_origin(annotation) is typing.Literal else ()


def _levels_table(levels: Mapping[str, Level]) -> list[str]:
    rows = ["| level | label | definition | source |", "|---|---|---|---|"]
    return rows + [
        f"| `{name}` | {_cell(level.label)} | {_cell(level.summary)} | {_cell(level.source)} |"
        for name, level in levels.items()
    ]


def _cell(text: str) -> str:
    """Text of a table cell: on one line, without a bar or an emphasis by accident."""
    return " ".join(text.split()).replace("|", "\\|").replace(" * ", " \\* ")
