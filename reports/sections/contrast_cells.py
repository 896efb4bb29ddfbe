"""How a difference, its interval and its p are written, in cells of tables and in sentences."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from reports.analysis.statistics import PairedDifference
from reports.exhibits import Cell, IntervalBar
from reports.references import formula
from reports.words import ABSENT, LEAST_P, number, p_text

FURTHEST = 4
"""Scale of the bars of a column, in distances of the middling interval's end from 0, where some lie
more than twice as far."""
SD_IN_BRACKETS = formula("", " in brackets, in units of the last digit")
"""How LaTeX writes the SD of a mean, to stand in a caption; on a page it has its own line."""


def p_cell(p: float) -> Cell:
    """A p; the absent mark where there is none."""
    text = p_text(p)
    return Cell(text, order=p, tex=f"${text}$" if math.isfinite(p) else None)


def p_words(p: float, name: str = "p") -> str:
    """A p in a sentence: "p = 0.012", "p < 0.001"."""
    text = p_text(p)
    return f"{name} < {LEAST_P}" if text.startswith("<") else f"{name} = {text}"


def difference_cell(difference: PairedDifference, decimals: int) -> Cell:
    """A mean difference with its interval; with one pair it has none."""
    if not difference.n:
        return Cell(ABSENT, order=math.nan)
    mean = number(difference.mean, decimals, sign=True)
    if difference.n < 2:
        return Cell(mean, order=difference.mean, detail="one seed: no interval")
    low, high = (number(x, decimals, sign=True) for x in (difference.low, difference.high))
    return Cell(
        mean,
        order=difference.mean,
        detail=f"[{low}, {high}]",
        tex=f"${mean}$ $[{low},\\,{high}]$".replace("−", "-"),
        bar=IntervalBar(difference.low, difference.mean, difference.high),
    )


def difference_words(difference: PairedDifference, decimals: int) -> str:
    """A mean difference with its interval in a sentence: "−0.041 [−0.050, −0.032]"."""
    mean = number(difference.mean, decimals, sign=True)
    low, high = (number(x, decimals, sign=True) for x in (difference.low, difference.high))
    return f"{mean} [{low}, {high}]" if difference.n > 1 else mean


def bar_limit(differences: Sequence[PairedDifference]) -> float:
    """Scale of the bars of a column; a few very wide or far ones run off it, with an arrow."""
    known = [d for d in differences if d.n > 1]
    if not known:
        return 0.0
    means, ends = [abs(d.mean) for d in known], [max(-d.low, d.high) for d in known]
    roomy = max(means) + np.median([d.high - d.mean for d in known])
    narrow = FURTHEST * np.median(ends)
    return float(narrow if roomy > 2 * narrow else roomy) or 1.0
