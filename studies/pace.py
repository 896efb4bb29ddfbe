"""How long one run takes on one device, part by part: what a rehearsal of it measured."""

from __future__ import annotations

from typing import Literal

from studies.section import Section

PartName = Literal["start", "step", "look", "evaluation", "checkpoint"]


class Part(Section):
    """Something that a run does a number of times."""

    name: PartName
    times: int
    """How often in the whole run."""
    seconds: float
    """Of one."""


class Pace(Section):
    """The parts of a run, from its first line to its result."""

    device: str
    """Name of the GPU, or the type of any other device."""
    parts: tuple[Part, ...]

    @property
    def run_s(self) -> float:
        """Seconds of the whole run."""
        return sum(part.times * part.seconds for part in self.parts)

    def part_s(self, name: PartName) -> float:
        """Seconds that the run spends on the parts of a name."""
        return sum(part.times * part.seconds for part in self.parts if part.name == name)
