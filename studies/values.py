"""Kinds of values that a study file holds, with what pydantic does not know about them."""

from __future__ import annotations

import re
from typing import Annotated, TypeVar

from pydantic import AfterValidator, Field, StringConstraints

from studies.diagnostics import DIAGNOSTICS, recorded_by
from studies.errors import close_matches
from studies.vocabulary import VOCABULARIES

T = TypeVar("T")

Scalar = bool | int | float | str | None
"""A level of a factor, or a value of a configuration key that can be one."""

Seed = Annotated[int, Field(ge=0, lt=2**32, strict=True)]
Slug = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9._-]{0,80}$")]


def level_of(key: str) -> AfterValidator:
    """Accepts the names of the vocabulary of a configuration key."""

    def known(value: str) -> str:
        levels = VOCABULARIES[key]
        if value not in levels:
            hint = levels is DIAGNOSTICS and recorded_by(value)
            hint = hint or close_matches(value, levels)
            raise ValueError(f"one of {', '.join(levels)}|{hint}")
        return value

    return AfterValidator(known)


def plain_name(name: str) -> str:
    """The name, if `--set` can reach what it stands for: a dot would end it."""
    if not re.fullmatch(r"[a-z0-9][a-z0-9_-]{0,80}", name):
        raise ValueError("lower-case letters, digits, '_' and '-'|rename it")
    return name


def different(values: tuple[T, ...]) -> tuple[T, ...]:
    """The values, if no two are equal."""
    if len(set(values)) < len(values):
        raise ValueError("each one once|remove the repeats")
    return values
