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

DECIMALS = 3
"""Of a number that is not small; of a small one, as many as show two of its digits."""
SHORT = 2
"""Digits up to which a number, such as a learning rate, is not rounded."""

HEAD = r"""% Numbers of the study for the text of a paper; needs \usepackage{siunitx}.
%   \input{numbers}
%   \ablnum{NAME}     the number with 3 decimals, more where it is small; words, whole numbers
%                     and short ones (0.0003) as they are
%   \ablnum[2]{NAME}  the number with 2 decimals
%   \ablp{NAME}       of a p: $p = 0.012$ or $p < 0.001$
% Names are STUDY/TABLE/ROW/COLUMN, as in tables/TABLE.csv; all of them are listed below.
\makeatletter
\providecommand{\ablnum}[2][]{%
  \ifcsname ablation@number@#2\endcsname
    \expanded{\noexpand\ablation@round\csname ablation@number@#2\endcsname{#1}}%
  \else\ifcsname ablation@text@#2\endcsname
    \csname ablation@text@#2\endcsname
  \else
    \PackageError{numbers}{There is no number #2}{Names are listed in numbers.tex}%
  \fi\fi}
\providecommand{\ablp}[1]{%
  \ifcsname ablation@p@#1\endcsname
    \ensuremath{p\csname ablation@p@#1\endcsname}%
  \else
    \PackageError{numbers}{There is no p #1}{Names are listed in numbers.tex}%
  \fi}
\providecommand{\ablation@round}[3]{%
  \if\relax\detokenize{#3}\relax
    \num[round-mode=places,round-precision=#2]{#1}%
  \else
    \num[round-mode=places,round-precision=#3]{#1}%
  \fi}
\providecommand{\ablation@number}[3]{\expandafter\def\csname ablation@number@#1\endcsname{{#2}{#3}}}
\providecommand{\ablation@text}[2]{\expandafter\def\csname ablation@text@#1\endcsname{#2}}
\providecommand{\ablation@p}[2]{\expandafter\def\csname ablation@p@#1\endcsname{#2}}"""


class Named(NamedTuple):
    """One entry of a table under its name."""

    name: str
    tex: str
    decimals: int | None = None
    """To which a number is rounded where nobody says otherwise; None for what stands as it is."""
    relation: str = ""
    """What follows the p in a formula; empty for what is no p."""


def numbers_tex(study: str, tables: Iterable[Table]) -> str:
    """The macros file: one line per entry of each table, and the command that sets them."""
    lines = [
        line for table in tables for entry in named_numbers(study, table) for line in _lines(entry)
    ]
    return "\n".join((HEAD, *lines, r"\makeatother")) + "\n"


def _lines(entry: Named) -> Iterator[str]:
    if entry.decimals is None:
        yield rf"\ablation@text{{{entry.name}}}{{{entry.tex}}}"
    else:
        yield rf"\ablation@number{{{entry.name}}}{{{entry.tex}}}{{{entry.decimals}}}"
    if entry.relation:
        yield rf"\ablation@p{{{entry.name}}}{{{entry.relation}}}"


def named_numbers(study: str, table: Table) -> Iterator[Named]:
    """All entries of a table that are known, row by row."""
    for row, entries in zip(row_names(table), table.data.to_dict("records"), strict=True):
        for column, value in entries.items():
            if not pd.isna(value):
                yield _named(f"{study}/{table.name}/{row}/{column}", str(column), value)


def _named(name: str, column: str, value: object) -> Named:
    if isinstance(value, bool):
        return Named(name, "yes" if value else "no")
    if not isinstance(value, int | float) or math.isinf(value):
        return Named(name, escape(str(value)))
    is_p = column == "p" or column.endswith("_p")
    if is_p and value < LEAST_P:
        return Named(name, rf"\num{{<{LEAST_P}}}", relation=rf"<\num{{{LEAST_P}}}")
    relation = rf"=\ablnum{{{name}}}" if is_p else ""
    text = f"{value:.0f}" if float(value).is_integer() else f"{value:.10g}"
    if float(value).is_integer() or float(f"{value:.{SHORT}g}") == value:
        return Named(name, rf"\num{{{text}}}", relation=relation)
    decimals = max(DECIMALS, 1 - math.floor(math.log10(abs(value))))
    return Named(name, text, decimals, relation)


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
