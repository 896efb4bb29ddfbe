"""Tables and the document in LaTeX: booktabs, siunitx, and every name escaped."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

import jinja2

from reports.exhibits import Cell, Column, Exhibits, Figure, Table
from reports.figures.venues import Venue
from reports.overview import Overview
from reports.references import as_tex, bibliography, keys_of
from reports.tex import escape

TEMPLATES = Path(__file__).parent / "templates"
ROWS_PER_PAGE = 45
"""A longer table becomes a longtable, which breaks over pages."""
ROWS_PER_LANDSCAPE = 32
"""The same for a table on a page that is turned."""


def is_wide(table: Table) -> bool:
    """Whether the table has columns that are not for the width of a paper's text."""
    return not all(column.paper for column in table.columns)


def table_tex(table: Table, *, wide: bool = False, two_columns: bool = False) -> str:
    """A table environment with caption and label, complete in itself.

    Args:
        table: what it says.
        wide: with all columns, on pages turned by 90 degrees; else with those for a paper.
        two_columns: whether it goes over the two columns of a paper.
    """
    chosen = [i for i, column in enumerate(table.columns) if column.paper or wide]
    columns = [table.columns[i] for i in chosen]
    rows = [[row.cells[i] for i in chosen] for row in table.rows]
    caption = table.caption if wide else table.paper_caption or table.caption
    return (
        _environment()
        .get_template("table.tex.j2")
        .render(
            caption=caption,
            cites=bool(keys_of([caption])),
            label=table.name + "-wide" * wide,
            wide=wide,
            long=table.tall or len(table.rows) > (ROWS_PER_LANDSCAPE if wide else ROWS_PER_PAGE),
            star="*" * two_columns,
            preamble=" ".join(column.tex for column in columns),
            head=" & ".join(map(_heading, columns)),
            rows=[
                (row.gap, " & ".join(map(_cell, cells, columns)))
                for row, cells in zip(table.rows, rows, strict=True)
            ],
        )
    )


def figure_tex(figure: Figure, venue: Venue) -> str:
    """A figure environment with its PDF, caption and label, over one column or two."""
    return (
        _environment()
        .get_template("figure.tex.j2")
        .render(
            figure=figure,
            cites=bool(keys_of([figure.caption])),
            star="*" * (figure.wide and venue.has_two_columns),
            width_in=venue.width_in(wide=figure.wide),
        )
    )


def _heading(column: Column) -> str:
    text = escape(column.heading)
    return f"{{{text}}}" if column.tex.startswith("S") else text


def _cell(cell: Cell, column: Column) -> str:
    text = cell.tex if cell.tex is not None else escape(cell.text)
    if column.tex.startswith("S") and cell.tex is None:
        text = f"{{{text}}}"  # words in a column of numbers
    return rf"\bfseries {text}" if cell.strong else text


def document_tex(overview: Overview, sections: Sequence[tuple[str, Exhibits]], venue: Venue) -> str:
    """The standalone report: it reads `tables/*.tex` and `figures/*.tex` beside it.

    Args:
        overview: the head.
        sections: title and exhibits of each section.
        venue: whose text width it has.
    """
    shown = [(title, _for_paper(exhibits)) for title, exhibits in sections]
    return (
        _environment()
        .get_template("report.tex.j2")
        .render(
            overview=overview,
            sections=[(title, e) for title, e in shown if e.sentences or e.tables or e.figures],
            entries=bibliography(),
            venue=venue,
            wide=[table.name for _, e in shown for table in e.tables if is_wide(table)],
        )
    )


def _for_paper(exhibits: Exhibits) -> Exhibits:
    return replace(exhibits, tables=tuple(table for table in exhibits.tables if table.paper))


@cache
def _environment() -> jinja2.Environment:
    """One for all tables: it keeps its templates compiled."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        block_start_string="<%",
        block_end_string="%>",
        variable_start_string="<<",
        variable_end_string=">>",
        comment_start_string="<#",
        comment_end_string="#>",
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        undefined=jinja2.StrictUndefined,
        autoescape=False,
    )
    environment.filters |= {"tex": escape, "cited": as_tex}
    return environment
