import pytest

from reports.analysis.comparison import compare
from reports.exhibits import Cell, Column, Row, Table
from reports.results.frame import StudyResults
from reports.sections.main_table import render
from reports.tex import escape
from reports.writers.latex import table_tex


@pytest.mark.parametrize(
    ("text", "tex"),
    [
        ("a_b & 5% #1 $x$ {y}", r"a\_b \& 5\% \#1 \$x\$ \{y\}"),
        ("\\input{x}", r"\textbackslash{}input\{x\}"),
        ("~^<|>", r"\textasciitilde{}\textasciicircum{}\textless{}\textbar{}\textgreater{}"),
        ("ReLU² – é", r"ReLU\textsuperscript{2} -- é"),
        ("中\x00", "[U+4E2D][U+0000]"),
        ("two\nlines", "two lines"),
    ],
)
def test_escape(text: str, tex: str) -> None:
    assert escape(text) == tex


def test_main_table_is_booktabs_and_siunitx(grid: StudyResults) -> None:
    tex = table_tex(render(compare(grid)).tables[0])
    assert r"\toprule" in tex
    assert "S[table-format=1." in tex
    assert r"\label{tab:main}" in tex
    assert tex.count(r"\\") == 29  # the head and 28 variants
    assert r"\textsuperscript{\dag}" in tex
    assert "{--}" in tex  # no mean, in a column of numbers


def test_bold_rows_and_words_in_number_columns() -> None:
    rows = (Row((Cell("a_b", strong=True), Cell("1.5", tex="1.5(2)"))), Row((Cell("c"), Cell("–"))))
    columns = (Column("Name"), Column("Loss", tex="S"))
    tex = table_tex(Table("t", "50 % of a_b", columns, rows, None))  # type: ignore[arg-type]
    assert r"\bfseries a\_b & 1.5(2) \\" in tex
    assert r"c & {--} \\" in tex
    assert r"\caption{50 \% of a\_b}" in tex


def test_the_table_of_a_paper_may_have_a_caption_of_its_own() -> None:
    columns = (Column("Name"), Column("Speed", paper=False))
    rows = (Row((Cell("a"), Cell("1"))),)
    table = Table("t", "with speed", columns, rows, None, paper_caption="short")  # type: ignore[arg-type]
    assert r"\caption{short}" in table_tex(table)
    assert r"\caption{with speed}" in table_tex(table, wide=True)
    alone = Table("t", "with speed", columns, rows, None)  # type: ignore[arg-type]
    assert r"\caption{with speed}" in table_tex(alone)


def test_a_long_table_breaks_over_pages() -> None:
    rows = tuple(Row((Cell(str(i)),)) for i in range(60))
    tex = table_tex(Table("t", "c", (Column("Name"),), rows, None))  # type: ignore[arg-type]
    assert r"\begin{longtable}" in tex
    assert r"\begin{table}" not in tex
