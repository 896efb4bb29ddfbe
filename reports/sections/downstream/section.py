"""Scores of fine-tuned models, their differences, and whether the loss foretells them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from functools import partial

import pandas as pd

from reports.analysis.downstream import (
    Downstream,
    DownstreamRow,
    TaskColumn,
    TaskScore,
    collect,
)
from reports.analysis.loss_correlation import LEAST_VARIANTS, LossCorrelation, ScoredModel
from reports.exhibits import Cell, Column, Exhibits, Figure, Row, Table
from reports.figures.score_panels import ScorePanels, draw_scores
from reports.references import cited
from reports.sections.base import Section
from reports.sections.contrast_cells import p_words
from reports.sections.downstream.differences import differences_table, tested
from reports.sections.downstream.runs import runs_table
from reports.sections.downstream.scores import DECIMALS, SCALE, scores_table
from reports.words import ABSENT, number, p_text, percent, plural
from studies.methods import STATISTICS

NAMED = 3
"""Differences that a sentence names."""


def render(data: Downstream) -> Exhibits:
    """Sentences, the tables of scores, differences and correlations, and scores against losses."""
    tables = [scores_table(data)]
    if any(row.reference for row in data.rows):
        tables.append(differences_table(data))
    if data.correlations:
        tables.append(_correlations_table(data))
    tables.append(runs_table(data))
    figures = (_loss_figure(data),) if data.correlations else ()
    used = ["paired-t", "holm"] if any(row.reference for row in data.rows) else []
    return Exhibits(
        sentences=tuple(_sentences(data)),
        tables=tuple(tables),
        figures=figures,
        methods=(*used, *(["spearman"] if data.correlations else [])),
    )


def _correlations_table(data: Downstream) -> Table:
    columns = (
        Column("Task"),
        Column(
            "Spearman ρ", "Of final loss and score; −1: the lower the loss, the higher the score"
        ),
        Column("p"),
        Column("Variants"),
    )
    rows = tuple(_correlation_row(data, found) for found in data.correlations)
    caption = (
        f"Whether the loss foretells the score: {cited(STATISTICS['spearman'])} of mean final loss "
        f"before fine-tuning and mean score over variants{_fine_tuned(data)}; −1 is the "
        "same order, best first. p: two-sided, of all orders, not corrected."
    )
    numbers = pd.DataFrame(
        {"task": c.task, "rho": c.rho, "p": c.p, "variants": c.variants} for c in data.correlations
    )
    return Table("loss_and_score", caption, columns, rows, numbers)


def _correlation_row(data: Downstream, found: LossCorrelation) -> Row:
    return Row(
        (
            Cell(found.label),
            Cell(_rho(found), order=found.rho),
            Cell(p_text(found.p), order=found.p),
            Cell(str(found.variants), order=found.variants),
        ),
        runs=_behind([model for model in data.models if model.task == found.task]),
    )


def _behind(models: Iterable[ScoredModel]) -> tuple[str, ...]:
    """Keys of the runs of both stages."""
    return tuple(dict.fromkeys(key for model in models for key in model.run_keys))


def _fine_tuned(data: Downstream) -> str:
    """In which way the correlated models are, where there are several."""
    return f", fine-tuned with {data.correlated_arm}" if data.correlated_arm else ""


def _rho(found: LossCorrelation) -> str:
    return number(found.rho, 2, sign=True) if math.isfinite(found.rho) else ABSENT


def _loss_figure(data: Downstream) -> Figure:
    """A panel for each task that has a correlation."""
    tasks = {found.task for found in data.correlations}
    panels = tuple((c.task, c.label, f"ρ = {_rho(c)}") for c in data.correlations)
    shown = [model for model in data.models if model.task in tasks]
    points = pd.DataFrame(
        (m.task, m.variant, m.label, m.seed, m.loss, SCALE * m.score) for m in shown
    ).set_axis(["task", "variant", "label", "seed", "loss", "score"], axis=1)
    caption = (
        "Score (×100) of each variant on each task against its final loss before fine-tuning"
        f"{_fine_tuned(data)}. Small dots: pre-trained models. Marks: means of the variants, of "
        f"which ρ is taken, with the {percent(data.confidence)} t interval of the mean score where "
        "there are two models or more; those of few may run off the axis."
    )
    return Figure(
        "score_by_loss",
        caption,
        points,
        partial(draw_scores, ScorePanels(panels, points, data.confidence, data.layout)),
        runs=_behind(shown),
    )


def _sentences(data: Downstream) -> Iterator[str]:
    found = tested(data)
    alpha = 1 - data.confidence
    if found:
        clear = [one for one in found if one[2].adjusted_p <= alpha]
        adjusted = " after Holm's adjustment" * (len(found) > 1)
        of = f"Of {plural(len(found), 'difference')} in score"
        if not clear:
            yield f"{of}, none is detected at {alpha:.2g}{adjusted}."
        else:
            clear.sort(key=lambda one: one[2].adjusted_p)
            named = "; ".join(_in_words(*one) for one in clear[:NAMED])
            is_ = "is" if len(clear) == 1 else "are"
            more = f"; and {len(clear) - NAMED} more" if len(clear) > NAMED else ""
            yield f"{of}, {len(clear)} {is_} detected at {alpha:.2g}{adjusted}: {named}{more}."
    elif any(row.reference for row in data.rows):
        yield "No difference in score can be tested: that takes two seeds that both have."
    if not data.correlations and data.rankable > 1:
        yield (
            f"Whether the loss foretells the score is not asked of "
            f"{plural(data.rankable, 'variant')}: it takes {LEAST_VARIANTS} that have both."
        )


def _in_words(row: DownstreamRow, task: TaskColumn, score: TaskScore) -> str:
    assert score.difference is not None
    mean = number(SCALE * score.difference.mean, DECIMALS, sign=True)
    found = f"{task.label}, {row.label} against {row.reference}: {mean}"
    return f"{found} ({p_words(score.adjusted_p)}, n = {score.difference.n})"


SECTION = Section("Downstream tasks", collect, render, absent="")
