"""What is asked of the report of a study."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, StringConstraints

from studies.section import Section
from studies.values import Scalar


class ReportConfig(Section):
    """What the report compares and shows."""

    baseline: dict[str, Scalar] | None = None
    """Factor levels of the cell that the others are compared with; null is the first cell of the
    plan (for `one_at_a_time`, the baseline of the design)."""
    confidence: float = Field(0.95, gt=0.5, lt=1)
    """Level of the intervals."""
    layer_maps: tuple[Annotated[str, StringConstraints(pattern=r"^[\w-]+(/[\w-]+)*$")], ...] = (
        "gradient_norm",
        "activation_drift",
    )
    """Curves that are drawn by layer and step: a family, or family/tap such as
    `activation_rms/hidden`; a family alone stands for its residual stream, or its blocks."""
