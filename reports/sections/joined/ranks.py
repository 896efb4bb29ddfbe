"""Whether studies order their shared cells alike; losses are never pooled over studies."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial

import pandas as pd

from reports.analysis.joined.ranks import FEWEST, RankAgreement, collect_ranks
from reports.exhibits import Cell, Column, Exhibits, Figure, Row, Table
from reports.figures.rank_plot import draw_rank_plot
from reports.results.joined import JoinedResults
from reports.words import counts_caption, number
from studies.records import Outcome

CHANCE = (
    "Ranks are of means over few seeds: cells that no test tells apart take their places by "
    "chance, so that two studies of the very same cells need not agree in full. Cells have levels "
    "in common and are not independent, so there is no p."
)


@dataclass(frozen=True)
class JoinedRanks:
    """Every pair of studies."""

    letters: tuple[str, ...]
    studies: tuple[str, ...]
    pairs: tuple[RankAgreement, ...]
    outcomes: dict[Outcome, int]
    searching: bool


def collect(joined: JoinedResults) -> JoinedRanks:
    """Ranks within each study, of the cells that both of a pair rank."""
    return JoinedRanks(
        joined.letters, joined.names, collect_ranks(joined), joined.outcomes(), joined.searching
    )


def render(data: JoinedRanks) -> Exhibits:
    """Kendall's tau of each pair that has enough cells; of two studies, a figure too."""
    known = [pair for pair in data.pairs if math.isfinite(pair.tau)]
    sentences = [_sentence(data, pair) for pair in data.pairs]
    if not known:
        return Exhibits(sentences=tuple(sentences))
    figures = (_figure(data, known[0]),) if len(data.studies) == 2 else ()
    return Exhibits(
        sentences=(*sentences, CHANCE),
        tables=(_table(data),) if len(data.pairs) > 1 else (),
        figures=figures,
        methods=("kendall",),
    )


def _sentence(data: JoinedRanks, pair: RankAgreement) -> str:
    first, second = (data.letters[i] for i in pair.studies)
    count = len(pair.cells)
    cells = "no shared cell" if not count else f"{count} shared cell{'s' * (count > 1)}"
    if not math.isfinite(pair.tau):
        why = f"fewer than {FEWEST}" if count < FEWEST else "all tied in one of them"
        return (
            f"{first} and {second} both rank {cells}: {why}, so no agreement of ranks is computed."
        )
    return (
        f"{first} and {second} both rank {cells}; Kendall's tau is {number(pair.tau, 2)} "
        f"(n = {count}): {pair.agreeing} of {pair.pairs} pairs of cells are in the same order in "
        f"both, {pair.opposed} in the other one."
    )


def _table(data: JoinedRanks) -> Table:
    return Table(
        name="rank_agreement",
        caption=(
            "Agreement of the order by mean final loss, within each study, of the cells that both "
            f"studies rank. Tau: Kendall's tau-b, for at least {FEWEST} cells. {_counts(data)}"
        ),
        columns=(
            Column("Studies", "letters of the two"),
            Column("Cells", "that both rank", True, "r"),
            Column("Tau", "1: the same order, -1: the reverse", True, "r"),
            Column("Same order", "pairs of cells", True, "r"),
            Column("Other order", "pairs of cells", True, "r"),
        ),
        rows=tuple(
            Row(
                (
                    Cell(_pair_name(data, pair)),
                    Cell(str(len(pair.cells)), order=len(pair.cells)),
                    Cell(number(pair.tau, 2), order=pair.tau,
                         tex=f"${number(pair.tau, 2)}$" if math.isfinite(pair.tau) else None),
                    Cell(str(pair.agreeing), order=pair.agreeing),
                    Cell(str(pair.opposed), order=pair.opposed),
                ),
                runs=pair.runs,
            )
            for pair in data.pairs
        ),
        data=pd.DataFrame(
            [
                {
                    "studies": "-".join(data.letters[i] for i in pair.studies),
                    "cells": len(pair.cells),
                    "tau": pair.tau,
                    "same_order": pair.agreeing,
                    "other_order": pair.opposed,
                }
                for pair in data.pairs
            ]
        ),
    )  # fmt: skip


def _pair_name(data: JoinedRanks, pair: RankAgreement) -> str:
    return " and ".join(data.letters[i] for i in pair.studies)


def _figure(data: JoinedRanks, pair: RankAgreement) -> Figure:
    first, second = (data.letters[i] for i in pair.studies)
    names = (f"{first}: {data.studies[0]}", f"{second}: {data.studies[1]}")
    return Figure(
        "ranks",
        f"Rank by mean final loss among the {len(pair.cells)} cells that both studies rank, 1 is "
        f"the lowest loss: {names[0]} and {names[1]}. Dots: rank in the first; rings: in the "
        f"second. "
        f"Kendall's tau {number(pair.tau, 2)}, n = {len(pair.cells)} cells. {_counts(data)}",
        pd.DataFrame(
            [
                {"cell": cell.name, "label": cell.label, f"rank_{first}": cell.ranks[0],
                 f"rank_{second}": cell.ranks[1]}
                for cell in pair.cells
            ]
        ),
        partial(draw_rank_plot, pair.cells, names),
        runs=pair.runs,
        wide=False,
    )  # fmt: skip


def _counts(data: JoinedRanks) -> str:
    return counts_caption(data.outcomes, searching=data.searching)
