"""Figures as files, for a paper and for the page, drawn side by side on several processors."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import forkserver, get_all_start_methods, get_context
from multiprocessing.context import BaseContext
from typing import NamedTuple

from matplotlib.figure import Figure as Drawing

from reports.exhibits import Figure
from reports.figures.drawing import PAPER, Theme, draw_files, draw_pgf, inline_svg
from reports.figures.venues import Venue
from studies.errors import AblationError

FORMATS = ("pdf", "svg", "png", "pgf")
"""What a figure can be written as; `pgf` needs a TeX."""
FEWEST_FOR_PROCESSES = 6
"""With fewer figures, one process is done before others have started."""
DRAWING = "reports.sections.contents"
"""What imports all that figures are drawn with."""


class Pictures(NamedTuple):
    """A figure as it is written."""

    files: dict[str, bytes]
    """By path below the report."""
    inline: str
    """SVG element of the page."""


def known_formats(asked: Sequence[str] | None) -> tuple[str, ...]:
    """The formats to write: those asked for, else all that this machine can make.

    Raises:
        AblationError: one is unknown, or needs a TeX that is not there.
    """
    if asked is None:
        return FORMATS if has_tex() else tuple(name for name in FORMATS if name != "pgf")
    if not asked:
        raise AblationError(f"no figure format is asked for; known: {', '.join(FORMATS)}")
    for name in asked:
        if name not in FORMATS:
            raise AblationError(f"unknown figure format {name!r}; known: {', '.join(FORMATS)}")
    if "pgf" in asked and not has_tex():
        raise AblationError(
            "figures in PGF are measured by pdflatex with the package pgf, which is not installed "
            "here. Install it (Debian: texlive-pictures), or leave pgf out."
        )
    return tuple(dict.fromkeys(("pdf", *asked)))


def has_tex() -> bool:
    """Whether text can be measured for PGF."""
    if shutil.which("pdflatex") is None or shutil.which("kpsewhich") is None:
        return False
    found = subprocess.run(["kpsewhich", "pgf.sty"], capture_output=True, check=False)
    return found.returncode == 0


def prepare_processes(workers: int) -> None:
    """Begin to import what drawing needs, in a process that those that draw are forked from.

    It goes on while numbers are collected, once for all of them. Nothing is done with one worker,
    nor where a system cannot fork.
    """
    if workers > 1 and "forkserver" in get_all_start_methods():
        forkserver.set_forkserver_preload([DRAWING])
        forkserver.ensure_running()


def _processes() -> BaseContext:
    return get_context("forkserver" if "forkserver" in get_all_start_methods() else "spawn")


def draw_all(
    figures: Sequence[Figure], venue: Venue, formats: Sequence[str], workers: int
) -> Iterator[Pictures]:
    """Every figure in all formats, in order.

    Args:
        figures: what to draw.
        venue: gives the widths.
        formats: of the files.
        workers: processes that draw.
    """
    jobs = [
        (
            figure.name,
            figure.draw,
            replace(PAPER, width_in=venue.width_in(wide=figure.wide)),
            formats,
        )
        for figure in figures
    ]
    if workers == 1 or len(jobs) < FEWEST_FOR_PROCESSES:
        yield from map(_draw, jobs)
        return
    with ProcessPoolExecutor(workers, mp_context=_processes()) as pool:
        yield from pool.map(_draw, jobs)


def _draw(job: tuple[str, Callable[[Theme], Drawing], Theme, Sequence[str]]) -> Pictures:
    name, draw, theme, formats = job
    plain = [file_format for file_format in formats if file_format != "pgf"]
    files = {
        f"figures/{name}.{file_format}": content
        for file_format, content in draw_files(draw, theme, plain).items()
    }
    if "pgf" in formats:
        files |= {f"figures/pgf/{k}": v for k, v in draw_pgf(draw, theme, name).items()}
    return Pictures(files, inline_svg(draw, name))
