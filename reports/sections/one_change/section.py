"""One change at a time: what swapping one level of the baseline does, as papers print it."""

from __future__ import annotations

import pandas as pd

from reports.analysis.comparison import VariantRow
from reports.analysis.one_change import Change, OneChange, collect
from reports.exhibits import Cell, Column, Exhibits, Row, Table
from reports.sections.base import Section
from reports.sections.contrast_cells import bar_limit
from reports.sections.main_table.cells import BEHIND, marked_label
from reports.sections.main_table.columns import decimals_of_differences, result_entries
from reports.sections.main_table.numbers import variant_numbers
from reports.sections.one_change.words import caption, sentences
from reports.words import decimals_of

BASELINE = Change("", "baseline")


def render(data: OneChange) -> Exhibits:
    """The table, and what it says."""
    decimals = decimals_of(row.loss.sd for _, row in data.rows)
    listed = ((BASELINE, data.baseline), *data.rows)
    entries = result_entries(data.comparison, decimals)[1:]
    rows = []
    previous = BASELINE
    for change, row in listed:
        cells = (*_named(change, row), *(entry.cell(row) for entry in entries))
        rows.append(Row(cells, gap=change.key != previous.key, runs=row.runs))
        previous = change
    table = Table(
        name="one_change",
        caption=caption(data),
        columns=(
            Column("Factor", paper=False),
            Column("Change", "from the level of the baseline to another"),
            *(entry.column for entry in entries),
        ),
        rows=tuple(rows),
        data=pd.DataFrame(
            [
                {"variant": row.variant, "factor": change.factor, "change": change.text}
                | variant_numbers(row, decimals)
                for change, row in listed
            ]
        ),
        bar_limit=bar_limit([row.difference for _, row in data.rows if row.difference]),
        behind=BEHIND,
    )
    return Exhibits(
        sentences=sentences(data, decimals_of_differences(data.comparison, decimals)),
        tables=(table,),
    )


def _named(change: Change, row: VariantRow) -> tuple[Cell, Cell]:
    is_baseline = change is BASELINE
    marks = marked_label(row).removeprefix(row.label)
    text = row.label if is_baseline else change.text
    return (
        Cell("baseline" if is_baseline else change.factor),
        Cell(text + marks, swatch=row.color),
    )


SECTION = Section("One change at a time", collect, render, absent="", whole=True)
