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
        """The end on which a value lies: of points the outermost, else within half a step."""
        if not isinstance(value, int | float):
            return None
        slack = 0.0 if self.points else 0.5
        if self._distance(value, self.high) <= slack * self._size(self.step_high) + 1e-9:
            return "high" if self.beyond("high") is not None else None
        if self._distance(self.low, value) <= slack * self._size(self.step_low) + 1e-9:
            return "low" if self.beyond("low") is not None else None
        return None

    def beyond(self, side: Side) -> float | int | None:
        """The value one step beyond an end; None where the key takes no such value."""
        end = self.high if side == "high" else self.low
        step = self.step_high if side == "high" else self.step_low
        up = side == "high"
        value = (
            end * step ** (1 if up else -1) if self.logarithmic else end + (step if up else -step)
        )
        value = rounded(value, whole=self.whole)
        return value if value != end and _is_taken(self.key, value) else None

    def extended(self, side: Side) -> Span:
        """The span with the value beyond an end; the same where there is none."""
        value = self.beyond(side)
        if value is None:
            return self
        return replace(self, low=value) if side == "low" else replace(self, high=value)

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


def _is_taken(key: str, value: float) -> bool:
    """Whether a key accepts a value; 0 warm-up steps have no step below."""
    target = field_of(key)
    if target is None:
        return True
    section, name = target
    try:
        section.model_validate({name: value})
    except ValidationError:
        return False
    return True
