"""The columns of the main table, in the order in which they are read, and their cells."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

from reports.analysis.comparison import Comparison, VariantRow
from reports.analysis.statistics import LEAST_FLIPS, PairedDifference, Summary
from reports.exhibits import Cell, Column
from reports.sections.main_table.cells import (
    causal_cell,
    chosen_cell,
    completed_cell,
    count_cell,
    difference_cell,
    diverged_cell,
    flip_cell,
    holm_cell,
    loss_cell,
    name_cell,
    number_cell,
    reading_cell,
    shared_cell,
    speed_cell,
    speed_decimals,
    summary_cell,
    win_cell,
)
from reports.words import decimals_of, factor_label, percent, settings_text, spread_column


class Entry(NamedTuple):
    """A column, and what stands in it for a variant."""

    column: Column
    cell: Callable[[VariantRow], Cell]


def entries(data: Comparison, decimals: int) -> tuple[Entry, ...]:
    """All columns: first what a paper shows and a reader looks at, wide ones and costs last."""
    found = [*result_entries(data, decimals)]
    if data.tuned:
        found += _search_entries(data, decimals)
    if any(row.bits_per_byte.n for row in data.rows):
        told = "final loss by bytes of text, which compares tokenisers"
        found.append(_mean_entry(data, "Bits/byte", told, lambda r: r.bits_per_byte, decimals))
    if data.early:
        told = f"validation loss {data.early}, nats/token"
        found.append(_mean_entry(data, "Early loss", told, lambda row: row.early, decimals))
    if any(row.loss.n >= LEAST_FLIPS for row in data.rows):
        help_ = "exact two-sided paired test by sign flips, not adjusted"
        found.append(Entry(_number_column("Sign-flip p", help_), flip_cell))
    found.append(
        Entry(
            _number_column("Diverged", "of the runs that ended, with the exact interval"),
            lambda row: diverged_cell(row, data.confidence),
        )
    )
    causal = Column("Causal", "whether no later token leaks into an earlier one", paper=False)
    found.append(Entry(causal, causal_cell))
    return (*found, *_cost_entries(data))


def result_entries(data: Comparison, decimals: int) -> tuple[Entry, ...]:
    """The variant, its loss, and how it stands to the baseline."""
    level = percent(data.confidence)
    finer = decimals_of_differences(data, decimals)
    sds = [row.loss.sd for row in data.rows]
    several = any(row.loss.n > 1 for row in data.rows)
    loss = "validation loss at the last step, nats/token: mean over completed runs"
    loss += ", SD over seeds" * several
    difference = "mean difference, paired by seed"
    if any(row.difference and row.difference.n > 1 for row in data.rows):
        difference += f", with its {level} t interval, not corrected"
    holm = "paired t test, adjusted by Holm for all comparisons with the baseline"
    win = f"share of seeds in which the variant has the lower loss, with its exact {level} interval"
    name = "levels of the factors; the dot is the variant's colour in the figures"
    return (
        Entry(Column("Variant", name), name_cell),
        Entry(
            Column("Final loss", loss, True, spread_column(sds, decimals)),
            lambda row: loss_cell(row, decimals),
        ),
        Entry(
            Column("Difference to baseline", difference, True, "r"),
            lambda row: difference_cell(row, finer),
        ),
        Entry(Column("Holm p", holm, True, "r"), holm_cell),
        Entry(Column("P(win)", win, True, "r"), win_cell),
        Entry(
            Column("Reading", "what these numbers allow to say", paper=False),
            lambda row: reading_cell(row, decimals),
        ),
        Entry(
            Column("Completed", "completed of planned runs; one mark per seed", False, "l"),
            completed_cell,
        ),
    )


def decimals_of_differences(data: Comparison, decimals: int) -> int:
    """At least those of losses; more where pairing by seed takes most of the spread away."""
    return _finer([row.difference for row in data.rows], decimals)


def _finer(differences: Sequence[PairedDifference | None], decimals: int) -> int:
    sds = [difference.sd for difference in differences if difference and difference.sd > 0]
    return max(decimals, decimals_of(sds)) if sds else decimals


def _search_entries(data: Comparison, decimals: int) -> list[Entry]:
    shared = settings_text(data.shared_settings)
    finer = _finer([row.shared_difference for row in data.rows], decimals)
    keys = ", ".join(factor_label(key) for key in data.shared_settings)
    chosen = Column(
        f"Chosen {keys}" if len(data.shared_settings) > 1 else "Chosen",
        "values that the search chose on seeds of its own; * at the edge",
        paper=False,
    )
    at_shared = f"final loss, and its difference to the baseline, with every variant at {shared}"
    found = [
        Entry(chosen, chosen_cell),
        Entry(
            _number_column("At shared values", at_shared),
            lambda row: shared_cell(row, decimals, finer),
        ),
        Entry(
            _number_column("l*", "lowest mean loss of the search, nats/token"),
            lambda row: number_cell(row.search.lowest if row.search else math.nan, decimals),
        ),
    ]
    if data.rates:
        help_ = "mean over the learning rates of min(loss, l0), less the lowest; read it with l*"
        found.append(
            Entry(
                _number_column("S", help_),
                lambda row: number_cell(
                    row.search.sensitivity if row.search else math.nan, decimals
                ),
            )
        )
    return found


def _cost_entries(data: Comparison) -> tuple[Entry, ...]:
    where = "all on one machine" if data.machines < 2 else f"on {data.machines} machines"
    speed = f"training steps, median over completed runs, {where}"
    decimals = speed_decimals(data.rows)
    return (
        _count_entry(
            data, "Parameters", "trainable, shared ones once", lambda r: r.cost.parameters
        ),
        _count_entry(
            data,
            "Non-embedding",
            "of the parameters, without token and position embeddings",
            lambda row: row.cost.non_embedding,
        ),
        _count_entry(
            data,
            "FLOPs/token",
            "forward and backward; matrix products and attention scores",
            lambda row: row.cost.flops_per_token,
        ),
        Entry(_number_column("Steps/s", speed), lambda row: speed_cell(row, decimals)),
    )


def _mean_entry(
    data: Comparison,
    heading: str,
    help_: str,
    summary: Callable[[VariantRow], Summary],
    decimals: int,
) -> Entry:
    found = [summary(row) for row in data.rows]
    spread = ", SD over seeds" * any(one.n > 1 for one in found)
    kind = spread_column([one.sd for one in found], decimals)
    column = Column(heading, f"{help_}: mean{spread}", True, kind, paper=False)
    return Entry(column, lambda row: summary_cell(summary(row), decimals))


def _number_column(heading: str, help_: str) -> Column:
    return Column(heading, help_, numeric=True, tex="r", paper=False)


def _count_entry(
    data: Comparison, heading: str, help_: str, value: Callable[[VariantRow], float]
) -> Entry:
    whole = max((len(f"{value(row):.0f}") for row in data.rows), default=1)
    column = Column(heading, help_, True, f"S[table-format={whole}.0]", paper=False)
    return Entry(column, lambda row: count_cell(value(row)))
