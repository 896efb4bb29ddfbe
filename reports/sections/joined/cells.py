"""The shared cells: what each study says of them, in one row and in one figure."""

from __future__ import annotations

import math
from dataclasses import replace

import pandas as pd

from reports.analysis.comparison import VariantRow
from reports.analysis.joined.comparison import JoinedComparison, JoinedRow, sign_of
from reports.exhibits import Cell, Column, Exhibits, Row, Table
from reports.results.joined import legend
from reports.sections.contrast_cells import difference_cell, p_cell
from reports.sections.joined.forest import (
    at_edge,
    difference_of,
    edge_notes,
    forest_figure,
    interval_text,
    leak_notes,
    marked_label,
)
from reports.sections.joined.words import joined_sentences, joined_verdict
from reports.words import (
    ABSENT,
    EDGE_MARK,
    counts_caption,
    decimals_of,
    number,
    outcome_text,
    percent,
)
from studies.records import Outcome

MOST_WITH_INTERVALS = 2
"""Studies up to which the table of text width has intervals."""
MOST_WITH_DIFFERENCES = 4
"""Studies up to which it has differences at all."""

READING = r">{\raggedright\arraybackslash}p{0.26\linewidth}"
"""LaTeX column of readings, which may name every study."""


def render(data: JoinedComparison) -> Exhibits:
    """Sentences, the table, and the forest plot where two studies have differences to show."""
    decimals = decimals_of(
        side.loss.sd for row in data.rows for side in row.sides if side is not None
    )
    known = any(difference_of(data, side) for row in data.rows for side in row.sides)
    tested = any(row.reading is not None for row in data.rows)
    return Exhibits(
        sentences=joined_sentences(data),
        tables=(_table(data, decimals),),
        figures=(forest_figure(data),) if known else (),
        methods=("paired-t", "holm") if tested else (),
    )


def _table(data: JoinedComparison, decimals: int) -> Table:
    columns: list[Column] = [Column("Cell", "levels of the factors")]
    for number_, (letter, study) in enumerate(zip(data.letters, data.studies, strict=True)):
        columns += _study_columns(data, number_, letter, study)
    if data.baseline is not None:
        columns.append(
            Column("Reading", "what the tests of all studies allow to say together", tex=READING)
        )
    return Table(
        name="shared",
        caption=_caption(data),
        columns=tuple(columns),
        rows=tuple(_row(data, row, decimals) for row in data.rows),
        data=pd.DataFrame([_numbers(data, row) for row in data.rows]),
        paper=any(column.paper for column in columns[1:]),
        behind="its own and those of the baseline, of all studies",
    )


def _study_columns(data: JoinedComparison, number_: int, letter: str, study: str) -> list[Column]:
    """Loss where it may be shown, then difference and p where there is one baseline."""
    found = []
    if any(row.same_evaluation for row in data.rows):
        found.append(
            Column(
                f"{letter}: loss",
                f"final validation loss of {study}, nats/token: mean, SD over seeds",
                True, "r", paper=data.baseline is None,
            )
        )  # fmt: skip
    if data.baseline is not None:
        level = percent(data.comparisons[number_].confidence)
        found += [
            Column(
                f"{letter}: difference",
                f"to the baseline of {study}, paired by seed, with its {level} t interval",
                True, "r", paper=len(data.studies) <= MOST_WITH_DIFFERENCES,
            ),
            Column(
                f"{letter}: Holm p",
                f"paired t test, adjusted by Holm for all comparisons of {study}",
                True, "r", paper=False,
            ),
        ]  # fmt: skip
    outcomes = Column(f"{letter}: completed", f"completed of planned runs of {study}", paper=False)
    return [*found, outcomes]


def _row(data: JoinedComparison, row: JoinedRow, decimals: int) -> Row:
    cells = [Cell(marked_label(row), order=row.cell.label)]
    for side in row.sides:
        if any(r.same_evaluation for r in data.rows):
            cells.append(_loss_cell(row, side, decimals))
        if data.baseline is not None:
            cells += _test_cells(side, decimals, narrow=len(data.studies) > MOST_WITH_INTERVALS)
        cells.append(_outcome_cell(side))
    if data.baseline is not None:
        cells.append(_reading_cell(data, row, decimals))
    return Row(tuple(cells), runs=row.runs)


