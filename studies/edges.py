"""The values that a search may take of one key, and whether one lies at their edge."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from pydantic import ValidationError

from studies.protocol import Fixed, Range, Search, Sweep
from studies.schema import field_of
from studies.values import Scalar

Side = Literal["low", "high"]

SIGNIFICANT_DIGITS = 3
"""Digits of a value that a search makes up: as many as a paper prints."""
NEAREST = 1e-6
"""Relative distance of a number that is as good as beside another."""


@dataclass(frozen=True)
class Span:
    """The numbers of one key from the lowest to the highest that is tried."""

    key: str
    low: float
    high: float
    step_low: float
    """Distance to the next value inwards from the low end: a ratio on a log scale."""
    step_high: float
    logarithmic: bool
    points: bool
    """Whether only certain values are tried, and not any in between."""
    whole: bool

    def edge(self, value: Scalar) -> Side | None:
        """The end on which a value lies: of points the outermost, else within half a step.

        An end that the key takes no value beyond, such as 0 warm-up steps, is none.
        """
        if not isinstance(value, int | float):
            return None
        slack = 0.0 if self.points else 0.5
        if self._distance(value, self.high) <= slack * self._size(self.step_high) + 1e-9:
            return "high" if self._is_open("high") else None
        if self._distance(self.low, value) <= slack * self._size(self.step_low) + 1e-9:
            return "low" if self._is_open("low") else None
        return None

    def beyond(self, side: Side) -> float | int | None:
        """The value one step beyond an end; None where the key takes no such value."""
        end, up = self._end(side), side == "high"
        step = self.step_high if up else self.step_low
        value = (
            end * step ** (1 if up else -1) if self.logarithmic else end + (step if up else -step)
        )
        value = rounded(value, whole=self.whole)
        if value == end:  # a step of less than a whole number
            value += 1 if up else -1
        return value if self._is_taken(value) else None

    def extended(self, side: Side) -> Span:
        """The span with the value beyond an end; the same where there is none."""
        value = self.beyond(side)
        if value is None:
            return self
        return replace(self, low=value) if side == "low" else replace(self, high=value)

    def _end(self, side: Side) -> float:
        return self.high if side == "high" else self.low

    def _is_open(self, side: Side) -> bool:
        """Whether the key takes any value beyond an end."""
        end = self._end(side)
        least = 1 if self.whole else NEAREST * (abs(end) or 1.0)
        return self._is_taken(end + least if side == "high" else end - least)

    def _is_taken(self, value: float) -> bool:
        """Whether the key accepts a value; of an unknown key, whether the sign is one it has."""
        target = field_of(self.key)
        if target is None:
            return value >= 0 or self.low < 0
        section, name = target
        try:
            section.model_validate({name: value})
        except ValidationError:
            return False
        return True

    def _distance(self, low: float, high: float) -> float:
        return math.log(high / low) if self.logarithmic else high - low

    def _size(self, step: float) -> float:
        return math.log(step) if self.logarithmic else step


def span_of(search: Search, key: str) -> Span | None:
    """The span of a key as the study gave it; None where its values have no order."""
    assert not isinstance(search, Fixed)
    given = search.tried[key]
    if not isinstance(given, Range):
        return _of_points(key, given)
    steps = 1 if isinstance(search, Sweep) else max(1, search.trials - 1)
    logarithmic = given.scale == "log"
    step = (
        (given.high / given.low) ** (1 / steps) if logarithmic else (given.high - given.low) / steps
    )
    whole = isinstance(given.low, int) and isinstance(given.high, int)
    return Span(key, given.low, given.high, step, step, logarithmic, False, whole)


def _of_points(key: str, values: Sequence[Scalar]) -> Span | None:
    """Steps of points are the ratio of the outermost two, or where one is 0 their difference."""
    numbers = sorted(v for v in values if isinstance(v, int | float) and not isinstance(v, bool))
    if len(numbers) < len(values) or len(numbers) < 2:
        return None
    logarithmic = numbers[0] > 0
    whole = all(isinstance(number, int) for number in numbers)
    pairs = (numbers[0], numbers[1]), (numbers[-2], numbers[-1])
    steps = [b / a if logarithmic else float(b - a) for a, b in pairs]
    return Span(key, numbers[0], numbers[-1], steps[0], steps[1], logarithmic, True, whole)


def rounded(value: float, *, whole: bool) -> float | int:
    """A made-up value as it would be written: whole, or with three significant digits."""
    return round(value) if whole else float(f"{value:.{SIGNIFICANT_DIGITS}g}")
