"""The cells of the main table: what stands in each column for a variant."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from statistics import median

from reports.analysis.comparison import VariantRow
from reports.analysis.statistics import Interval, Summary
from reports.exhibits import Cell
from reports.sections import contrast_cells
from reports.sections.readings import verdict_of
from reports.words import (
    ABSENT,
    EDGE_MARK,
    LEAK_MARKS,
    grouped,
    number,
    outcome_text,
    plain_value,
)
from studies.records import Leak, Outcome

LEAK_WORDS: dict[Leak | None, str] = {
    Leak.CAUSAL: "yes",
    Leak.IN_TRAINING: "in evaluation",
    Leak.LEAKY: "no",
    None: "not measured",
}
BEHIND = "its own, the baseline's and, where it is ranked, those of the variant of lowest mean"
"""Whose the runs of a row are."""


def name_cell(row: VariantRow) -> Cell:
    """The variant as a reader knows it, with its leak mark, and its own name below."""
    return Cell(
        marked_label(row),
        order=row.label,
        swatch=row.color,
        strong=row.strong,
        detail=row.variant if row.variant != row.label else "",
    )


def marked_label(row: VariantRow) -> str:
    """The variant as a reader knows it, with the marks of a leak and of a choice at an edge."""
    at_edge = row.chosen is not None and bool(row.chosen.edges)
    return row.label + LEAK_MARKS[row.leak] + EDGE_MARK * at_edge


def loss_cell(row: VariantRow, decimals: int) -> Cell:
    """Mean and SD of the final loss; in LaTeX the SD in brackets, in units of the last digit."""
    cell = summary_cell(row.loss, decimals, strong=row.strong)
    return replace(cell, detail=f"{cell.detail}, n = {row.loss.n}") if cell.detail else cell


def summary_cell(loss: Summary, decimals: int, *, strong: bool = False) -> Cell:
    """A mean with its SD below; in LaTeX in one, for a column of siunitx."""
    mean, sd = loss.mean, loss.sd
    uncertainty = f"({round(sd * 10**decimals)})" if math.isfinite(sd) else ""
    return Cell(
        number(mean, decimals),
        order=mean,
        tex=f"{mean:.{decimals}f}{uncertainty}" if math.isfinite(mean) else None,
        detail=f"SD {number(sd, decimals)}" if loss.n > 1 else "",
        strong=strong,
    )


def difference_cell(row: VariantRow, decimals: int) -> Cell:
    """Mean difference to the baseline with its interval, drawn too."""
    difference = row.difference
    if difference is None:
        return Cell("baseline", order=0.0, tex="baseline")
    cell = contrast_cells.difference_cell(difference, decimals)
    has_fewer = 1 < difference.n != row.loss.n
    if not has_fewer:
        return cell
    pairs = f"{difference.n} pairs"
    return replace(cell, detail=f"{cell.detail}, {pairs}", tex=f"{cell.tex} ({pairs})")


def holm_cell(row: VariantRow) -> Cell:
    """P over all comparisons; empty for the baseline itself."""
    if row.test is None:
        return Cell("", order=math.nan)
    return contrast_cells.p_cell(row.test.adjusted_p)


def flip_cell(row: VariantRow) -> Cell:
    """P of sign flips; empty for the baseline itself."""
    if row.test is None:
        return Cell("", order=math.nan)
    return contrast_cells.p_cell(row.test.flip_p)


def win_cell(row: VariantRow) -> Cell:
    """Share of seeds with the lower loss; empty for the baseline itself."""
    if row.test is None:
        return Cell("", order=math.nan)
    win = row.test.win
    text, interval = number(win.estimate, 2), _interval(win)
    known, spaced = math.isfinite(win.estimate), interval.replace(", ", r",\,")
    tex = f"${text}$ ${spaced}$" if known else None
    return Cell(text, order=win.estimate, detail=interval if known else "", tex=tex)


def _interval(interval: Interval) -> str:
    return f"[{number(interval.low, 2)}, {number(interval.high, 2)}]"


def reading_cell(row: VariantRow, decimals: int) -> Cell:
    """The verdict; empty for the baseline itself."""
    if row.test is None:
        return Cell("", order=math.nan)
    verdict = verdict_of(row.test, decimals)
    return Cell(verdict.text, detail=verdict.detail)


def completed_cell(row: VariantRow) -> Cell:
    """Completed of planned runs, and what became of the others."""
    share = row.outcomes[Outcome.COMPLETED] / max(1, sum(row.outcomes.values()))
    return Cell(outcome_text(row.outcomes), order=share, marks=row.marks)


def causal_cell(row: VariantRow) -> Cell:
    """Whether the variant is causal, as measured."""
    return Cell(LEAK_WORDS[row.leak])


def chosen_cell(row: VariantRow) -> Cell:
    """What the search chose, marked at the edge."""
    if row.chosen is None:
        return Cell(ABSENT, order=math.nan)
    values = [
        plain_value(value) + (EDGE_MARK if key in row.chosen.edges else "")
        for key, value in row.chosen.settings.items()
    ]
    first = next(iter(row.chosen.settings.values()))
    order = float(first) if isinstance(first, int | float) else str(first)
    return Cell(", ".join(values), order=order)


def shared_cell(row: VariantRow, decimals: int, finer: int) -> Cell:
    """Final loss and difference to the baseline at the shared values, that with finer decimals."""
    assert row.shared is not None
    found, difference = summary_cell(row.shared, decimals), row.shared_difference
    if difference is None or not difference.n:
        return found
    beside = contrast_cells.difference_cell(difference, finer)
    tex = beside.tex or f"${beside.text}$".replace("−", "-")
    interval = f" {beside.detail}" if difference.n > 1 else ""
    details = [found.detail, f"{beside.text}{interval}"]
    return replace(found, detail="; ".join(filter(None, details)), tex=f"{found.tex}; {tex}")


def number_cell(value: float, decimals: int) -> Cell:
    """A number with so many decimals."""
    return Cell(number(value, decimals), order=value)


def diverged_cell(row: VariantRow, confidence: float) -> Cell:
    """Diverged of ended runs; the interval only where some did."""
    ended = sum(row.outcomes[o] for o in (Outcome.COMPLETED, Outcome.DIVERGED, Outcome.PRUNED))
    text = f"{row.outcomes[Outcome.DIVERGED]}/{ended}"
    if not row.outcomes[Outcome.DIVERGED]:
        return Cell(text, order=row.diverged.estimate)
    share = row.diverged
    return Cell(
        text,
        order=share.estimate,
        detail=f"{share.estimate:.0%} [{share.low:.0%},\xa0{share.high:.0%}]",
    )


def count_cell(value: float) -> Cell:
    """A large number, with spaces between thousands."""
    tex = f"{value:.0f}" if math.isfinite(value) else None
    return Cell(grouped(value), order=value, tex=tex)


def speed_decimals(rows: Sequence[VariantRow]) -> int:
    """Decimals of a column of steps per second: three digits of its median."""
    known = [row.cost.steps_per_s for row in rows if row.cost.steps_per_s > 0]
    return max(0, 2 - math.floor(math.log10(median(known)))) if known else 0


def speed_cell(row: VariantRow, decimals: int) -> Cell:
    """Steps per second, and tokens."""
    speed = row.cost.steps_per_s
    if not math.isfinite(speed):
        return Cell(ABSENT, order=math.nan)
    detail = f"{grouped(row.cost.tokens_per_s)} tokens/s"
    return Cell(speed_text(speed, decimals), order=speed, detail=detail)


def speed_text(steps_per_s: float, decimals: int) -> str:
    """Steps per second with so many decimals, and spaces between thousands."""
    return f"{steps_per_s:.{decimals}f}" if decimals else grouped(steps_per_s)
