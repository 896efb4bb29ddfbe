"""The declared hypotheses: which were said in advance, and what came of them."""

from __future__ import annotations

import math
from dataclasses import replace

import pandas as pd

from reports.analysis.hypotheses import HypothesisResults, collect
from reports.analysis.statistics import PairedDifference
from reports.analysis.verdicts import INCOMPARABLE, Finding, HypothesisRow
from reports.exhibits import Cell, Column, Exhibits, Row, Table
from reports.sections.base import Section
from reports.sections.contrast_cells import difference_cell, p_cell
from reports.sections.hypotheses.caption import caption, paper_caption
from reports.sections.hypotheses.words import (
    NOTHING_DECLARED,
    contrast,
    is_declared_alike,
    sentences,
    standing,
    verdict,
)
from reports.tex import escape
from reports.words import ABSENT, decimals_of, percent
from studies.records import Outcome

NUMBERS_EM = 8.6
"""Room for n and two p in the table of a paper."""


def render(data: HypothesisResults) -> Exhibits:
    """Sentences, and a table with a row for each hypothesis."""
    if not data.rows:
        return Exhibits(sentences=sentences(data))
    decimals = decimals_of(row.difference.sd for row in data.rows)
    table = Table(
        name="hypotheses",
        caption=caption(data),
        columns=_columns(data, decimals),
        rows=tuple(
            Row(_cells(row, data, decimals), gap=place > 0, runs=(*row.of.runs, *row.against.runs))
            for place, row in enumerate(data.rows)
        ),
        data=pd.DataFrame([_numbers(row, data) for row in data.rows]),
        bar_limit=_bar_limit(data),
        paper_caption=paper_caption(data),
    )
    return Exhibits(sentences=sentences(data), tables=(table,), methods=_methods(data))


def _methods(data: HypothesisResults) -> tuple[str, ...]:
    """What the p values and intervals were made by, those that there are."""
    tested = [row for row in data.rows if math.isfinite(row.p)]
    found = ["paired-t"] if any(row.difference.n > 1 for row in data.rows) else []
    if any(math.isfinite(row.adjusted_p) for row in tested):
        found.append("holm")
    if any(row.hypothesis.direction == "equivalent" for row in tested):
        found.append("tost")
    if any(row.finding is Finding.BEYOND_MARGIN for row in tested):
        found.append("clopper-pearson")
    return tuple(found)


def _columns(data: HypothesisResults, decimals: int) -> tuple[Column, ...]:
    level = percent(data.confidence)
    if any(row.hypothesis.direction == "equivalent" for row in data.rows):
        level += f" (of an equivalence {percent(2 * data.confidence - 1)})"
    alike = is_declared_alike(data)
    claim, compared, declared, last = (
        _text_column(share, decimals, 6 if alike else 7)
        for share in ((0.33, 0.34, 0.2, 0.33) if alike else (0.26, 0.26, 0.24, 0.24))
    )
    return (
        Column("Claim", "what is expected, as the study file says it", tex=claim),
        Column("Compared", "cells whose mean final losses are compared", tex=compared),
        Column("Declared", "before the first run, or after it", tex=declared, paper=not alike),
        Column("n", "seeds that completed in all cells of both sets", True, "r"),
        Column(
            "Difference",
            f"mean difference, paired by seed, with its {level} t interval",
            True,
            _left(f"{_difference_em(decimals):.1f}em"),
        ),
        Column("p", "of the declared test", True, "r"),
        Column("Holm p", "adjusted over the registered hypotheses", True, "r"),
        Column("Verdict", "what the numbers allow to say", tex=last),
    )


def _text_column(share: float, decimals: int, gaps: int) -> str:
    """LaTeX column of a share of what numbers and the gaps between columns leave of the line."""
    numbers = f"{NUMBERS_EM + _difference_em(decimals):.1f}em"
    return _left(rf"{share}\dimexpr\linewidth-{2 * gaps}\tabcolsep-{numbers}\relax")


def _left(width: str) -> str:
    """LaTeX column of a width, with lines of their own length."""
    return rf">{{\raggedright\arraybackslash}}p{{{width}}}"


def _difference_em(decimals: int) -> float:
    """Room for an interval such as [-0.104, +0.102] in one line."""
    return 4.6 + 1.1 * decimals


def _cells(row: HypothesisRow, data: HypothesisResults, decimals: int) -> tuple[Cell, ...]:
    n = row.difference.n
    short = f"of {len(row.seeds)} planned" if n < len(row.seeds) else ""
    known = row.finding not in INCOMPARABLE
    return (
        Cell(row.hypothesis.claim, detail=row.name),
        Cell(contrast(row)),
        Cell(standing(row, data)),
        Cell(str(n), order=n, detail=short) if known else Cell(ABSENT, order=-1),
        _difference_cell(row, data, decimals),
        p_cell(row.p),
        p_cell(row.adjusted_p),
        Cell(verdict(row)),
    )


def _difference_cell(row: HypothesisRow, data: HypothesisResults, decimals: int) -> Cell:
    """The difference; of an equivalence with the level of its interval, which is another one."""
    cell = difference_cell(_shown(row), decimals)
    if row.hypothesis.direction != "equivalent" or row.difference.n < 2:
        return cell
    level = percent(2 * data.confidence - 1)
    return replace(cell, detail=f"{level}: {cell.detail}", tex=f"{cell.tex} ({escape(level)})")


def _shown(row: HypothesisRow) -> PairedDifference:
    """The difference with the interval that the test goes by."""
    is_equivalence = row.hypothesis.direction == "equivalent"
    return row.equivalence if is_equivalence else row.difference


def _bar_limit(data: HypothesisResults) -> float:
    """Scale of the interval bars: the widest interval fills it."""
    known = [_shown(row) for row in data.rows if row.difference.n > 1]
    return max((max(abs(d.low), abs(d.high)) for d in known), default=0.0)


def _numbers(row: HypothesisRow, data: HypothesisResults) -> dict[str, object]:
    """The row of the CSV: every number behind the displayed ones, in full."""
    hypothesis, difference = row.hypothesis, row.difference
    sides = {"of": row.of, "against": row.against}
    return {
        "hypothesis": row.name,
        "claim": hypothesis.claim,
        "declared": standing(row, data),
        **{name: side.levels for name, side in sides.items()},
        **{f"{name}_cells": side.cells for name, side in sides.items()},
        "direction": hypothesis.direction,
        "margin": row.margin,
        "margin_declared": hypothesis.margin is not None,
        "planned_seeds": len(row.seeds),
        "n": difference.n,
        "difference_mean": difference.mean,
        "difference_sd": difference.sd,
        "difference_low": difference.low,
        "difference_high": difference.high,
        "equivalence_low": row.equivalence.low,
        "equivalence_high": row.equivalence.high,
        "smallest_detectable_difference": row.detectable,
        "also_differs_in": " ".join(row.confounded),
        "at_edge": "; ".join((*row.of.at_edge, *row.against.at_edge)),
        "p": row.p,
        "holm_p": row.adjusted_p,
        "holm_beyond_margin_p": row.adjusted_beyond_p,
        "win": row.win.estimate,
        "win_low": row.win.low,
        "win_high": row.win.high,
        "verdict": verdict(row),
        **{
            f"{name}_{outcome.value}": side.outcomes[outcome]
            for name, side in sides.items()
            for outcome in Outcome
        },
    }


SECTION = Section("Hypotheses", collect, render, absent=NOTHING_DECLARED)
