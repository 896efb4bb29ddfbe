"""What a colour stands for: one scale for all panels of a figure."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from reports.drawing import plain, power_of_ten

Kind = Literal["linear", "log", "diverging"]
Values = npt.NDArray[np.float64]

COLOR_MAPS: dict[Kind, str] = {"linear": "cividis", "log": "cividis", "diverging": "RdBu_r"}
"""Read alike with any colour vision. Sources: Nuñez et al. 2018; ColorBrewer."""
OUTLIERS = 0.005
"""Share of the values at either end that do not widen a scale."""
WORDS: dict[Kind, str] = {
    "linear": "linear colour scale",
    "log": "logarithmic colour scale",
    "diverging": "colour scale that is symmetric about 0",
}
LIGHT = 0.5
"""Luminance from which on a colour is marked in black rather than white."""


@dataclass(frozen=True)
class ColorScale:
    """A kind of scale and its ends, which are exponents of ten if it is logarithmic."""

    kind: Kind
    low: float
    high: float
    under: bool = False
    """Whether values lie below the low end; they have its colour."""
    over: bool = False

    @property
    def mapping(self) -> ScalarMappable:
        """Positions on the scale to colours."""
        return ScalarMappable(Normalize(self.low, self.high), colormaps[COLOR_MAPS[self.kind]])

    def mesh(self, ax: Axes, x: Values, y: Values, values: Values) -> None:
        """Draw values (rows, columns), between borders x (columns + 1,) and y (rows + 1,)."""
        ax.pcolormesh(
            x, y, self.positions(values), cmap=COLOR_MAPS[self.kind], rasterized=True,
            vmin=self.low, vmax=self.high,
        )  # fmt: skip

    def positions(self, values: Values) -> Values:
        """Where values are on the scale; NaN stays NaN, and 0 is under a logarithmic scale."""
        if self.kind != "log":
            return values
        exponents = np.full(values.shape, self.low - 1.0)
        np.log10(values, out=exponents, where=~(values <= 0))
        return exponents

    def light(self, values: Values) -> npt.NDArray[np.bool_]:
        """Whether the colour of each value is so light that marks on it must be dark."""
        red, green, blue, _ = np.moveaxis(self.mapping.to_rgba(self.positions(values)), -1, 0)
        return np.asarray(0.2126 * red + 0.7152 * green + 0.0722 * blue > LIGHT)


def fitting_kind(declared: Kind, values: Values) -> Kind:
    """The scale of a definition; linear where values have no logarithm for being negative."""
    return "linear" if declared == "log" and bool((values < 0).any()) else declared


def color_scale(kind: Kind, values: Values) -> ColorScale:
    """The scale that shows these values (n,), but for outliers; no value leaves it empty."""
    if kind == "log":
        known = np.log10(values[values > 0])
        low, high = _ends(known) if len(known) else (0.0, 1.0)
        low, high = (low, high) if high > low else (low - 0.5, high + 0.5)
        under, over = bool((values <= 0).any()) or known.min() < low, known.max(initial=low) > high
    elif kind == "diverging":
        high = _ends(np.abs(values))[1] or 1.0
        low, under, over = -high, values.min() < -high, values.max() > high
    else:
        low, high = _ends(values)
        high = high if high > low else low + (abs(low) or 1.0)
        under, over = values.min() < low, values.max() > high
    return ColorScale(kind, low, high, bool(under), bool(over))


def _ends(values: Values) -> tuple[float, float]:
    low = np.quantile(values, OUTLIERS, method="lower")
    return float(low), float(np.quantile(values, 1 - OUTLIERS, method="higher"))


def mean_of_runs(kind: Kind, values: pd.Series[float], by: pd.DataFrame) -> pd.DataFrame:
    """Of the runs in each group: mean (geometric on a logarithmic scale), least, most, and runs.

    One 0 makes a geometric mean 0.
    """
    if kind == "log":
        with np.errstate(divide="ignore"):
            values = values.transform(np.log10)
    means = values.groupby([by[column] for column in by]).agg(["mean", "min", "max", "count"])
    means.columns = pd.Index(["mean", "least", "most", "runs"])
    if kind == "log":
        numbers = ["mean", "least", "most"]
        means[numbers] = 10 ** means[numbers]
    return means.reset_index()


def mean_name(kind: Kind) -> str:
    """What the mean of runs is called."""
    return "geometric mean" if kind == "log" else "mean"


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
    if scale.kind == "log":
        values = log_ticks(scale.low, scale.high)
        bar.set_ticks([math.log10(v) for v in values], labels=[_tick(v) for v in values])
    else:
        bar.locator = MaxNLocator(nbins=6)
    bar.ax.tick_params(length=2, pad=1.5)
    if not above:  # a label of several lines is no longer than the bar
        letters = figure.get_figheight() * 72 / (mpl.rcParams["axes.labelsize"] * 0.55)
        label = textwrap.fill(label, max(12, int(letters)), break_long_words=False)
    bar.set_label(plain(label))
    bar.outline.set_linewidth(0.4)


def log_ticks(low: float, high: float) -> list[float]:
    """Values between two exponents of ten: powers of ten, or 1, 2, 5 where these are too few."""
    powers = range(math.ceil(low), math.floor(high) + 1)
    if len(powers) > 2:
        return [10.0**k for k in powers[:: math.ceil(len(powers) / 6)]]
    within = [
        digit * 10.0**k
        for k in range(math.floor(low), math.ceil(high) + 1)
        for digit in (1, 2, 5)
        if low <= math.log10(digit) + k <= high
    ]
    return within if len(within) > 1 else [10**low, 10**high]


def _tick(value: float) -> str:
    return f"{float(f'{value:.2g}'):g}" if 0.01 <= value < 1000 else power_of_ten(math.log10(value))
