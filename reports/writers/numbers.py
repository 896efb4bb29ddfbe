r"""Every number of the tables by its name, for the text of a paper.

A paper that says `\ablnum{STUDY/main/gelu-layer-pre/final_loss_mean}` follows the runs: a new
report changes the number, and a name that no report has is an error of the compiler.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import pandas as pd

from reports.exhibits import Table
from reports.tex import escape
from reports.words import LEAST_P

HEAD = r"""% Numbers of the study for the text of a paper; needs \usepackage{siunitx}.
%   \input{numbers}
%   \ablnum{NAME}     a number, rounded to 3 decimals; words and whole numbers as they are
%   \ablnum[2]{NAME}  the same, rounded to 2 decimals
% Names are STUDY/TABLE/ROW/COLUMN, as in tables/TABLE.csv; all of them are listed below.
\makeatletter
\providecommand{\ablnum}[2][3]{%
  \ifcsname ablation@number@#2\endcsname
    \expandafter\ablation@round\expandafter{\expanded{\csname ablation@number@#2\endcsname}}{#1}%
  \else\ifcsname ablation@text@#2\endcsname
    \csname ablation@text@#2\endcsname
  \else
    \PackageError{numbers}{There is no number #2}{Names are listed in numbers.tex}%
  \fi\fi}
\providecommand{\ablation@round}[2]{\num[round-mode=places,round-precision=#2]{#1}}
\providecommand{\ablation@number}[2]{\expandafter\def\csname ablation@number@#1\endcsname{#2}}
\providecommand{\ablation@text}[2]{\expandafter\def\csname ablation@text@#1\endcsname{#2}}"""


class Named(NamedTuple):
    """One entry of a table under its name."""

    name: str
    tex: str
    is_rounded: bool
    """Whether it is a number that is rounded where it is used; else it stands as it is."""


def numbers_tex(study: str, tables: Iterable[Table]) -> str:
    """The macros file: one line per entry of each table, and the command that sets them."""
    lines = [
        rf"\ablation@{'number' if entry.is_rounded else 'text'}{{{entry.name}}}{{{entry.tex}}}"
        for table in tables
        for entry in named_numbers(study, table)
    ]
    return "\n".join((HEAD, *lines, r"\makeatother")) + "\n"


def named_numbers(study: str, table: Table) -> Iterator[Named]:
    """All entries of a table that are known, row by row."""
    for row, entries in zip(row_names(table), table.data.to_dict("records"), strict=True):
        for column, value in entries.items():
            if not pd.isna(value):
                yield _named(f"{study}/{table.name}/{row}/{column}", str(column), value)


def _named(name: str, column: str, value: object) -> Named:
    if isinstance(value, bool):
        return Named(name, "yes" if value else "no", is_rounded=False)
    if not isinstance(value, int | float) or math.isinf(value):
        return Named(name, escape(str(value)), is_rounded=False)
    if (column == "p" or column.endswith("_p")) and value < LEAST_P:
        return Named(name, rf"\num{{<{LEAST_P}}}", is_rounded=False)
    if float(value).is_integer():
        return Named(name, rf"\num{{{value:.0f}}}", is_rounded=False)
    return Named(name, f"{value:.10g}", is_rounded=True)


def row_names(table: Table) -> list[str]:
    """What the first columns of the data say; where that repeats, with a number behind it."""
    names: dict[str, None] = {}
    for values in table.data.iloc[:, : table.named_by].to_numpy(dtype=object):
        first = _plain(" ".join(str(value) for value in values if not pd.isna(value)))
        name, turn = first, 1
        while name in names:
            turn += 1
            name = f"{first}-{turn}"
        names[name] = None
    return list(names)


def _plain(name: str) -> str:
    """A name without characters that mean something to LaTeX."""
    return "".join(c if c.isascii() and (c.isalnum() or c in "-_/.:+ ") else "-" for c in name)
