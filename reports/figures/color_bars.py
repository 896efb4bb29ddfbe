"""The bar beside or above the panels of a figure that says what their colours stand for."""

from __future__ import annotations

import math
import re
import textwrap
from collections.abc import Sequence
from itertools import pairwise

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from reports.figures.color_scales import ColorScale
from reports.figures.drawing import plain

MOST_TICKS = 6
DIGIT = 0.65
"""Width of a digit over the size of its font, about; it is that of DejaVu Sans, a wide font."""
LINE = 1.5
"""Height of a line over the size of its font."""
PLAIN = (1e-4, 1e5)
"""Magnitudes of the ticks that are written without a power of ten."""
PLAIN_POWERS = (0.01, 1000)
"""The same where all ticks are powers of ten."""


def add_color_bar(
    figure: Figure, axes: Sequence[Axes], scale: ColorScale, label: str, *, above: bool = False
) -> None:
    """One colour bar for all panels: beside them, or above where panels may be low."""
    ends = {(True, True): "both", (True, False): "min", (False, True): "max"}
    bar = figure.colorbar(
        scale.mapping, ax=list(axes),
        pad=0.1 / figure.get_figheight() if above else 0.01, aspect=50 if above else 40,
        shrink=0.6 if above else 1.0, fraction=0.05 if above else 0.03,
        location="top" if above else "right",
        extend=ends.get((scale.under, scale.over), "neither"),
    )  # fmt: skip
    font = mpl.rcParams["ytick.labelsize"]
    if above:  # the labels of rows take about a quarter of the width
        length = figure.get_figwidth() * 72 * 0.6 * 0.75 / (font * DIGIT)
        values, labels = bar_ticks(scale, length)
    else:
        values, labels = bar_ticks(scale, figure.get_figheight() * 72 * 0.8 / font, across=True)
    bar.set_ticks(list(scale.positions(np.array(values))), labels=labels)
    bar.ax.tick_params(length=2, pad=1.5)
    if not above:  # a label of several lines is no longer than the bar
        letters = figure.get_figheight() * 72 / (mpl.rcParams["axes.labelsize"] * 0.55)
        label = textwrap.fill(label, max(12, int(letters)), break_long_words=False)
    bar.set_label(plain(label))
    bar.outline.set_linewidth(0.4)


def bar_ticks(
    scale: ColorScale, length: float, *, across: bool = False
) -> tuple[list[float], list[str]]:
    """As many ticks as fit, with their labels.

    Args:
        scale: what the bar shows.
        length: of the bar, in digits along it, or in heights of the font if labels lie across it.
        across: whether labels lie across the bar, so that each takes a line of it.
    """
    for most in range(MOST_TICKS, 1, -1):
        values = (log_ticks if scale.kind == "log" else round_ticks)(scale.low, scale.high, most)
        labels = tick_labels(values)
        sizes = [LINE if across else _width(label) + 1.5 for label in labels]
        places = (scale.positions(np.array(values)) - scale.low) / (scale.high - scale.low)
        room = np.diff(places) * length
        if all(r >= (a + b) / 2 for r, a, b in zip(room, sizes, sizes[1:], strict=False)):
            break
    return values, labels


def log_ticks(low: float, high: float, most: int = MOST_TICKS) -> list[float]:
    """Round values between two exponents of ten: of each decade 1, 2, 5, or 1, 3, or 1."""
    found: list[float] = []
    for digits in ((1, 2, 5), (1, 3), (1,)):
        found = [
            digit * 10.0**k
            for k in range(math.floor(low), math.ceil(high) + 1)
            for digit in digits
            if low <= math.log10(digit) + k <= high
        ]
        if len(found) <= most:
            break
    if len(found) < 3 and high - low < 1:
        return round_ticks(10**low, 10**high, most)
    return found[:: math.ceil(len(found) / most)]


def round_ticks(low: float, high: float, most: int = MOST_TICKS) -> list[float]:
    """Values at equal round steps between two ends."""
    slack = 1e-9 * (high - low)
    for bins in range(most + 1, 0, -1):
        locator = MaxNLocator(nbins=bins, steps=[1, 2, 2.5, 5, 10])
        found = np.asarray(locator.tick_values(low, high))
        found = found[(found >= low - slack) & (found <= high + slack)]
        if 1 < len(found) <= most:
            return [float(value) for value in found]
    return [low, high]


def tick_labels(values: Sequence[float]) -> list[str]:
    """Labels of ascending ticks: all in one style, with no more digits than tell them apart."""
    sizes = [abs(value) for value in values if value]
    steps = [after - before for before, after in pairwise(values)]
    powers = all(value > 0 and _exponent(value) == math.log10(value) for value in values)
    equal = max(steps) < 1.01 * min(steps) and not powers
    least, greatest = PLAIN_POWERS if powers and len(values) > 2 else PLAIN
    if least <= min(sizes) and max(sizes) <= greatest:
        return _decimals(values, min(steps)) if equal else _shortest(values)
    exponents = [_exponent(max(sizes) if equal else abs(value)) for value in values]
    scaled = [value / 10.0**k for value, k in zip(values, exponents, strict=True)]
    digits = _decimals(scaled, min(steps) / 10.0 ** exponents[0]) if equal else _shortest(scaled)
    return [_times_ten_to(d, k) for d, k in zip(digits, exponents, strict=True)]


def _exponent(size: float) -> int:
    return math.floor(math.log10(size) + 1e-9)


def _decimals(values: Sequence[float], step: float) -> list[str]:
    """As many decimals for all as place each within a hundredth of a step."""
    fitting = (d for d in range(15) if all(abs(round(v, d) - v) < step / 100 for v in values))
    decimals = next(fitting, 15)
    return [f"{value:.{decimals}f}".replace("-", "−") for value in values]


def _shortest(values: Sequence[float]) -> list[str]:
    return [f"{value:.10g}" for value in values]


def _times_ten_to(digits: str, exponent: int) -> str:
    if float(digits.replace("−", "-")) == 0:
        return "0"
    return f"$10^{{{exponent}}}$" if digits == "1" else rf"${digits}{{\cdot}}10^{{{exponent}}}$"


def _width(label: str) -> int:
    """Digits that a label is as wide as, about."""
    return len(re.sub(r"[${}^]|\\cdot", "", label))
