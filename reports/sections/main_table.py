"""The main table: what each variant reached, how sure that is, and what it cost."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd

from reports.analysis.comparison import Comparison, VariantRow, compare
from reports.analysis.statistics import PairedDifference
from reports.exhibits import Cell, Column, Exhibits, IntervalBar, Row, Table
from reports.sections.base import Section
from reports.sections.main_table_words import caption, sentences
from reports.words import (
    ABSENT,
    EDGE_MARK,
    LEAK_MARKS,
    decimals_for,
    factor_label,
    grouped,
    leaf,
    number,
    outcome_text,
    plain_value,
    settings_text,
)
from studies.records import Outcome


def render(data: Comparison) -> Exhibits:
    """The table, and the sentences that its numbers allow."""
    spreads = [row.loss.sd for row in data.rows if math.isfinite(row.loss.sd)]
    decimals = decimals_for(float(np.median(spreads)) if spreads else math.nan)
    table = Table(
        name="main",
        caption=caption(data),
        columns=_columns(data, decimals),
        rows=tuple(
            Row(_cells(row, decimals, data.confidence), gap=row.starts_group) for row in data.rows
        ),
        data=pd.DataFrame([_numbers(row) for row in data.rows]),
        bar_limit=_bar_limit(data),
    )
    return Exhibits(sentences=sentences(data, decimals), tables=(table,), methods=_methods(data))


def _methods(data: Comparison) -> tuple[str, ...]:
    """What the intervals were made by, those that are shown."""
    found = ["paired-t"] if any(r.difference and r.difference.n > 1 for r in data.rows) else []
    if data.outcomes[Outcome.DIVERGED]:
        found.append("clopper-pearson")
    return tuple(found)


def _columns(data: Comparison, decimals: int) -> tuple[Column, ...]:
    level = f"{data.confidence:.0%}"
    sds = [row.loss.sd for row in data.rows if math.isfinite(row.loss.sd)]
    digits = len(str(round(max(sds, default=0.0) * 10**decimals)))
    whole = max((len(f"{row.parameters:.0f}") for row in data.rows), default=1)
    speed = max((len(f"{row.tokens_per_s:.0f}") for row in data.rows), default=1)
    columns = (
        Column("Variant", "levels of the factors; the dot is the variant's colour in the figures"),
        Column(
            "Final loss",
            "validation loss at the last step, nats/token: mean over completed runs, SD over seeds",
            True,
            f"S[table-format=1.{decimals}({digits})]",
        ),
        Column("n", "completed runs behind the mean", True, "r"),
        Column(
            "Difference to baseline",
            f"mean difference, paired by seed, with its {level} t interval",
            True,
            "r",
        ),
        Column("Completed", "completed of planned runs; one mark per seed", False, "l"),
        Column("Parameters", "trainable, shared ones once", True, f"S[table-format={whole}.0]"),
        Column(
            "Tokens/s", "training throughput, median over runs", True, f"S[table-format={speed}.0]"
        ),
    )
    return (*columns[:4], *_search_columns(data), *columns[4:]) if data.tuned else columns


def _search_columns(data: Comparison) -> tuple[Column, Column]:
    shared = settings_text(data.shared_settings)
    keys = ", ".join(factor_label(key) for key in data.shared_settings)
    return (
        Column(
            f"Chosen {keys}" if len(data.shared_settings) > 1 else "Chosen",
            "values that the search chose on seeds of its own; * at the edge",
            tex="l",
        ),
        Column(
            "At shared values",
            f"final loss, and its difference to the baseline, with every variant at {shared}",
            True,
            "r",
        ),
    )


def _cells(row: VariantRow, decimals: int, confidence: float) -> tuple[Cell, ...]:
    mean = number(row.loss.mean, decimals)
    searched = (_chosen_cell(row), _shared_cell(row, decimals)) if row.shared else ()
    return (
        Cell(
            row.label + LEAK_MARKS[row.leak],
            order=row.label,
            swatch=row.color,
            strong=row.strong,
            detail=row.variant if row.variant != row.label else "",
        ),
        Cell(
            mean,
            order=row.loss.mean,
            tex=_tex_estimate(row, decimals),
            detail=f"SD {number(row.loss.sd, decimals)}" if row.loss.n > 1 else "",
            strong=row.strong,
        ),
        Cell(str(row.loss.n), order=row.loss.n),
        _difference_cell(row, decimals),
        *searched,
        _outcome_cell(row, confidence),
        _count(row.parameters),
        _count(row.tokens_per_s),
    )


def _chosen_cell(row: VariantRow) -> Cell:
    if row.chosen is None:
        return Cell(ABSENT, order=math.nan)
    values = [
        plain_value(value) + (EDGE_MARK if key in row.chosen.edges else "")
        for key, value in row.chosen.settings.items()
    ]
    first = next(iter(row.chosen.settings.values()))
    order = float(first) if isinstance(first, int | float) else str(first)
    return Cell(", ".join(values), order=order)


def _shared_cell(row: VariantRow, decimals: int) -> Cell:
    assert row.shared is not None
    loss, difference = row.shared, row.shared_difference
    text = number(loss.mean, decimals)
    if loss.n > 1:
        text += f" ({number(loss.sd, decimals)})"
    detail = ""
    if difference is not None and difference.n:
        detail = number(difference.mean, decimals, sign=True)
        if difference.n > 1:
            low, high = (number(x, decimals, sign=True) for x in (difference.low, difference.high))
            detail += f" [{low}, {high}]"
    return Cell(text, order=loss.mean, detail=detail)


def _tex_estimate(row: VariantRow, decimals: int) -> str | None:
    if not math.isfinite(row.loss.mean):
        return None
    sd = row.loss.sd
    uncertainty = f"({round(sd * 10**decimals)})" if math.isfinite(sd) else ""
    return f"{row.loss.mean:.{decimals}f}{uncertainty}"


def _count(value: float) -> Cell:
    tex = f"{value:.0f}" if math.isfinite(value) else None
    return Cell(grouped(value), order=value, tex=tex)


def _difference_cell(row: VariantRow, decimals: int) -> Cell:
    difference = row.difference
    if difference is None:
        return Cell("baseline", order=0.0, tex="baseline")
    if not difference.n:
        return Cell(ABSENT, order=math.nan)
    mean = number(difference.mean, decimals, sign=True)
    if difference.n < 2:
        return Cell(mean, order=difference.mean, detail="one seed: no interval")
    low, high = (number(x, decimals, sign=True) for x in (difference.low, difference.high))
    pairs = f", {difference.n} pairs" if difference.n != row.loss.n else ""
    return Cell(
        mean,
        order=difference.mean,
        detail=f"[{low}, {high}]{pairs}",
        tex=f"${_tex(mean)}$ $[{_tex(low)},\\,{_tex(high)}]$",
        bar=IntervalBar(difference.low, difference.mean, difference.high),
    )


def _tex(signed: str) -> str:
    return signed.replace("−", "-")


def _outcome_cell(row: VariantRow, confidence: float) -> Cell:
    detail = ""
    if row.outcomes[Outcome.DIVERGED]:
        share = row.diverged
        interval = f"[{share.low:.0%},\xa0{share.high:.0%}]"  # stays in one line
        detail = f"diverged {share.estimate:.0%} {interval}"
    order = row.outcomes[Outcome.COMPLETED] / max(1, sum(row.outcomes.values()))
    return Cell(outcome_text(row.outcomes), order=order, detail=detail, marks=row.marks)


def _bar_limit(data: Comparison) -> float:
    """Scale of the interval bars; a few very wide intervals run off it, with an arrow."""
    known = [row.difference for row in data.rows if row.difference and row.difference.n > 1]
    if not known:
        return 0.0
    half_widths = [d.high - d.mean for d in known]
    return float(max(abs(d.mean) for d in known) + np.median(half_widths)) or 1.0


def _numbers(row: VariantRow) -> dict[str, object]:
    """The row of the CSV: every number behind the displayed ones, in full."""
    nothing = PairedDifference(0, math.nan, math.nan, math.nan, math.nan)
    chosen = row.chosen.settings if row.chosen else {}
    shared = row.shared_difference or nothing
    searched = (
        {
            **{f"chosen_{leaf(key)}": value for key, value in chosen.items()},
            "at_edge": " ".join(sorted(leaf(key) for key in row.chosen.edges))
            if row.chosen
            else "",
            "shared_loss_mean": row.shared.mean,
            "shared_loss_sd": row.shared.sd,
            "shared_n": row.shared.n,
            "shared_difference_mean": shared.mean,
            "shared_difference_low": shared.low,
            "shared_difference_high": shared.high,
        }
        if row.shared
        else {}
    )
    baseline, best = row.difference or nothing, row.to_best or nothing
    return {
        "variant": row.variant,
        "label": row.label,
        "leak": row.leak.value if row.leak else "",
        "parameters": row.parameters,
        "n": row.loss.n,
        "final_loss_mean": row.loss.mean,
        "final_loss_sd": row.loss.sd,
        "final_loss_standard_error": row.loss.standard_error,
        "pairs_with_baseline": baseline.n,
        "difference_mean": baseline.mean,
        "difference_sd": baseline.sd,
        "difference_low": baseline.low,
        "difference_high": baseline.high,
        "smallest_detectable_difference": row.detectable,
        "difference_to_best_mean": best.mean,
        "difference_to_best_low": best.low,
        "difference_to_best_high": best.high,
        "ranked": row.ranked,
        "bold": row.strong,
        **{outcome.value: row.outcomes[outcome] for outcome in Outcome},
        "diverged_share_low": row.diverged.low,
        "diverged_share_high": row.diverged.high,
        "tokens_per_s_median": row.tokens_per_s,
        **searched,
    }


SECTION = Section("Final loss", compare, render, absent="", whole=True)
