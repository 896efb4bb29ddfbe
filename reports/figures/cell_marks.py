"""Marks on coloured cells, seen on light and on dark colours: a hatch, a minus, and a dot."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection

HATCH = "/////"
HATCH_INKS = {True: "#00000073", False: "#ffffff8c"}
"""Colour of the hatch on light and on dark cells: the cell's own is seen through it."""
DOT_INKS = {True: "#000000", False: "#ffffff"}


def hatch_boxes(ax: Axes, boxes: npt.NDArray[np.float64], light: npt.NDArray[np.bool_]) -> None:
    """Hatch boxes (n, 4) of x0, y0, x1, y1; `light` (n,) says which have a light colour."""
    for is_light, ink in HATCH_INKS.items():
        chosen = boxes[light == is_light]
        if len(chosen):
            corners = chosen[:, [[0, 1], [2, 1], [2, 3], [0, 3]]]  # (n, 4 corners, 2)
            ax.add_collection(
                PolyCollection(corners, facecolor="none", edgecolor=ink, linewidth=0, hatch=HATCH),
                autolim=False,
            )


def minus_cells(
    ax: Axes, centers: npt.NDArray[np.float64], light: npt.NDArray[np.bool_], size_pt: float
) -> None:
    """Minus signs at centers (n, 2) of x, y, for both ends of a scale are alike without colour."""
    _mark_cells(ax, centers, light, HATCH_INKS, marker="_", size_pt=size_pt, edge_pt=0.7)


def dot_cells(
    ax: Axes, centers: npt.NDArray[np.float64], light: npt.NDArray[np.bool_], size_pt: float
) -> None:
    """Dots at centers (n, 2) of x, y; `light` (n,) says which cells have a light colour."""
    _mark_cells(ax, centers, light, DOT_INKS, marker="o", size_pt=size_pt, edge_pt=0)


def _mark_cells(
    ax: Axes,
    centers: npt.NDArray[np.float64],
    light: npt.NDArray[np.bool_],
    inks: Mapping[bool, str],
    *,
    marker: str,
    size_pt: float,
    edge_pt: float,
) -> None:
    for is_light, ink in inks.items():
        chosen = centers[light == is_light]
        if len(chosen):
            ax.plot(
                *chosen.T, linestyle="none", marker=marker, markersize=size_pt,
                color=ink, markeredgewidth=edge_pt,
            )  # fmt: skip
