"""The differences of shared cells as a figure: a panel per study."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial

import pandas as pd

from reports.analysis.comparison import VariantRow
from reports.analysis.joined.comparison import JoinedComparison, JoinedRow, sign_of
from reports.analysis.statistics import PairedDifference
from reports.exhibits import Figure
from reports.figures.forest_plot import Estimate, Forest, ForestPanel, draw_forest_plot
from reports.words import EDGE_NOTE, LEAK_MARKS, any_of, counts_caption, percent
from studies.records import Leak, Outcome, worst_leak


def difference_of(data: JoinedComparison, side: VariantRow | None) -> PairedDifference | None:
    """To the baseline of the study, where all studies have one baseline and there is a pair."""
    if data.baseline is None or side is None or side.difference is None:
        return None
    return side.difference if side.difference.n else None


def interval_text(data: JoinedComparison) -> str:
    """How many seeds a mean difference is over, and what its interval is."""
    known = [d.n for row in data.rows for side in row.sides if (d := difference_of(data, side))]
    n = " to ".join(map(str, dict.fromkeys((min(known), max(known))))) if known else "0"
    if max(known, default=0) < 2:
        return f"(n = {n}), without an interval"
    levels = dict.fromkeys(percent(found.confidence) for found in data.comparisons)
    return f"(n = {n}) with its {' or '.join(levels)} t interval, not corrected"


def marked_label(row: JoinedRow) -> str:
    """The cell with the mark of its worst leak in any study."""
    return row.cell.label + LEAK_MARKS[_worst(row)]


def _worst(row: JoinedRow) -> Leak | None:
    return worst_leak(side.leak for side in row.sides if side is not None)


def leak_notes(data: JoinedComparison) -> list[str]:
    """What the marks behind labels mean, those that occur."""
    leaks = {_worst(row) for row in data.rows}
    notes = {
        Leak.IN_TRAINING: "† leaks in training; its evaluation is causal.",
        Leak.LEAKY: "‡ the evaluation leaks: not ranked.",
    }
    return [note for leak, note in notes.items() if leak in leaks]


def at_edge(side: VariantRow | None) -> bool:
    """Whether the search of a cell in a study ended at the edge of what was tried."""
    return side is not None and side.chosen is not None and bool(side.chosen.edges)


def edge_notes(data: JoinedComparison) -> list[str]:
    """What the mark of an edge means, where it occurs, and which studies' baseline has it."""
    if not any(at_edge(side) for row in data.rows for side in row.sides):
        return []
    baselines = [
        letter
        for row in data.rows
        for letter, side in zip(data.letters, row.sides, strict=True)
        if row.reading is None and data.baseline is not None and at_edge(side)
    ]
    if not baselines:
        return [EDGE_NOTE]
    return [EDGE_NOTE, f"So is the baseline in {any_of(baselines, 'and')}."]


def forest_figure(data: JoinedComparison) -> Figure:
    """The forest plot, its numbers and its caption."""
    forest = _forest(data)
    same = "one scale, for all losses are on one evaluation set" if forest.one_scale else (
        "scales of their own, for the losses are not known to be on one evaluation set"
    )  # fmt: skip
    lost = " At the right of a panel: outcomes of runs that left no final loss." * any(
        estimate.lost for panel in forest.panels for estimate in panel.estimates
    )
    hollow = "; hollow: it detects none, or has no verdict" * any(
        not e.detected for panel in forest.panels for e in panel.estimates if e.n
    )
    caption = (
        "Difference of the final loss to the baseline of the same study, in nats/token: mean "
        f"paired by seed {interval_text(data)}. The vertical line is the study's own baseline "
        f"({data.baseline}); panels have {same}. Filled: the study detects a difference, by Holm "
        f"within it{hollow}. Arrows: longer than the axis.{lost}"
    )
    counts = counts_caption(data.outcomes, searching=data.searching)
    caption = " ".join([caption, *leak_notes(data), *edge_notes(data), counts])
    rows = [
        {"cell": row.cell.name, "label": label, "study": study} | _estimate_numbers(estimate)
        for panel, study in zip(forest.panels, data.studies, strict=True)
        for row, label, estimate in zip(_compared(data), forest.labels, panel.estimates,
                                        strict=True)
    ]  # fmt: skip
    return Figure(
        "shared_differences",
        caption,
        pd.DataFrame(rows),
        partial(draw_forest_plot, forest),
        runs=tuple(dict.fromkeys(key for row in _compared(data) for key in row.runs)),
    )


def _compared(data: JoinedComparison) -> Sequence[JoinedRow]:
    return [row for row in data.rows if row.reading is not None]


def _forest(data: JoinedComparison) -> Forest:
    rows = _compared(data)
    return Forest(
        labels=tuple(marked_label(row) for row in rows),
        panels=tuple(
            ForestPanel(letter, study, tuple(_estimate(row.sides[i]) for row in rows))
            for i, (letter, study) in enumerate(zip(data.letters, data.studies, strict=True))
        ),
        one_scale=all(row.same_evaluation for row in rows),
    )


def _estimate(side: VariantRow | None) -> Estimate:
    if side is None or side.test is None:
        return Estimate(0, math.nan, math.nan, math.nan, detected=False, lost=(), planned=False)
    difference = side.test.difference
    lost = tuple(o for o, n in side.outcomes.items() if n and o is not Outcome.COMPLETED)
    return Estimate(
        difference.n, difference.mean, difference.low, difference.high,
        detected=bool(sign_of(side.test.reading)), lost=lost, planned=True,
        at_edge=at_edge(side),
    )  # fmt: skip


def _estimate_numbers(estimate: Estimate) -> dict[str, object]:
    return {
        "n": estimate.n,
        "difference": estimate.mean,
        "low": estimate.low,
        "high": estimate.high,
        "detected": estimate.detected,
        "at_edge": estimate.at_edge,
    }
