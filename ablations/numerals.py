"""Numbers, durations and small curves as text."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import fmean
from typing import Literal, TypeVar

T = TypeVar("T")

BLOCKS = "▁▂▃▄▅▆▇█"
OFF_SCALE = "·"
"""Stands for a value that a logarithmic scale cannot show."""

Kind = Literal["linear", "log", "diverging"]


@dataclass(frozen=True)
class Scale:
    """How values become heights."""

    low: float
    high: float
    kind: Kind

    @classmethod
    def of(cls, values: Iterable[float], kind: Kind) -> Scale:
        """The scale that just holds the values; a diverging one has zero in its middle."""
        shown = [_position(value, kind) for value in values]
        known = [position for position in shown if position is not None]
        if kind == "diverging":
            bound = max((abs(position) for position in known), default=0.0)
            return cls(-bound, bound, kind)
        return cls(min(known, default=0.0), max(known, default=0.0), kind)

    def block(self, value: float) -> str:
        """The character for a value."""
        position = _position(value, self.kind)
        if position is None:
            return OFF_SCALE
        if self.high == self.low:
            return BLOCKS[len(BLOCKS) // 2 - 1]
        share = (position - self.low) / (self.high - self.low)
        return BLOCKS[min(max(round(share * (len(BLOCKS) - 1)), 0), len(BLOCKS) - 1)]


def _position(value: float, kind: Kind) -> float | None:
    """Where a value stands on its axis; None where it stands nowhere."""
    if kind != "log":
        return value
    return math.log(value) if value > 0 else None


def sparkline(values: Sequence[float], scale: Scale, width: int) -> str:
    """A curve in at most `width` characters; each is the mean of as many neighbours."""
    count = min(width, len(values))
    edges = [round(index * len(values) / count) for index in range(count + 1)] if count else []
    return "".join(scale.block(fmean(values[start:end])) for start, end in pairwise(edges))


def evenly(items: Sequence[T], count: int) -> list[T]:
    """At most `count` items at even distances, the first and the last among them."""
    if len(items) <= count:
        return list(items)
    return [items[round(index * (len(items) - 1) / (count - 1))] for index in range(count)]


def significant(value: float, digits: int = 3) -> str:
    """A number with so many significant digits, fewer if they say it all; a whole one in full."""
    if not math.isfinite(value):
        return str(value)
    if value.is_integer() and abs(value) < 1e9:
        return f"{value:,.0f}"
    digits = min(digits, len(f"{value:e}".partition("e")[0].strip("-0")) - 1)
    mantissa, _, power = f"{value:.{digits - 1}e}".partition("e")
    exponent = int(power)
    if not -4 < exponent < 9:
        return f"{mantissa}e{exponent}"
    return f"{float(f'{mantissa}e{power}'):,.{max(digits - 1 - exponent, 0)}f}"


def aligned(header: str, texts: Sequence[str]) -> list[str]:
    """Header and numbers of a column at one width, points below each other, to be set flush left.

    Set flush right, rich would strip what brings the points below each other.
    """
    after = [_after_point(text) for text in texts]
    widest = max((length for length in after if length is not None), default=0)
    padded = (
        text if length is None else text + " " * (widest - length)
        for text, length in zip(texts, after, strict=True)
    )
    column = [header, *padded]
    width = max(map(len, column))
    return [text.rjust(width) for text in column]


def _after_point(text: str) -> int | None:
    """Characters from the decimal point on; None for what is no plain number."""
    if not text[-1:].isdigit() or "e" in text:
        return None
    return len(text) - text.index(".") if "." in text else 0


def clock(seconds: float | None) -> str:
    """A duration as `3:07` or `2:03:07`; a dash for None."""
    if seconds is None:
        return "–"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
