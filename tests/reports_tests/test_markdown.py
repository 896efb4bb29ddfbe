import pandas as pd

from reports.analysis.comparison import compare
from reports.exhibits import Cell, Column, Row, Table
from reports.results.frame import StudyResults
from reports.sections.main_table.section import render
from reports.writers.markdown import table_md


def test_a_table_has_a_head_a_rule_and_its_caption() -> None:
    columns = (Column("Name"), Column("Loss", numeric=True, paper=False))
    rows = (
        Row((Cell("a_b|c", strong=True), Cell("1.5", detail="SD 0.1"))),
        Row((Cell("<b>"), Cell("–"))),
    )
    text = table_md(Table("t", "Of *all* runs.", columns, rows, pd.DataFrame()))
    assert text.splitlines() == [
        "| Name | Loss |",
        "| --- | ---: |",
        r"| **a\_b\|c** | 1.5<br>SD 0.1 |",
        r"| \<b\> | – |",
        "",
        r"Of \*all\* runs.",
    ]


def test_the_main_table_has_a_line_for_each_row(grid: StudyResults) -> None:
    table = render(compare(grid)).tables[0]
    lines = table_md(table).splitlines()
    assert len([line for line in lines if line.startswith("|")]) == len(table.rows) + 2
