"""The base of every specification: frozen, complete, and strict about what it is given."""

from __future__ import annotations

from typing import get_args

from pydantic import BaseModel, ConfigDict, ValidationInfo, field_validator


class Section(BaseModel):
    """A frozen group of settings that refuses unknown keys."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, use_attribute_docstrings=True, allow_inf_nan=False
    )


class Settings(Section):
    """A section of numbers, names and switches."""

    @field_validator("*", mode="before")
    @classmethod
    def _no_boolean_for_a_number(cls, value: object, info: ValidationInfo) -> object:
        """YAML reads `yes` and `on` as booleans, which pydantic would count as 1."""
        annotation = cls.model_fields[info.field_name or ""].annotation
        kinds = set(get_args(annotation) or [annotation])
        if isinstance(value, bool) and kinds <= {int, float, type(None)}:
            raise ValueError("a number|write it in digits")
        return value
