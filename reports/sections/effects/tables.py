"""Tables of an analysis of a grid: of variance, simple effects, level means."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import pandas as pd

from reports.analysis.anova import Anova
from reports.analysis.effects import Effects, GridEffects
from reports.analysis.level_effects import Contrast, LevelMean
from reports.exhibits import Cell, Column, Row, Table
from reports.sections.contrast_cells import bar_limit, difference_cell, p_cell
from reports.sections.effects.words import counted, scope_caption
from reports.words import ABSENT, any_of, decimals_of, number, percent


def tables_of(analysis: GridEffects, data: Effects) -> Iterator[Table]:
    """The analysis of variance, simple effects where there are any, and the level means."""
    if analysis.anova is not None:
        yield _anova_table(analysis, analysis.anova, data)
    if analysis.simple:
        yield _simple_table(analysis, data)
    yield _level_table(analysis, data)


def _anova_table(analysis: GridEffects, anova: Anova, data: Effects) -> Table:
    runs = analysis.run_keys(tuple(analysis.runs))
    columns = (
        Column("Source", "interactions of most factors first"),
        Column("df", "degrees of freedom", True, "r"),
        Column("SS", "sum of squares", True, "r", paper=False),
        Column("Error df", "of the term's interaction with the seed", True, "r"),
        Column("Error SS", "of the term's interaction with the seed", True, "r", paper=False),
        Column("F", "mean square over that of its error", True, "r"),
        Column("epsilon", "how far the error is from spherical, which is 1", True, "r"),
        Column("p", "of the F test, both df times epsilon", True, "r"),
        Column("Holm p", f"adjusted over {counted(len(anova.terms), 'term')}", True, "r"),
        Column("partial eta²", "SS / (SS + SS of the error): biased upwards", True, "r"),
        Column("partial omega²", "the same without the bias; below 0 where F < 1", True, "r"),
    )
    rows, previous = [], None
    for term in anova.terms:
        cells = (
            Cell(analysis.term_label(term)),
            Cell(str(term.df), order=term.df),
            _squares(term.sum_of_squares),
            Cell(str(term.error_df), order=term.error_df),
            _squares(term.error_sum_of_squares),
            Cell(number(term.f, 2), order=term.f),
            Cell(number(term.epsilon, 2), order=term.epsilon),
            p_cell(term.p),
            p_cell(term.holm_p),
            Cell(number(term.eta_squared, 2), order=term.eta_squared),
            Cell(number(term.omega_squared, 2), order=term.omega_squared),
        )
        is_main = len(term.factors) == 1
        rows.append(Row(cells, gap=previous is not None and is_main != previous, runs=runs))
        previous = is_main
    nothing = (Cell("", order=math.nan),) * 8
    seed = (Cell("seed (block)"), Cell(str(anova.seed_df)), _squares(anova.seed_sum_of_squares))
    rows.append(Row((*seed, *nothing), gap=True, runs=runs))
    numbers = pd.DataFrame(_anova_numbers(analysis, anova))
    return Table(f"anova{analysis.name}", _anova_caption(analysis, anova, data), columns,
                 tuple(rows), numbers)  # fmt: skip


def _squares(value: float) -> Cell:
    return Cell(f"{value:.3g}", order=value)


def _anova_caption(analysis: GridEffects, anova: Anova, data: Effects) -> str:
    seeds = len(analysis.seeds)
    most = f"of {seeds} seeds it is at most {seeds - 1} / df"
    if seeds == 2:
        most = "of 2 seeds it is 1 / df, whatever their losses"
    return (
        "Analysis of variance with the seed as block: each term is held against its own "
        "interaction with the seed (repeated measures), taken for normal. Epsilon: Greenhouse and "
        f"Geisser's, by which both df are multiplied for p, as variants need not vary alike; {most}"
        ". The grid is balanced: sums of squares of type I and III are one. p is not "
        f"adjusted; Holm p is, over {counted(len(anova.terms), 'term')} of this table. Partial "
        "eta²: SS/(SS + SS of the error), biased upwards with few seeds; partial omega²: the bias "
        "taken off, (SS - df MSE)/(SS + (N - df) MSE) with MSE the mean square of the error and N "
        "runs. " + scope_caption(analysis, data)
    )


def _anova_numbers(analysis: GridEffects, anova: Anova) -> Iterator[dict[str, object]]:
    for term in anova.terms:
        yield {
            "source": analysis.term_label(term),
            "df": term.df,
            "sum_of_squares": term.sum_of_squares,
            "mean_square": term.sum_of_squares / term.df,
            "error_df": term.error_df,
            "error_sum_of_squares": term.error_sum_of_squares,
            "f": term.f,
            "epsilon": term.epsilon,
            "p": term.p,
            "holm_p": term.holm_p,
            "partial_eta_squared": term.eta_squared,
            "partial_omega_squared": term.omega_squared,
        }
    squares, df = anova.seed_sum_of_squares, anova.seed_df
    yield {"source": "seed", "df": df, "sum_of_squares": squares, "mean_square": squares / df}


def _level_table(analysis: GridEffects, data: Effects) -> Table:
    contrasts = [row.contrast for row in analysis.levels if row.contrast]
    decimals = decimals_of(row.loss.sd for row in analysis.levels)
    finer = decimals_of(contrast.difference.sd for contrast in contrasts)
    columns = (
        Column("Factor"),
        Column("Level"),
        Column("Cells", "cells of the grid with the level", True, "r", paper=False),
        Column("Mean loss", f"over seed blocks{_with_interval(analysis, data)}", True, "r"),
        *_contrast_columns(_with_interval(analysis, data), "the levels of all factors"),
    )
    rows, previous = [], None
    for row in analysis.levels:
        cells = (
            Cell(row.factor),
            Cell(row.level),
            Cell(str(len(row.variants)), order=len(row.variants)),
            _mean_cell(row, decimals),
            *_contrast_cells(row.contrast, finer),
        )
        gap = previous not in (None, row.factor)
        rows.append(Row(cells, gap=gap, runs=analysis.run_keys(row.variants)))
        previous = row.factor
    return Table(
        f"level_means{analysis.name}",
        _level_caption(analysis, data, contrasts),
        columns,
        tuple(rows),
        pd.DataFrame([_level_numbers(row) for row in analysis.levels]),
        bar_limit([contrast.difference for contrast in contrasts]),
        named_by=2,
    )


def _level_caption(analysis: GridEffects, data: Effects, contrasts: Sequence[Contrast]) -> str:
    caution = (
        "Interactions may not be negligible: these means may be over unlike effects. "
        if analysis.interacting(1 - data.confidence)
        else ""
    )
    if len(analysis.seeds) > 1:
        mean = "its cells at each seed, then over the seeds, with the "
        mean += f"{_interval(analysis, data)} over these blocks"
        tests = "; intervals not adjusted"
    else:
        mean, tests = "its cells, of one run each", ""
    if any(math.isfinite(contrast.holm_p) for contrast in contrasts):
        family = counted(len(contrasts), "difference")
        tests = f"; Holm p over {family} of this table, intervals not adjusted"
    return (
        f"Mean loss in nats/token by level: mean over {mean}. Difference: to the level that the "
        "baseline has (the first where that is not in the grid), paired by "
        f"seed{tests}. {caution}{scope_caption(analysis, data)}"
    )


def _interval(analysis: GridEffects, data: Effects) -> str:
    n = len(analysis.seeds)
    return f"{percent(data.confidence)} t interval (n = {n}, df = {n - 1})"


def _level_numbers(row: LevelMean) -> dict[str, object]:
    return {
        "factor": row.factor,
        "level": row.level,
        "cells": len(row.variants),
        "n": row.loss.n,
        "mean": row.loss.mean,
        "low": row.low,
        "high": row.high,
        "sd_of_seed_blocks": row.loss.sd,
        **_contrast_numbers(row.contrast),
    }


def _simple_table(analysis: GridEffects, data: Effects) -> Table:
    decimals = decimals_of(contrast.difference.sd for contrast in analysis.simple)
    columns = (
        Column("Factor"),
        Column("Within", "levels of the factors that it interacts with"),
        Column("Level", "against the reference"),
        *_contrast_columns(_with_interval(analysis, data), "the contrasts of this table"),
    )
    rows, previous = [], None
    for contrast in analysis.simple:
        cells = (
            Cell(contrast.factor),
            Cell(contrast.within),
            Cell(f"{contrast.level} against {contrast.reference}"),
            *_contrast_cells(contrast, decimals),
        )
        gap = previous not in (None, contrast.factor)
        rows.append(Row(cells, gap=gap, runs=analysis.run_keys(contrast.variants)))
        previous = contrast.factor
    names = [{"factor": c.factor, "within": c.within, "level": c.level} for c in analysis.simple]
    numbers = [
        {**named, **_contrast_numbers(contrast)}
        for named, contrast in zip(names, analysis.simple, strict=True)
    ]
    return Table(
        f"simple_effects{analysis.name}",
        _simple_caption(analysis, data),
        columns,
        tuple(rows),
        pd.DataFrame(numbers),
        bar_limit([contrast.difference for contrast in analysis.simple]),
        named_by=3,
    )


def _simple_caption(analysis: GridEffects, data: Effects) -> str:
    terms = [analysis.term_label(t) for t in analysis.interacting(1 - data.confidence)]
    return (
        "Simple effects, in nats/token, of factors whose interaction may not be negligible "
        f"({any_of(terms, 'and')}): each level against the one of the baseline (the first where "
        "that is not in the grid), within each combination of the factors that it interacts with, "
        f"mean over the other cells, paired by seed, with the {_interval(analysis, data)}, which "
        f"is not adjusted; Holm p over {counted(len(analysis.simple), 'row')}. "
        f"{scope_caption(analysis, data)}"
    )


def _with_interval(analysis: GridEffects, data: Effects) -> str:
    """What stands beside a mean; nothing with one seed."""
    return f", with its {percent(data.confidence)} t interval" if len(analysis.seeds) > 1 else ""


def _contrast_columns(interval: str, family: str) -> tuple[Column, ...]:
    return (
        Column("Difference", f"paired by seed{interval}", True, "r"),
        Column("p", "of the paired t test, not adjusted", True, "r", paper=False),
        Column("Holm p", f"adjusted over {family}", True, "r"),
        Column("Detectable", "smallest difference, 80% power, Holm's first step", True, "r", False),
    )


def _mean_cell(row: LevelMean, decimals: int) -> Cell:
    mean = number(row.loss.mean, decimals)
    if row.loss.n < 2:
        return Cell(mean, order=row.loss.mean)
    low, high = number(row.low, decimals), number(row.high, decimals)
    tex = f"${mean}$ $[{low},\\,{high}]$".replace("−", "-")
    return Cell(mean, order=row.loss.mean, detail=f"[{low}, {high}]", tex=tex)


def _contrast_cells(contrast: Contrast | None, decimals: int) -> tuple[Cell, ...]:
    """Difference, p, adjusted p and smallest detectable difference."""
    if contrast is None:
        return (Cell("reference", order=0.0), *(Cell("", order=math.nan),) * 3)
    detectable = contrast.detectable
    return (
        difference_cell(contrast.difference, decimals),
        p_cell(contrast.p),
        p_cell(contrast.holm_p),
        Cell(f"{detectable:.2g}" if math.isfinite(detectable) else ABSENT, order=detectable),
    )


def _contrast_numbers(contrast: Contrast | None) -> dict[str, object]:
    if contrast is None:
        return {}
    difference = contrast.difference
    return {
        "reference": contrast.reference,
        "pairs": difference.n,
        "difference_mean": difference.mean,
        "difference_sd": difference.sd,
        "difference_low": difference.low,
        "difference_high": difference.high,
        "p": contrast.p,
        "holm_p": contrast.holm_p,
        "smallest_detectable_difference": contrast.detectable,
    }
