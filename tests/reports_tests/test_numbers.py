import shutil
import subprocess
from pathlib import Path

import pandas as pd
import pytest

from reports.exhibits import Column, Table
from reports.writers.numbers import named_numbers, numbers_tex, row_names
from tests.tex import run_tex


def table(**columns: list[object]) -> Table:
    return Table("main", "", (Column("x"),), (), pd.DataFrame(columns))


ROWS = table(
    variant=["gelu-layer-pre", "a_b 5%", "a_b 5%"],
    loss=[1.23456, float("nan"), -0.5],
    n=[5, 4, 3],
    holm_p=[0.00001, 0.25, 0.012345],
    rate=[0.0003, 1e-05, 0.00012345],
    bold=[True, False, False],
    words=["50% & more", "", "x_y"],
)


def test_rows_of_one_name_are_told_apart() -> None:
    assert row_names(ROWS) == ["gelu-layer-pre", "a_b 5-", "a_b 5--2"]
    taken = table(name=["a", "a-2", "a"])
    assert len(set(row_names(taken))) == 3


def test_entries_have_names_and_unknown_ones_have_none() -> None:
    found = {entry.name: entry.tex for entry in named_numbers("my-study", ROWS)}
    assert found["my-study/main/gelu-layer-pre/loss"] == "1.23456"
    assert found["my-study/main/gelu-layer-pre/rate"] == r"\num{0.0003}"
    assert found["my-study/main/gelu-layer-pre/n"] == r"\num{5}"
    assert found["my-study/main/gelu-layer-pre/holm_p"] == r"\num{<0.001}"
    assert found["my-study/main/gelu-layer-pre/words"] == r"50\% \& more"
    assert found["my-study/main/gelu-layer-pre/bold"] == "yes"
    assert "my-study/main/a_b 5-/loss" not in found


def set_text(folder: Path, body: str) -> subprocess.CompletedProcess[str]:
    folder.joinpath("numbers.tex").write_text(numbers_tex("my-study", [ROWS]))
    folder.joinpath("paper.tex").write_text(
        "\\documentclass{article}\\usepackage{siunitx}\\input{numbers}\n"
        f"\\begin{{document}}\n{body}\n\\end{{document}}\n"
    )
    return run_tex(folder, "paper")


def test_a_paper_cites_numbers_by_name(tmp_path: Path) -> None:
    if shutil.which("pdftotext") is None:
        pytest.skip("pdftotext is not installed")
    names = ("loss", "n", "holm_p", "words", "rate")
    cited = "; ".join(rf"\ablnum{{my-study/main/gelu-layer-pre/{name}}}" for name in names)
    body = cited + r"; \ablnum[1]{my-study/main/a_b 5--2/loss}"
    body += r"; \ablnum{my-study/main/a_b 5--2/rate}"
    body += r"; \ablp{my-study/main/gelu-layer-pre/holm_p}; $(\ablp{my-study/main/a_b 5-/holm_p})$"
    body += r"; \ablp{my-study/main/a_b 5--2/holm_p}"
    body += r" \section{A loss of \ablnum[2]{my-study/main/gelu-layer-pre/loss}"
    body += r" (\ablp{my-study/main/gelu-layer-pre/holm_p})}"
    done = set_text(tmp_path, body)
    assert done.returncode == 0, done.stdout[-2000:]
    text = subprocess.run(
        ["pdftotext", "-layout", "paper.pdf", "-"],
        cwd=tmp_path, capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    shown = " ".join(text.split()).replace("−", "-").replace(" ", "")
    assert "1.235;5;<0.001;50%&more;0.0003;-0.5;0.00012" in shown
    assert "p<0.001;(p=0.25);p=0.012" in shown
    assert "Alossof1.23(p<0.001)" in shown


def test_a_number_that_no_report_has_stops_the_compiler(tmp_path: Path) -> None:
    done = set_text(tmp_path, r"\ablnum{my-study/main/gelu-layer-pre/losss}")
    assert done.returncode != 0
    assert "There is no number my-study/main/gelu-layer-pre/losss" in done.stdout


@pytest.mark.parametrize("column", ["holm_pp", "loss"])
def test_what_is_no_p_stops_the_compiler_as_a_p(tmp_path: Path, column: str) -> None:
    done = set_text(tmp_path, rf"\ablp{{my-study/main/gelu-layer-pre/{column}}}")
    assert done.returncode != 0
    assert f"There is no p my-study/main/gelu-layer-pre/{column}" in done.stdout
