"""Tables and the document in LaTeX: booktabs, siunitx, and every name escaped."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import jinja2

from reports.exhibits import Cell, Column, Exhibits, Table
from reports.overview import Overview
from reports.tex import escape

TEMPLATES = Path(__file__).parent / "templates"
ROWS_PER_PAGE = 45
"""A longer table becomes a longtable, which breaks over pages."""


def table_tex(table: Table) -> str:
    """A table environment with caption and label, complete in itself."""
    long = len(table.rows) > ROWS_PER_PAGE
    return (
        _environment()
        .get_template("table.tex.j2")
        .render(
            table=table,
            long=long,
            preamble=" ".join(column.tex for column in table.columns),
            head=" & ".join(_heading(column) for column in table.columns),
            rows=[
                (row.gap, " & ".join(map(_cell, row.cells, table.columns))) for row in table.rows
            ],
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


def document_tex(overview: Overview, sections: Sequence[tuple[str, Exhibits]]) -> str:
    """The standalone report: it reads `tables/*.tex` and `figures/*.pdf` beside it.

    Args:
        overview: the head.
        sections: title and exhibits of each section.
    """
    return _environment().get_template("report.tex.j2").render(overview=overview, sections=sections)


def _environment() -> jinja2.Environment:
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
    environment.filters["tex"] = escape
    return environment
