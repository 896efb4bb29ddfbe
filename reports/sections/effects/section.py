"""Main effects and interactions of the factors: analyses of variance, level means, a figure."""

from __future__ import annotations

from reports.analysis.effects import Effects, collect
from reports.exhibits import Exhibits
from reports.figures.interaction_plot import interaction_figure
from reports.sections.base import Section
from reports.sections.effects.tables import tables_of
from reports.sections.effects.words import sentences


def render(data: Effects) -> Exhibits:
    """Sentences, tables of each analysis, and the figure."""
    tables = [table for one in data.analyses for table in tables_of(one, data)]
    figure = data.plot and interaction_figure(data.plot, data.outcomes, searching=data.searching)
    return Exhibits(
        sentences=sentences(data),
        tables=tuple(tables),
        figures=(figure,) if figure else (),
        methods=("anova",) if any(one.anova for one in data.analyses) else (),
    )


SECTION = Section("Main effects and interactions", collect, render, absent="")
