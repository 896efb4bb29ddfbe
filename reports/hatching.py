"""Marks of what is fixed by construction: a light hatch through which the colour is seen."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection

HATCH = "/////"
INKS = {True: "#00000073", False: "#ffffff8c"}
"""Colour of the hatch on light and on dark cells."""


def hatch_boxes(ax: Axes, boxes: npt.NDArray[np.float64], light: npt.NDArray[np.bool_]) -> None:
    """Hatch boxes (n, 4) of x0, y0, x1, y1; `light` (n,) says which have a light colour."""
    for is_light, ink in INKS.items():
        chosen = boxes[light == is_light]
        if len(chosen):
            corners = chosen[:, [[0, 1], [2, 1], [2, 3], [0, 3]]]  # (n, 4 corners, 2)
            ax.add_collection(
                PolyCollection(corners, facecolor="none", edgecolor=ink, linewidth=0, hatch=HATCH),
                autolim=False,
            )
