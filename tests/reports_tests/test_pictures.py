import io
import shutil
import subprocess
from functools import partial
from pathlib import Path

import pandas as pd
import pytest
from matplotlib.figure import Figure as Drawing
from PIL import Image

import reports.writers.pictures
from reports.exhibits import Figure
from reports.figures.drawing import DPI, PAPER, Theme, draw_pgf, plain
from reports.figures.venues import VENUES, Venue
from reports.writers.pictures import draw_all, has_tex, known_formats
from studies.errors import AblationError
from tests.tex import run_tex

HOSTILE = "50% of a_b & c #1 {x} \\y ~ $z^2$ β₁ · no\xa0norm ±"


def draw(theme: Theme, title: str) -> Drawing:
    figure = Drawing(figsize=(theme.width_in, 2), layout="constrained")
    ax = figure.subplots()
    ax.plot([0.001, 1], [-1, 1], label=plain(title))
    ax.set_xscale("log")
    ax.imshow([[0.0, 1.0]], extent=(0.01, 0.1, 0, 1), aspect="auto")
    ax.set_title(plain(title))
    ax.set_yticks([0], [plain(title)])
    ax.legend()
    return figure


def figure(name: str, *, wide: bool = True) -> Figure:
    return Figure(name, "", pd.DataFrame(), partial(draw, title=HOSTILE), wide=wide)


@pytest.mark.parametrize("name", VENUES)
def test_figures_have_the_widths_of_the_venue(name: str) -> None:
    venue = VENUES[name]
    for wide in (True, False):
        formats = ("pdf", "svg", "png")
        (picture,) = draw_all([figure("f", wide=wide)], venue, formats, workers=1)
        svg = picture.files["figures/f.svg"].decode()
        width_pt = 72 * (venue.text_width_in if wide else venue.column_width_in)
        assert f'width="{width_pt:g}pt"' in svg
        with Image.open(io.BytesIO(picture.files["figures/f.png"])) as png:
            assert png.width == pytest.approx(width_pt / 72 * DPI, abs=1)
        assert b"/FontFile2" in picture.files["figures/f.pdf"]  # TrueType, embedded


def test_processes_draw_the_same_in_the_same_order() -> None:
    figures = [figure(f"f{i}", wide=bool(i % 2)) for i in range(6)]
    drawn = [
        list(draw_all(figures, VENUES["icml"], ("pdf", "svg", "png"), workers))
        for workers in (1, 2)
    ]
    assert drawn[0] == drawn[1]
    assert len(drawn[0]) == 6


def test_pgf_compiles_in_a_paper_whatever_the_names_are(tmp_path: Path) -> None:
    if not has_tex():
        pytest.skip("pdflatex or pgf is not installed")
    (picture,) = draw_all([figure("f")], Venue(5.5, 5.5), ("pdf", "pgf"), workers=1)
    (again,) = draw_all([figure("f")], Venue(5.5, 5.5), ("pdf", "pgf"), workers=1)
    assert picture == again
    assert "figures/pgf/f-img0.png" in picture.files
    for name, content in picture.files.items():
        (tmp_path / Path(name).name).write_bytes(content)
    (tmp_path / "paper.tex").write_text(
        "\\documentclass{article}\\usepackage[T1]{fontenc}\\usepackage{mathptmx,textcomp,pgf}\n"
        "\\begin{document}\\input{f.pgf}\\end{document}\n"
    )
    done = run_tex(tmp_path, "paper")
    assert done.returncode == 0, done.stdout[-2000:]
    if shutil.which("pdftotext"):
        text = subprocess.run(
            ["pdftotext", "paper.pdf", "-"],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        assert "50% of a_b & c #1 {x} \\y" in text.replace("∖", "\\")


def test_lines_of_a_title_stay_lines_in_pgf() -> None:
    if not has_tex():
        pytest.skip("pdflatex or pgf is not installed")
    code = draw_pgf(partial(draw, title="of_one\nof_two"), PAPER, "f")["f.pgf"].decode()
    assert "of\\_one" in code
    assert "of\\_two" in code
    assert "of\\_one of\\_two" not in code


def test_formats_are_all_that_the_machine_can_make(monkeypatch: pytest.MonkeyPatch) -> None:
    assert known_formats(("png",)) == ("pdf", "png")
    with pytest.raises(AblationError, match=r"unknown figure format 'jpg'; known: pdf, svg"):
        known_formats(("jpg",))
    with pytest.raises(AblationError, match="no figure format is asked for"):
        known_formats(())
    monkeypatch.setattr(reports.writers.pictures, "has_tex", lambda: False)
    assert known_formats(None) == ("pdf", "svg", "png")
    with pytest.raises(AblationError, match="leave pgf out"):
        known_formats(("pgf",))
