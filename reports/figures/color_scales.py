"""What a colour stands for: one scale for all panels of a figure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize

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

    def distance(self, first: Values, second: Values) -> Values:
        """How far two values are apart, as a share of the scale's length; it may be longer."""
        apart = np.abs(self.positions(second) - self.positions(first))
        return np.asarray(apart / (self.high - self.low))

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
