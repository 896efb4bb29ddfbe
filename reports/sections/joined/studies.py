"""The studies of a joint report: what each asked, how far it is, and which cells they share."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import pandas as pd

from reports.exhibits import Cell, Column, Exhibits, Row, Table
from reports.joined_overview import is_finished
from reports.results.frame import StudyResults
from reports.results.joined import JoinedCell, JoinedResults, qualified
from reports.words import (
    ABSENT,
    any_of,
    counts_caption,
    outcome_text,
    plural,
)
from studies.records import Outcome

MOST_NAMED = 6
"""Cells that a sentence names; of more, it gives their number."""


@dataclass(frozen=True)
class StudyRow:
    """A study of the report."""

    letter: str
    name: str
    page: str
    """Address of its own report; empty where it is not in its place."""
    question: str
    baseline: str
    cells: int
    shared: int
    """Of its cells, those that another study has too."""
    seeds: int
    outcomes: dict[Outcome, int]
    finished: bool
    searching: bool
    runs: tuple[str, ...]


@dataclass(frozen=True)
class CellRow:
    """A cell of any study."""

    cell: JoinedCell
    runs: tuple[str, ...]
    """Those of it that have a record, in all studies."""


@dataclass(frozen=True)
class JoinedStudies:
    """The studies, and where each cell is."""

    rows: tuple[StudyRow, ...]
    cells: tuple[CellRow, ...]
    unshared: tuple[tuple[str, ...], ...]
    """By study: labels of the cells that no other study has."""
    repeated: int
    """Runs that are planned in more than one study."""
    planned: int
    """Different runs."""
    outcomes: dict[Outcome, int]
    searching: bool


def collect(joined: JoinedResults, pages: Mapping[str, str]) -> JoinedStudies:
    """Counts of each study, and what they have in common.

    Args:
        joined: the studies.
        pages: study to the address of its own report.
    """
    return JoinedStudies(
        rows=tuple(
            _row(joined, number, results, pages) for number, results in enumerate(joined.studies)
        ),
        cells=tuple(CellRow(cell, tuple(_runs_of(joined, cell))) for cell in joined.cells),
        unshared=tuple(
            tuple(c.label for c in joined.cells if c.variants[i] is not None and not c.is_shared)
            for i in range(len(joined.studies))
        ),
        repeated=len(joined.repeated),
        planned=len(joined.run_keys),
        outcomes=joined.outcomes(),
        searching=joined.searching,
    )


def _runs_of(joined: JoinedResults, cell: JoinedCell) -> Iterator[str]:
    for results, variant in zip(joined.studies, cell.variants, strict=True):
        for run in results.plan.runs:
            if run.variant == variant and run.run_key in results.records:
                yield qualified(results.name, run.run_key)


def _row(
    joined: JoinedResults, number: int, results: StudyResults, pages: Mapping[str, str]
) -> StudyRow:
    plan = results.plan
    name = plan.study.name
    return StudyRow(
        letter=joined.letters[number],
        name=name,
        page=pages.get(name, ""),
        question=plan.study.question,
        baseline=joined.baselines[number],
        cells=len(plan.cells),
        shared=sum(cell.variants[number] is not None for cell in joined.shared),
        seeds=len(plan.study.seeds),
        outcomes=results.outcomes(),
        finished=is_finished(results),
        searching=not plan.is_settled,
        runs=tuple(qualified(name, key) for key in results.records),
    )


def render(data: JoinedStudies) -> Exhibits:
    """The table of studies, that of cells, and what is in one study alone."""
    return Exhibits(sentences=_sentences(data), tables=(_studies_table(data), _cells_table(data)))


def _sentences(data: JoinedStudies) -> tuple[str, ...]:
    shared = sum(row.cell.is_shared for row in data.cells)
    where = "both studies" if len(data.rows) == 2 else "at least two of the studies"
    is_ = "is" if shared == 1 else "are"
    found = [f"Of {plural(len(data.cells), 'cell')}, {shared} {is_} in {where}."]
    for row, labels in zip(data.rows, data.unshared, strict=True):
        if labels:
            more = len(labels) - MOST_NAMED
            named = ", ".join(labels[:MOST_NAMED]) + (f" and {more} more" if more > 0 else "")
            found.append(f"In {row.letter} alone: {plural(len(labels), 'cell')} ({named}).")
    if data.repeated:
        found.append(
            f"{data.repeated} of {data.planned} different planned runs "
            f"{'is' if data.repeated == 1 else 'are'} in more than one study, with the same run "
            "key: one run each, counted once here, and no evidence twice."
        )
    waiting = [row.letter for row in data.rows if not row.finished]
    if waiting:
        verb = "has" if len(waiting) == 1 else "have"
        found.append(f"{any_of(waiting, 'and')} {verb} not ended: what follows may change.")
    return tuple(found)


def _studies_table(data: JoinedStudies) -> Table:
    counts = counts_caption(data.outcomes, searching=data.searching)
    once = " A run of several studies is counted once." if data.repeated else ""
    return Table(
        name="studies",
        caption=(
            "The studies, by the letters that name them in tables and figures. Shared: cells that "
            f"another study has too. Completed: of the planned runs of the study. {counts}{once}"
        ),
        columns=(
            Column("Study", "letter that names it"),
            Column("Name", "leads to its own report where that is in its place"),
            Column("Question", "as its study file asks it", paper=False, tex="p{.3\\linewidth}"),
            Column("Baseline", "what its variants are compared with"),
            Column("Cells", "combinations of levels", True, "r"),
            Column("Shared", "cells that another study has too", True, "r"),
            Column("Seeds", "of each cell", True, "r"),
            Column("Completed", "completed of planned runs, those of a search too"),
            Column(
                "State", "partial: runs have to end yet, or a search may ask for more", paper=False
            ),
        ),
        rows=tuple(_cells_of(row) for row in data.rows),
        data=pd.DataFrame([_numbers(row) for row in data.rows]),
    )


def _cells_of(row: StudyRow) -> Row:
    return Row(
        (
            Cell(row.letter, strong=True),
            Cell(row.name, link=row.page),
            Cell(row.question or ABSENT),
            Cell(row.baseline),
            Cell(str(row.cells), order=row.cells),
            Cell(str(row.shared), order=row.shared),
            Cell(str(row.seeds), order=row.seeds),
            Cell(outcome_text(row.outcomes)),
            Cell(_state(row)),
        ),
        runs=row.runs,
    )


def _state(row: StudyRow) -> str:
    if row.finished:
        return "finished"
    if not row.runs:
        return "not begun"
    return "partial, searching" if row.searching else "partial"


def _numbers(row: StudyRow) -> dict[str, object]:
    return {
        "study": row.letter,
        "name": row.name,
        "question": row.question,
        "baseline": row.baseline,
        "cells": row.cells,
        "shared_cells": row.shared,
        "seeds": row.seeds,
        **{outcome.value: count for outcome, count in row.outcomes.items()},
        "state": _state(row),
    }


def _cells_table(data: JoinedStudies) -> Table:
    return Table(
        name="cells",
        caption=(
            "Every cell, and what it is called in each study; – where a study has no such cell. "
            "Cells are one where all keys that are a factor of any study have the same values: a "
            "factor that one study varies and another holds fixed joins at the fixed value. "
            f"{counts_caption(data.outcomes, searching=data.searching)}"
        ),
        columns=(
            Column("Cell", "levels of the factors"),
            *(Column(f"{row.letter}: {row.name}", "variant in this study") for row in data.rows),
        ),
        rows=tuple(
            Row(
                (Cell(row.cell.label), *(Cell(variant or ABSENT) for variant in row.cell.variants)),
                runs=row.runs,
            )
            for row in data.cells
        ),
        data=pd.DataFrame(
            [
                {"cell": found.cell.name, "label": found.cell.label}
                | {
                    row.letter: variant or ""
                    for row, variant in zip(data.rows, found.cell.variants, strict=True)
                }
                for found in data.cells
            ]
        ),
        paper=False,
    )
