"""The main table: what each variant reached, how sure that is, and what it cost."""

from __future__ import annotations

import math

from reports.analysis.against_baseline import Reading
from reports.analysis.comparison import Comparison, compare
from reports.exhibits import Cell, Exhibits, Row, Table
from reports.sections.base import Section
from reports.sections.contrast_cells import bar_limit
from reports.sections.main_table.caption import caption
from reports.sections.main_table.cells import BEHIND
from reports.sections.main_table.columns import Entry, entries
from reports.sections.main_table.numbers import numbers
from reports.sections.main_table.words import sentences
from reports.words import decimals_of, number
from studies.records import Outcome


def render(data: Comparison) -> Exhibits:
    """The table, and the sentences that its numbers allow."""
    decimals = decimals_of(row.loss.sd for row in data.rows)
    shown = entries(data, decimals)
    rows = [
        Row(tuple(entry.cell(row) for entry in shown), gap=row.starts_group, runs=row.runs)
        for row in data.rows
    ]
    if math.isfinite(data.noise.half_width):
        rows.append(_noise_row(data, shown, decimals))
    table = Table(
        name="main",
        caption=caption(data),
        paper_caption=caption(data, paper=True),
        columns=tuple(entry.column for entry in shown),
        rows=tuple(rows),
        data=numbers(data, decimals),
        bar_limit=bar_limit([row.difference for row in data.rows if row.difference]),
        behind=BEHIND,
    )
    return Exhibits(sentences=sentences(data, decimals), tables=(table,), methods=_methods(data))


def _methods(data: Comparison) -> tuple[str, ...]:
    """What intervals, p values and verdicts were made by, those that are shown."""
    tests = [row.test for row in data.rows if row.test]
    shown = {
        "paired-t": any(test.difference.n > 1 for test in tests),
        "holm": any(math.isfinite(test.adjusted_p) for test in tests),
        "sign-flip": any(math.isfinite(test.flip_p) for test in tests),
        "tost": any(test.reading is Reading.EQUIVALENT for test in tests),
        "p-win": any(math.isfinite(test.win.estimate) for test in tests),
        "clopper-pearson": any(math.isfinite(test.win.estimate) for test in tests)
        or data.outcomes[Outcome.DIVERGED] > 0,
        "noise-floor": math.isfinite(data.noise.half_width),
    }
    return tuple(name for name, is_shown in shown.items() if is_shown)


def _noise_row(data: Comparison, shown: tuple[Entry, ...], decimals: int) -> Row:
    """What the differences above have to be held against."""
    half = number(data.noise.half_width, decimals)
    cells = {
        "Variant": Cell("noise floor", order=math.nan, detail="one variant, other seeds"),
        "Difference to baseline": Cell(
            f"±{half}",
            order=math.nan,
            tex=f"$\\pm{half}$",
            detail=f"of an SD of {data.noise.sd:.2g}",
        ),
    }
    empty = Cell("", order=math.nan)
    ranked = [key for row in data.rows if row.ranked for key in row.runs]
    return Row(
        tuple(cells.get(entry.column.heading, empty) for entry in shown),
        gap=True,
        runs=tuple(dict.fromkeys(ranked)),
    )


SECTION = Section("Final loss", compare, render, absent="", whole=True)
