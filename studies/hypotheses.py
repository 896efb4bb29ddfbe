"""What a study expects to find, said before it is run."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from studies.section import Section, Settings
from studies.values import Scalar, plain_name

HypothesisName = Annotated[str, AfterValidator(plain_name)]

LevelSets = dict[str, Scalar | tuple[Scalar, ...]]
"""Factor to a level, or to several of which each will do."""

Direction = Literal["lower", "higher", "different", "equivalent"]


class Hypothesis(Settings):
    """Two sets of cells, and how the mean final loss of one compares with that of the other."""

    claim: str = Field(min_length=1)
    """What is expected, in a sentence; printed in the report."""
    of: LevelSets = Field(min_length=1)
    """Cells whose mean is compared: factor to level, or to several levels. All must match, and a
    cell in which a factor means nothing does not."""
    against: LevelSets = Field(min_length=1)
    """Cells that they are compared with; none of them is also in `of`."""
    direction: Direction
    """What the final loss of `of` is expected to be: `lower` or `higher` than that of `against`
    (one-sided test), `different` (two-sided), or `equivalent` within `margin` (two one-sided
    tests)."""
    margin: float | None = Field(None, gt=0)
    """Difference, in nats per token, that is worth speaking of. Needed for `equivalent`. Null is
    the larger of 0.01 and the SD of `against` over seeds, which is decided by the data: declare
    one."""
    seeds: int | None = Field(None, ge=1)
    """Number of seeds that it is planned for, at most those of the study; null is all of them. It
    is tested on the first so many, and with fewer nothing is decided."""


class Contrast(Section):
    """The cells that a hypothesis compares, by variant."""

    of: tuple[str, ...]
    against: tuple[str, ...]
