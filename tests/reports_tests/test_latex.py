import re
from pathlib import Path

import pytest

from reports.analysis.comparison import compare
from reports.exhibits import Cell, Column, Figure, Row, Table
from reports.figures.venues import VENUES
from reports.references import mark
from reports.results.frame import StudyResults
from reports.sections.contents import SECTIONS
from reports.sections.hypotheses.section import SECTION as HYPOTHESES
from reports.sections.main_table.section import render
from reports.tex import escape
from reports.writers.latex import figure_tex, is_wide, table_tex
from tests.reports_tests.hypothesis_studies import below, many, results_of
from tests.tex import run_tex


def overfull(folder: Path, body: str, width_in: float) -> list[str]:
    """Where what is set is a point or more wider than the text."""
    packages = "natbib,booktabs,siunitx,longtable,pdflscape,graphicx,calc"
    (folder / "tables.tex").write_text(
        "\\documentclass{article}\\usepackage[utf8]{inputenc}\\usepackage[T1]{fontenc}\n"
        f"\\usepackage{{mathptmx,textcomp,{packages}}}\n"
        f"\\usepackage[textwidth={width_in}in]{{geometry}}\n"
        f"\\begin{{document}}\n{body}\n\\end{{document}}\n"
    )
    for _ in range(2):  # the second run knows the widths of longtables
        done = run_tex(folder, "tables")
    assert done.returncode == 0, done.stdout[-2000:]
    found = re.findall(r"Overfull \\hbox \(([\d.]+)pt too wide\).*", done.stdout)
    return [points for points in found if float(points) >= 1]


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


@pytest.mark.parametrize(
    ("venue", "wide", "environment", "width_in"),
    [
        ("neurips", True, "figure", 5.5),
        ("neurips", False, "figure", 5.5),
        ("icml", True, "figure*", 6.75),
        ("icml", False, "figure", 3.25),
    ],
)
def test_a_figure_is_over_one_column_or_two(
    venue: str, wide: bool, environment: str, width_in: float
) -> None:
    cited = f"50 % of a_b{mark('holm1979simple')}"
    figure = Figure("f", cited, None, None, wide=wide)  # type: ignore[arg-type]
    tex = figure_tex(figure, VENUES[venue])
    assert rf"\begin{{{environment}}}" in tex
    assert rf"\end{{{environment}}}" in tex
    assert f"[width={width_in}in," in tex
    assert "{figures/f.pdf}" in tex
    assert r"\caption{50 \% of a\_b~\citep{holm1979simple}}\label{fig:f}" in tex
    assert r"% needs: \usepackage{graphicx,natbib}" in tex


def test_a_long_table_breaks_over_pages() -> None:
    rows = tuple(Row((Cell(str(i)),)) for i in range(60))
    tex = table_tex(Table("t", "c", (Column("Name"),), rows, None))  # type: ignore[arg-type]
    assert r"\begin{longtable}" in tex
    assert r"\begin{table}" not in tex


def test_tables_are_no_wider_than_the_narrowest_text_of_a_venue(
    grid: StudyResults, tmp_path: Path
) -> None:
    width = min(venue.text_width_in for venue in VENUES.values())
    found = (section.exhibits(grid) for section in SECTIONS.values())
    tables = [table for exhibits in found if exhibits for table in exhibits.tables if table.paper]
    assert len(tables) > 6
    wide = [table_tex(table, wide=True) for table in tables if is_wide(table)]
    assert wide
    body = "\\clearpage\n".join([*map(table_tex, tables), *wide])
    assert not overfull(tmp_path, body, width)


CLAIMS = (
    "SwiGLU reaches a lower final loss than GELU at equal size, under LayerNorm & RMSNorm",
    "Under SwiGLU it does not matter whether RMSNorm or LayerNorm normalises a block",
    "GELU and ReLU are told apart by nothing that 5 seeds of this size can show (100% sure)",
)


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("width", [5.5, 2 * 3.25])
def test_hypotheses_of_long_claims_are_no_wider_than_the_text(
    tmp_path: Path, width: float, late: bool
) -> None:
    declared = {
        name: known | {"claim": claim}
        for (name, known), claim in zip(many(3).items(), CLAIMS, strict=True)
    }
    declared["h1"] |= {"direction": "equivalent", "margin": 0.05}
    registered = dict(list(declared.items())[: 2 if late else 3])
    results = results_of(tmp_path, declared, below(0.104), registered=registered)
    exhibits = HYPOTHESES.exhibits(results)
    assert exhibits is not None
    [table] = exhibits.tables
    tex = table_tex(table)
    assert ("Declared" in tex) is late
    assert ("All are confirmatory." in tex) is not late
    assert "All are confirmatory." not in table.caption
    body = "\n".join((tex, table_tex(table, wide=True), r"\usefont{T1}{cmr}{m}{n}", tex))
    assert not overfull(tmp_path, body, width)