def _loss_cell(row: JoinedRow, side: VariantRow | None, decimals: int) -> Cell:
    if side is None or not row.same_evaluation or not side.loss.n:
        return Cell(ABSENT, order=math.nan)
    loss = side.loss
    spread = f" ({number(loss.sd, decimals)})" if loss.n > 1 else ""
    return Cell(f"{number(loss.mean, decimals)}{spread}", order=loss.mean, detail=f"n = {loss.n}")


def _test_cells(side: VariantRow | None, decimals: int, *, narrow: bool) -> list[Cell]:
    """Difference and p; in a narrow LaTeX table the difference without its interval."""
    if side is None:
        return [Cell(ABSENT, order=math.nan, detail="not in this study"), _empty()]
    if side.test is None:
        return [Cell("baseline" + EDGE_MARK * at_edge(side), order=0.0), _empty()]
    difference = side.test.difference
    found = difference_cell(difference, decimals)
    if difference.n:
        edge, detected = EDGE_MARK * at_edge(side), bool(sign_of(side.test.reading))
        half = difference.high - difference.mean
        spread = rf" \pm {number(half, decimals)}" if difference.n > 1 and not narrow else ""
        mean = found.text.replace("−", "-")
        found = replace(
            found,
            text=f"{found.text}{edge}",
            tex=r"\boldmath" * detected + f"${mean}{spread}$" + rf"\rlap{{{edge}}}" * bool(edge),
            bar=None,
            strong=detected,
        )
    if difference.n > 1:
        found = replace(found, detail=f"{found.detail}, n = {difference.n}")
    return [found, p_cell(side.test.adjusted_p)]


def _empty() -> Cell:
    return Cell("", order=math.nan)


def _outcome_cell(side: VariantRow | None) -> Cell:
    if side is None:
        return Cell(ABSENT, order=math.nan)
    share = side.outcomes[Outcome.COMPLETED] / max(1, sum(side.outcomes.values()))
    return Cell(outcome_text(side.outcomes), order=share, marks=side.marks)


def _reading_cell(data: JoinedComparison, row: JoinedRow, decimals: int) -> Cell:
    if row.reading is None:
        return Cell("baseline")
    verdict = joined_verdict(row, data.letters, decimals)
    return Cell(verdict.text, detail=verdict.detail, strong=row.reading.is_consistent)


def _caption(data: JoinedComparison) -> str:
    parts = [f"Cells that at least two studies have ({legend(data.letters, data.studies)})."]
    if any(row.same_evaluation for row in data.rows):
        parts.append("Final loss in nats/token: mean over completed runs, SD over seeds.")
    if data.baseline is not None:
        parts.append(
            f"Difference: of the final loss in nats/token to the baseline ({data.baseline}) of the "
            f"same study, mean paired by seed {interval_text(data)}; p by Holm over all "
            "comparisons of that study."
        )
        if len(data.studies) <= MOST_WITH_INTERVALS:
            parts.append("A number behind ± is half the width of the interval.")
        else:
            parts.append("Where a table has no room for intervals, the wide one has them.")
        if any(
            side and side.test and sign_of(side.test.reading)
            for row in data.rows
            for side in row.sides
        ):
            parts.append(
                "Bold difference: the study detects it, by this p and where no edge forbids a "
                "verdict."
            )
    parts += [*leak_notes(data), *edge_notes(data)]
    return " ".join([*parts, counts_caption(data.outcomes, searching=data.searching)])


def _numbers(data: JoinedComparison, row: JoinedRow) -> dict[str, object]:
    """The row of the CSV; a loss only where all of the cell are on one evaluation set."""
    found: dict[str, object] = {"cell": row.cell.name, "label": row.cell.label}
    for letter, side, variant in zip(data.letters, row.sides, row.cell.variants, strict=True):
        found[f"{letter}_variant"] = variant or ""
        shown = side is not None and row.same_evaluation
        found[f"{letter}_final_loss_mean"] = side.loss.mean if side and shown else math.nan
        found[f"{letter}_final_loss_sd"] = side.loss.sd if side and shown else math.nan
        found[f"{letter}_completed"] = side.outcomes[Outcome.COMPLETED] if side else math.nan
        difference = difference_of(data, side)
        found[f"{letter}_n"] = difference.n if difference else math.nan
        found[f"{letter}_difference"] = difference.mean if difference else math.nan
        found[f"{letter}_low"] = difference.low if difference else math.nan
        found[f"{letter}_high"] = difference.high if difference else math.nan
        test = side.test if side and data.baseline is not None else None
        found[f"{letter}_holm_p"] = test.adjusted_p if test else math.nan
    found["reading"] = row.reading.name.lower() if row.reading else ""
    return found
