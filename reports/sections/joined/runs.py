"""Every planned run of several studies, one row each."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pandas as pd

from reports.exhibits import Cell, Column, Exhibits, Row
from reports.results.joined import JoinedResults, legend, qualified
from reports.sections import runs
from reports.sections.runs import RunList


@dataclass(frozen=True)
class JoinedRuns:
    """The runs of each study."""

    letters: tuple[str, ...]
    studies: tuple[str, ...]
    lists: tuple[RunList, ...]
    repeated: int
    """Runs that are planned in more than one study; they have a row in each."""


def collect(joined: JoinedResults) -> JoinedRuns:
    """All planned runs, whatever came of them."""
    return JoinedRuns(
        joined.letters,
        joined.names,
        tuple(runs.collect(results) for results in joined.studies),
        len(joined.repeated),
    )


def render(data: JoinedRuns) -> Exhibits:
    """One table, for the page and as CSV, with the columns of the table of one study."""
    whole = RunList(
        rows=tuple(row for found in data.lists for row in found.rows),
        searched=any(found.searched for found in data.lists),
        outcomes={
            outcome: sum(found.outcomes[outcome] for found in data.lists)
            for outcome in data.lists[0].outcomes
        },
        searching=any(found.searching for found in data.lists),
    )
    (table,) = runs.render(whole).tables
    owners = [
        (letter, study)
        for letter, study, found in zip(data.letters, data.studies, data.lists, strict=True)
        for _ in found.rows
    ]
    twice = f" {data.repeated} of them are in more than one study." if data.repeated else ""
    names = pd.DataFrame({"study": [study for _, study in owners]})
    joined = replace(
        table,
        caption=f"{table.caption}{twice} {legend(data.letters, data.studies)}.",
        columns=(Column("Study", "letter of the study"), *table.columns),
        rows=tuple(
            _row(row, letter, study)
            for row, (letter, study) in zip(table.rows, owners, strict=True)
        ),
        data=pd.concat([names, table.data], axis=1),
        named_by=2,
    )
    return Exhibits(tables=(joined,))


def _row(row: Row, letter: str, study: str) -> Row:
    """The row of a run, which is called by its study too."""
    (key,) = row.runs
    name = qualified(study, key)
    cells = [replace(cell, run=name) if cell.run else cell for cell in row.cells]
    return replace(row, cells=(Cell(letter), *cells), runs=(name,))
