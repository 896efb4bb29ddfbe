"""What a section shows: tables and figures as data, before anything is written or drawn."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pandas as pd

from studies.records import Outcome

if TYPE_CHECKING:  # drawing is imported by the sections that draw
    from matplotlib.figure import Figure as Drawing

    from reports.figures.drawing import Theme


RUNS = "runs"
"""Name of the table of all runs, to which a page leads from each row and figure."""


@dataclass(frozen=True)
class Column:
    """A column of a table as it is read; `Table.data` has the numbers."""

    heading: str
    help: str = ""
    """What the column is, shown on a page when the heading is pointed at."""
    numeric: bool = False
    tex: str = "l"
    """Column type in LaTeX; one that starts with S takes bare numbers."""
    paper: bool = True
    """Whether it stands in the LaTeX table of text width; the wide one has all columns."""


@dataclass(frozen=True)
class IntervalBar:
    """A small picture of an interval, in a column that shares one scale."""

    low: float
    middle: float
    high: float


@dataclass(frozen=True)
class Cell:
    """One entry of a table. `text` is plain; each writer escapes it."""

    text: str
    order: float | str | None = None
    """What the column sorts by; None is the text itself, NaN goes last."""
    tex: str | None = None
    """LaTeX in place of the escaped text."""
    strong: bool = False
    detail: str = ""
    """Second line on a page."""
    swatch: str = ""
    """Colour of the variant, on a page."""
    marks: tuple[Outcome, ...] = ()
    """One outcome per seed, on a page."""
    bar: IntervalBar | None = None
    run: str = ""
    """The run that it names, by its key; a page links it to the run in MLflow."""
    link: str = ""
    """Address that a page leads to from here."""


@dataclass(frozen=True)
class Row:
    """A row of a table."""

    cells: tuple[Cell, ...]
    gap: bool = False
    """Whether space stands above the row."""
    runs: tuple[str, ...] = ()
    """Run keys that its numbers come from."""
    outcome: Outcome | None = None
    """How the run ended, in a row that is of one run."""


@dataclass(frozen=True)
class Table:
    """A table, for LaTeX, for a page, and as numbers for CSV."""

    name: str
    caption: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    """Those of `data`, in its order; then any that stand below it."""
    data: pd.DataFrame
    bar_limit: float = 0.0
    """Half-width of the scale of `Cell.bar`."""
    paper: bool = True
    """Whether it is also written in LaTeX; the page and the CSV have it in any case."""
    paper_caption: str = ""
    """What the LaTeX table of text width says instead, for it has fewer columns to explain."""
    tall: bool = False
    """Whether rows have several lines, so that the LaTeX table has to break over pages."""
    named_by: int = 1
    """How many of the first columns of `data` name a row."""
    behind: str = ""
    """Whose the runs of a row are, where they are not only those of what the row is named by."""


@dataclass(frozen=True)
class Figure:
    """A figure: its data, and how it is drawn in a theme."""

    name: str
    caption: str
    data: pd.DataFrame
    draw: Callable[[Theme], Drawing]
    runs: tuple[str, ...] = ()
    """Run keys that it is drawn from."""
    wide: bool = True
    """Whether it takes the text width of a paper of two columns, and not one of them."""


@dataclass(frozen=True)
class Document:
    """A text file of its own beside the report."""

    name: str
    """File name, with its ending."""
    text: str


@dataclass(frozen=True)
class Exhibits:
    """What a section found: sentences, tables and figures.

    Sentences and captions may cite (`reports.references`); nothing else does.
    """

    sentences: tuple[str, ...] = ()
    tables: tuple[Table, ...] = ()
    figures: tuple[Figure, ...] = ()
    documents: tuple[Document, ...] = ()
    references: tuple[str, ...] = ()
    """Keys of the papers that are listed below it."""
    methods: tuple[str, ...] = ()
    """Names in `studies.methods.STATISTICS` of what its numbers were made by."""
