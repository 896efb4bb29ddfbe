"""Stability: how many runs of each variant diverged, and when."""

from __future__ import annotations

import math

import pandas as pd

from reports.analysis.stability import Stability, StabilityRow, collect
from reports.exhibits import Cell, Column, Document, Exhibits, Row, Table
from reports.references import mark
from reports.sections.base import Section
from reports.words import (
    ABSENT,
    any_of,
    counts_caption,
    headed,
    listed,
    outcome_text,
    percent,
    plural,
)
from studies.methods import STATISTICS
from studies.records import Outcome

NAME = "stability"
MOST_STEPS = 5
"""Steps that a cell of the table lists; the file has all."""


def render(data: Stability) -> Exhibits:
    """A table where runs diverged; else a sentence, and the numbers as a file."""
    numbers = pd.DataFrame([_numbers(row) for row in (*data.variants, *data.levels)])
    if not data.diverged:
        text = numbers.to_csv(index=False, lineterminator="\n", float_format="%.10g")
        return Exhibits(
            sentences=(_none_diverged(data),), documents=(Document(f"tables/{NAME}.csv", text),)
        )
    rows, previous = [], ""
    for row in (*data.variants, *data.levels):
        rows.append(Row(_cells(row, data), gap=row.factor != previous, runs=row.runs))
        previous = row.factor
    table = Table(NAME, _caption(data), _columns(data), tuple(rows), numbers)
    return Exhibits(sentences=_sentences(data), tables=(table,), methods=("clopper-pearson",))


def _none_diverged(data: Stability) -> str:
    widest = max((row for row in data.variants if row.ended), key=lambda row: row.share.high)
    none = f"None of the {data.ended} runs that ended" if data.ended > 1 else "No run that ended"
    return (
        f"{none} diverged. That bounds little for a single variant: "
        f"the {percent(data.confidence)} exact interval of the share that diverges reaches up to "
        f"{widest.share.high:.0%} where {plural(widest.ended, 'run')} ended, the fewest of any "
        f"variant with a result. {counts_caption(data.outcomes, searching=data.searching)}"
    )


def _sentences(data: Stability) -> tuple[str, ...]:
    unstable = [row for row in data.variants if row.diverged]
    steps = [step for row in data.variants for step in row.steps]
    when = ""
    if steps:
        ends = dict.fromkeys((min(steps), max(steps)))
        when = f", at {'step' if len(ends) == 1 else 'steps'} {' to '.join(map(str, ends))}"
    found = [
        f"{data.diverged} of {data.ended} ended runs diverged, in {len(unstable)} of "
        f"{len(data.variants)} variants{when}."
    ]
    always = [row.label for row in unstable if row.diverged == row.ended]
    if always:
        found.append(f"Every ended run diverged of {any_of(listed(always), 'and')}.")
    clean = [row for row in data.variants if row.ended and not row.diverged]
    if clean:
        widest = max(clean, key=lambda row: row.share.high)
        found.append(
            "A variant of which no run diverged is not shown to be stable: with "
            f"{plural(widest.ended, 'run')} the {percent(data.confidence)} interval reaches up to "
            f"{widest.share.high:.0%}."
        )
    return tuple(found)


def _columns(data: Stability) -> tuple[Column, ...]:
    level = percent(data.confidence)
    return (
        Column("Variant or level"),
        Column("Diverged", "of the ended runs: completed, diverged or pruned", True, "r"),
        Column("Share", f"with its exact {level} interval, where runs are independent", True, "r"),
        Column("At step", "where runs diverged", True),
        Column("Loss spikes", "of the runs that counted them", True, "r", paper=False),
        Column("Completed", "completed of planned runs; one mark per seed"),
    )


def _cells(row: StabilityRow, data: Stability) -> tuple[Cell, ...]:
    name = f"{row.factor}: {row.label}" if row.factor else row.label
    planned = max(1, sum(row.outcomes.values()))
    return (
        Cell(headed(name) if row.factor else name, swatch=row.color),
        Cell(f"{row.diverged}/{row.ended}", order=row.diverged / max(1, row.ended)),
        _share_cell(row),
        Cell(
            any_of(listed(list(map(str, row.steps)), MOST_STEPS), "and") if row.steps else "",
            order=row.steps[0] if row.steps else math.nan,
        ),
        Cell(
            f"{row.spikes:g} in {plural(row.spike_runs, 'run')}" if row.spike_runs else ABSENT,
            order=row.spikes / row.spike_runs if row.spike_runs else math.nan,
        ),
        Cell(
            outcome_text(row.outcomes),
            order=row.outcomes[Outcome.COMPLETED] / planned,
            marks=row.marks,
        ),
    )


def _share_cell(row: StabilityRow) -> Cell:
    """Of a level there is no interval: its runs of one seed have data and start in common."""
    if not row.ended:
        return Cell(ABSENT, order=math.nan)
    share = f"{row.share.estimate:.0%}"
    if row.factor:
        return Cell(share, order=row.share.estimate)
    interval = f"[{row.share.low:.0%},\xa0{row.share.high:.0%}]"
    tex = f"{share} {interval}".replace("%", r"\%").replace("\xa0", "~")
    return Cell(share, order=row.share.estimate, detail=interval, tex=tex)


def _caption(data: Stability) -> str:
    return (
        "Diverged runs, of those that ended, by variant and by level of each factor. Share of a "
        f"variant: with the exact {percent(data.confidence)} interval"
        f"{mark(STATISTICS['clopper-pearson'].cite)}, not adjusted for the number of variants. The "
        "rows of levels pool the runs of many variants; runs of one seed have data and start in "
        "common and are not independent, so these rows have no interval. Failed and missing runs "
        "have not ended, and count in neither; pruned runs have. "
        f"{counts_caption(data.outcomes, searching=data.searching)}"
    )


def _numbers(row: StabilityRow) -> dict[str, object]:
    """The row of the CSV."""
    is_variant = not row.factor
    return {
        "variant": row.variants[0] if is_variant else "",
        "factor": row.factor,
        "label": row.label,
        "diverged_runs": row.diverged,
        "ended_runs": row.ended,
        "diverged_share": row.share.estimate,
        "diverged_share_low": row.share.low if is_variant else math.nan,
        "diverged_share_high": row.share.high if is_variant else math.nan,
        "diverged_at_steps": " ".join(map(str, row.steps)),
        "loss_spikes": row.spikes if row.spike_runs else math.nan,
        "runs_with_spikes_counted": row.spike_runs,
        **{outcome.value: row.outcomes[outcome] for outcome in Outcome},
    }


SECTION = Section("Stability", collect, render, absent="")
