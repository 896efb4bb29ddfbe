"""Tables and the document in LaTeX: booktabs, siunitx, and every name escaped."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import jinja2

from reports.exhibits import Cell, Column, Exhibits, Table
from reports.overview import Overview

TEMPLATES = Path(__file__).parent / "templates"
ROWS_PER_PAGE = 45
"""A longer table becomes a longtable, which breaks over pages."""

SPECIAL = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "%": r"\%",
    "#": r"\#",
    "_": r"\_",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\textquotedbl{}",
    "–": "--",
    "—": "---",
    "−": "$-$",
    "→": r"$\rightarrow$",
    "×": r"$\times$",
    "±": r"$\pm$",
    "·": r"$\cdot$",
    "²": r"\textsuperscript{2}",
    "₁": r"\textsubscript{1}",
    "₂": r"\textsubscript{2}",
    "β": r"$\beta$",
    "“": "``",
    "”": "''",
    "…": r"\ldots{}",
    "†": r"\textsuperscript{\dag}",
    "‡": r"\textsuperscript{\ddag}",
    "\u202f": r"\,",
}
"""Characters that LaTeX reads as commands or cannot set, and what sets them."""


def escape(text: str) -> str:
    """Plain text as LaTeX. A character that pdflatex may not know is shown by its code point."""
    return "".join(map(_escaped, text))


def _escaped(character: str) -> str:
    if character in SPECIAL:
        return SPECIAL[character]
    if character in "\n\r\t":
        return " "
    if " " <= character <= "~" or "¡" <= character <= "ſ":
        return character
    return f"[U+{ord(character):04X}]"


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
    shown = [(title, _for_paper(exhibits)) for title, exhibits in sections]
    return (
        _environment()
        .get_template("report.tex.j2")
        .render(
            overview=overview,
            sections=[(title, e) for title, e in shown if e.sentences or e.tables or e.figures],
        )
    )


def _for_paper(exhibits: Exhibits) -> Exhibits:
    return replace(exhibits, tables=tuple(table for table in exhibits.tables if table.paper))


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
