"""The report as one self-contained HTML page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import jinja2
from markupsafe import Markup

from reports.exhibits import Exhibits, IntervalBar
from reports.figures.style import INK
from reports.overview import Overview
from reports.words import OUTCOME_MARKS
from studies.records import Outcome

TEMPLATES = Path(__file__).parent / "templates"
BAR_WIDTH = 120
"""Units of the view box of an interval bar; 0 is in the middle."""


def page_html(
    overview: Overview,
    sections: Sequence[tuple[str, str, Exhibits]],
    drawings: Mapping[str, str],
) -> str:
    """The page, with style, script and figures inside.

    Args:
        overview: the head.
        sections: name, title and exhibits of each section.
        drawings: figure name to SVG element.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters["order"] = order_attribute
    environment.globals.update(
        bar=interval_bar, marks=OUTCOME_MARKS, outcomes=list(Outcome), width=BAR_WIDTH, ink=INK
    )
    return environment.get_template("report.html.j2").render(
        overview=overview,
        sections=sections,
        drawings={name: Markup(svg) for name, svg in drawings.items()},
        style=Markup((TEMPLATES / "report.css").read_text(encoding="utf-8")),
        script=Markup((TEMPLATES / "report.js").read_text(encoding="utf-8")),
    )


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
