"""The report as one self-contained HTML page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import jinja2
from markupsafe import Markup

from reports.exhibits import RUNS, Exhibits, IntervalBar, Table
from reports.figures.style import INK
from reports.links import Links
from reports.overview import Overview
from reports.references import as_text, bibliography
from reports.words import (
    OUTCOME_MARKS,
    plural,
)
from reports.writers.run_references import RunReferences
from studies.records import Outcome

TEMPLATES = Path(__file__).parent / "templates"
STYLES = ("report.css", "table.css", "figure.css", "navigation.css")
SCRIPTS = ("sort.js", "filter.js", "runs.js", "columns.js", "zoom.js", "navigation.js", "framed.js")
"""Each a block of its own; the page has their sum as one element."""
FEW_ROWS = 8
"""Rows of a table that need no filter."""
MANY_ROWS = 100
"""Rows of a table from which on the page shows the first ones only, until it is asked for all."""
BAR_WIDTH = 120
"""Units of the view box of an interval bar; 0 is in the middle."""


def page_html(
    overview: Overview,
    sections: Sequence[tuple[str, str, Exhibits]],
    drawings: Mapping[str, str],
    links: Links | None = None,
) -> str:
    """The page, with style, script and figures inside.

    Args:
        overview: the head.
        sections: name, title and exhibits of each section.
        drawings: figure name to SVG element.
        links: where runs are in the MLflow UI, if they are.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters.update(
        order=order_attribute, counted=plural, outcome_counts=outcome_counts, has_extra=has_extra,
        cited=as_text,
    )  # fmt: skip
    environment.globals.update(
        bar=interval_bar, marks=OUTCOME_MARKS, outcomes=list(Outcome), width=BAR_WIDTH, ink=INK,
        few=FEW_ROWS, many=MANY_ROWS, all_runs=RUNS, links=links, entries=bibliography(),
        references=RunReferences(exhibits for _, _, exhibits in sections),
        drawings={name: Markup(svg) for name, svg in drawings.items()},
    )  # fmt: skip
    return environment.get_template("report.html.j2").render(
        overview=overview, sections=sections, style=_joined(STYLES), script=_joined(SCRIPTS)
    )


def _joined(names: Sequence[str]) -> Markup:
    return Markup("").join(Markup((TEMPLATES / name).read_text(encoding="utf-8")) for name in names)


def outcome_counts(table: Table) -> dict[Outcome, int]:
    """How many rows are of runs that ended so; nothing where rows are not of one run each."""
    ends = [row.outcome for row in table.rows]
    return {outcome: ends.count(outcome) for outcome in Outcome if outcome in ends}


def has_extra(table: Table) -> bool:
    """Whether columns may be hidden where there is no room."""
    return not all(column.paper for column in table.columns)


def order_attribute(value: float | str | None, text: str) -> str:
    """What a column sorts by; an empty string goes last."""
    if value is None:
        return text
    if isinstance(value, float):
        return "" if value != value else repr(value)
    return str(value)


@dataclass(frozen=True)
class BarShape:
    """X positions of an interval bar, and which ends run off the scale."""

    low: float
    middle: float
    high: float
    cut_low: bool
    cut_high: bool
    excludes_zero: bool


def interval_bar(bar: IntervalBar, limit: float) -> BarShape:
    """An interval on the scale of its column, which goes from -limit to limit."""

    def position(value: float) -> float:
        scaled = max(-1.0, min(1.0, value / limit))
        return round((scaled + 1) * BAR_WIDTH / 2, 1)

    return BarShape(
        low=position(bar.low),
        middle=position(bar.middle),
        high=position(bar.high),
        cut_low=bar.low < -limit,
        cut_high=bar.high > limit,
        excludes_zero=bar.low > 0 or bar.high < 0,
    )
