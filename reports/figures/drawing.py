"""What all figures share: themes, grids of axes, marks, and files without dates."""

from __future__ import annotations

import io
import re
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_pdf import FigureCanvasPdf
from matplotlib.backends.backend_pgf import FigureCanvasPgf
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

from reports.figures.style import INK
from reports.tex import escape
from reports.words import EDGE_MARK

MUTED = "#808080"
MARK_COLOR = "#d62839"
"""Colour of divergence marks, the same in every figure; the cross tells it without colour."""
LETTER = 0.56
"""Width of a letter over the size of its font, about."""
DPI = 200
"""Of PNG files, and of images within other files."""
CANVASES: dict[str, Callable[[Figure], Any]] = {
    "pdf": FigureCanvasPdf, "svg": FigureCanvasSVG, "png": FigureCanvasAgg,
}  # fmt: skip
NO_DATES: dict[str, dict[str, Any]] = {
    "pdf": {"CreationDate": None, "ModDate": None},
    "svg": {"Date": None},
}

PGF_PREAMBLE = r"\usepackage[utf8]{inputenc}\usepackage[T1]{fontenc}\usepackage{mathptmx,textcomp}"
"""What text of PGF figures is measured in; a document sets it in its own font."""
_WRITES_LATEX = ContextVar("writes_latex", default=False)


@dataclass(frozen=True)
class Theme:
    """Size and type of a figure for one medium."""

    name: str
    width_in: float
    font_size_pt: float
    font_family: str
    line_pt: float


PAPER = Theme("paper", 5.5, 7.5, "STIXGeneral", 1.1)
"""At the text width of NeurIPS; venues have widths of their own."""
PAGE = Theme("page", 10.6, 9.5, "DejaVu Sans", 1.6)


@contextmanager
def themed(theme: Theme) -> Iterator[None]:
    """Settings of a theme, undone afterwards."""
    size = theme.font_size_pt
    settings: dict[str, Any] = {
        **sns.axes_style("ticks"),
        "font.family": [theme.font_family, "DejaVu Sans"],  # for characters that the first lacks
        "mathtext.fontset": "stix",
        "font.size": size,
        "axes.titlesize": size,
        "axes.labelsize": size,
        "xtick.labelsize": size * 0.9,
        "ytick.labelsize": size * 0.9,
        "legend.fontsize": size * 0.95,
        "axes.linewidth": 0.6,
        "axes.titlepad": 4.0,
        "xtick.major.width": 0.6,
        "ytick.major.width": 0.6,
        "xtick.major.size": 3.0,
        "ytick.major.size": 3.0,
        "xtick.minor.size": 0.0,
        "ytick.minor.size": 0.0,
        "hatch.linewidth": 0.5,
        "pdf.fonttype": 42,  # text stays text in the PDF
        "svg.fonttype": "none",
        "svg.hashsalt": "report",
        "figure.facecolor": "none",
        "axes.facecolor": "none",
        "axes.unicode_minus": True,
    }
    inks = ("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color")
    settings |= dict.fromkeys(inks, INK)
    with mpl.rc_context(settings):  # type: ignore[arg-type]  # keys are literals in the stubs
        yield


def draw_files(
    draw: Callable[[Theme], Figure], theme: Theme, formats: Iterable[str]
) -> dict[str, bytes]:
    """A figure in several formats, without dates: the same figure gives the same bytes."""
    files = {}
    with themed(theme):  # ticks are made while saving, so that is part of it
        figure = draw(theme)
        figure.set_dpi(DPI)
        _settle(figure)
        for file_format in formats:
            buffer = io.BytesIO()
            figure.set_facecolor("none" if file_format == "svg" else "white")
            figure.set_dpi(DPI)  # writers of vector formats leave another one
            # `savefig` would draw a second time, for a layout that is there already.
            write = getattr(CANVASES[file_format](figure), f"print_{file_format}")
            write(buffer, metadata=NO_DATES.get(file_format))
            files[file_format] = buffer.getvalue()
    return files


