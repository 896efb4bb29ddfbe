"""Tables in Markdown, for READMEs, issues and notebooks."""

from __future__ import annotations

from reports.exhibits import Cell, Column, Table
from reports.references import as_text

SPECIAL = str.maketrans({c: f"\\{c}" for c in "\\`*_{}[]<>#|~$"} | {"\n": " "})


def table_md(table: Table) -> str:
    """A table as GitHub reads it, with all columns; the caption stands below.

    Source: GitHub Flavored Markdown, section 4.10.
    """
    lines = [
        _line([escape(column.heading) for column in table.columns]),
        _line([_rule(column) for column in table.columns]),
        *(_line([_cell(cell) for cell in row.cells]) for row in table.rows),
        "",
        escape(as_text(table.caption)),
    ]
    return "\n".join(lines) + "\n"


def escape(text: str) -> str:
    """Plain text in which no character means anything to Markdown."""
    return text.translate(SPECIAL)


def _line(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _rule(column: Column) -> str:
    return "---:" if column.numeric else "---"


def _cell(cell: Cell) -> str:
    text = f"**{escape(cell.text)}**" if cell.strong and cell.text else escape(cell.text)
    return f"{text}<br>{escape(cell.detail)}" if cell.detail else text
