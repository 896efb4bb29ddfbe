"""What a study file may say about how levels are combined, and what is left out."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from studies.section import Section
from studies.values import Scalar


class FullFactorial(Section):
    """Every combination of the levels."""

    kind: Literal["full_factorial"] = "full_factorial"


class OneAtATime(Section):
    """A baseline, and cells that differ from it in one factor."""

    kind: Literal["one_at_a_time"]
    baseline: dict[str, Scalar]
    """A level for each factor."""
    mode: Literal["swap_one", "leave_one_out"] = "swap_one"
    """`swap_one`: each other level of each factor; `leave_one_out`: each factor set to its level
    in `without`."""
    without: dict[str, Scalar] = Field(default_factory=dict)
    """For `leave_one_out`: the level of each factor that means "left out"."""


class CellList(Section):
    """Combinations written out one by one."""

    kind: Literal["list"]
    cells: tuple[dict[str, Scalar], ...] = Field(min_length=1)
    """Each a mapping from factor to level; a factor that is not named keeps its base value."""


Design = Annotated[FullFactorial | OneAtATime | CellList, Field(discriminator="kind")]


class Exclusion(Section):
    """Combinations that are left out, and why."""

    when: dict[str, Scalar | tuple[Scalar, ...]] = Field(min_length=1)
    """Factor to level, or to several levels; all must match."""
    because: str = Field(min_length=1)
    """Reason, printed in the plan."""