def draw_pgf(draw: Callable[[Theme], Figure], theme: Theme, name: str) -> dict[str, bytes]:
    """A figure as TeX code, which takes the font of its document, and the images that it includes.

    Args:
        draw: makes the figure.
        theme: size and lines.
        name: of the figure; files are `name.pgf` and `name-img0.png`, ...
    """
    token = _WRITES_LATEX.set(True)
    latex = {"pgf.texsystem": "pdflatex", "pgf.rcfonts": False, "pgf.preamble": PGF_PREAMBLE}
    try:
        with themed(theme), mpl.rc_context(latex), tempfile.TemporaryDirectory() as folder:  # type: ignore[arg-type]
            figure = draw(theme)
            FigureCanvasPgf(figure)  # text is measured as LaTeX sets it
            _settle(figure)
            code = Path(folder) / f"{name}.pgf"
            figure.savefig(code, dpi=DPI, facecolor="none")
            code.write_bytes(rb"\providecommand{\mathdefault}[1]{#1}%" + b"\n" + code.read_bytes())
            return {path.name: path.read_bytes() for path in sorted(Path(folder).iterdir())}
    finally:
        _WRITES_LATEX.reset(token)


def _settle(figure: Figure) -> None:
    """Lay a figure out once for all formats, on positions that are the same every time.

    The solver of the layout leaves other last digits at each call, and names of clip paths are made
    of all digits.
    """
    engine = figure.get_layout_engine()
    assert engine is not None
    engine.execute(figure)
    figure.set_layout_engine("none")
    for ax in figure.axes:
        left, bottom, width, height = (round(x, 5) for x in ax.get_position(original=True).bounds)
        ax.set_position((left, bottom, width, height))


def inline_svg(draw: Callable[[Theme], Figure], prefix: str) -> str:
    """A figure as an element of a page: text in the page's font and colour, ids of its own."""
    svg = draw_files(draw, PAGE, ["svg"])["svg"].decode()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r' id="image[0-9a-f]+"', "", svg)  # equal images have equal ids; nothing uses them
    svg = re.sub(r'(id="|href="#|url\(#)', rf"\g<1>{prefix}-", svg)
    svg = re.sub(r'<svg ([^>]*?)width="[^"]*"', r"<svg \1", svg, count=1)
    svg = re.sub(r'<svg ([^>]*?)height="[^"]*"', r"<svg \1", svg, count=1)
    return svg.replace(INK, "currentColor")


def hide_unused(axes: list[list[Axes]], used: int) -> None:
    """Take away the axes after the last used one; the ones above show their ticks."""
    columns = len(axes[0])
    flat = [ax for row in axes for ax in row]
    for position, ax in enumerate(flat[used:], used):
        ax.set_axis_off()
        if position >= columns:
            flat[position - columns].tick_params(labelbottom=True)


def seed_lines(ax: Axes, curves: Sequence[npt.NDArray[np.float64]], **style: Any) -> None:
    """Thin lines, one per run. Each curve is (points, 2): x, y."""
    ax.add_collection(LineCollection(list(curves), **style))


def run_marks(
    ax: Axes, x: Sequence[float], y: Sequence[float], color: str, theme: Theme, *,
    marker: str = "o", size: float = 0.42,
) -> None:  # fmt: skip
    """A small mark per run, with a rim that stands out from light and dark paper and from bands.

    Args:
        ax: drawn into.
        x: positions.
        y: positions.
        color: of the variant.
        theme: size.
        marker: shape.
        size: diameter over the size of the font.
    """
    ax.plot(
        x, y, linestyle="none", marker=marker, markersize=theme.font_size_pt * size,
        color=color, markeredgecolor=INK, markeredgewidth=theme.line_pt * 0.3, zorder=3,
    )  # fmt: skip


def edge_mark(ax: Axes, x: float, y: float, theme: Theme) -> None:
    """The mark of a choice at an edge, at the upper right of the mark of a variant."""
    ax.annotate(
        EDGE_MARK, (x, y), (theme.font_size_pt * 0.28, 0), textcoords="offset points",
        fontsize=theme.font_size_pt * 1.1, zorder=5,
    )  # fmt: skip


def divergence_marks(ax: Axes, x: Sequence[float], y: Sequence[float], theme: Theme) -> None:
    """Crosses where runs diverged, drawn over the edge of the axes too."""
    (crosses,) = ax.plot(
        x, y, linestyle="none", marker="x", markersize=theme.font_size_pt * 0.55,
        markeredgewidth=theme.line_pt,
        color=MARK_COLOR, clip_on=False, zorder=5,
    )  # fmt: skip
    crosses.set_in_layout(False)


def plain(text: str) -> str:
    """Text that is drawn as it is: a dollar sign starts no formula."""
    if not _WRITES_LATEX.get():
        return text.replace("$", r"\$")
    return "\n".join(map(escape, text.split("\n")))
