"""The search of nuisance keys: losses by setting, what was chosen, sensitivity to the rate."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd

from reports.exhibits import Cell, Column, Exhibits, Row, Table
from reports.search_curves import search_figure
from reports.search_results import SearchResults, VariantSearch, collect
from reports.sections.base import Section
from reports.words import (
    ABSENT,
    EDGE_MARK,
    OUTCOME_MARKS,
    any_of,
    counts_caption,
    decimals_for,
    factor_label,
    leaf,
    number,
    plain_value,
)
from studies.records import Outcome

PRUNED_MARK = OUTCOME_MARKS[Outcome.PRUNED]
"""Behind a loss of partial runs."""


def render(data: SearchResults) -> Exhibits:
    """A table, the figure, and what they say."""
    figure = search_figure(data)
    return Exhibits(
        sentences=_sentences(data),
        tables=(_table(data),),
        figures=(figure,) if figure else (),
    )


def _sentences(data: SearchResults) -> tuple[str, ...]:
    keys = any_of([factor_label(key) for key in data.keys], "and")
    each = {row.trials for row in data.rows}
    trials = f"{min(each)} trials" if len(each) == 1 else f"{min(each)} to {max(each)} trials"
    how = "a sweep" if data.is_sweep else f"Optuna's sampler {data.kind}"
    seeds = "one search seed" if data.seeds == 1 else f"{data.seeds} search seeds"
    found = [
        f"Searched for each variant: {keys}, by {how}, {trials} on {seeds} that no compared run "
        "uses."
    ]
    waiting = [row.label for row in data.rows if row.choice is None]
    if waiting:
        found.append(f"Still searching for {len(waiting)} of {len(data.rows)} variants.")
    edged = [row.label for row in data.rows if row.choice and row.choice.edges]
    if edged:
        shown = ", ".join(edged[:6]) + (f" and {len(edged) - 6} more" if len(edged) > 6 else "")
        found.append(
            f"The choice lies at the edge of what was tried for {shown}: the best value may lie "
            "beyond, and their results at chosen values may be too weak."
        )
    partial = [row.label for row in data.rows if row.choice and row.choice.pruned]
    if partial:
        found.append(
            f"Every trial was pruned of {', '.join(partial)}: the choice goes by partial runs."
        )
    return tuple(found)


def _table(data: SearchResults) -> Table:
    spreads = [row.lowest for row in data.rows if math.isfinite(row.lowest)]
    decimals = decimals_for(float(np.std(spreads)) if len(spreads) > 1 else math.nan)
    columns = [
        Column("Variant", "levels of the factors"),
        *(Column(factor_label(key), "what the search chose", True, "r") for key in data.keys),
        Column("l*", "lowest mean loss of the search, nats/token", True, "r"),
    ]
    if data.tried:
        help_ = "mean over the learning rates of min(loss, l0), less l*; read it with l*"
        columns.append(Column("S", help_, True, "r"))
    columns += [
        Column("Trials", "settings tried, each on every search seed", True, "r"),
        Column("Diverged", "runs of the search", True, "r"),
    ]
    if _prunes(data):
        columns.append(Column("Pruned", "runs of the search", True, "r"))
    rows = tuple(Row(_cells(row, data, decimals)) for row in data.rows)
    numbers = pd.DataFrame([_numbers(row, data) for row in data.rows])
    return Table("search", _caption(data), tuple(columns), rows, numbers)


def _caption(data: SearchResults) -> str:
    parts = [
        "The search by variant. l*: lowest mean over the search seeds of min(final loss, l0) in "
        "nats/token, where l0 is the loss at initialisation; a run that diverged counts as l0.",
    ]
    if data.tried:
        parts.append(
            f"S: learning-rate sensitivity, the mean over {data.tried} learning rates of that loss "
            "less l* (Wortsman et al. 2023), equally weighted as they were tried. A low S beside a "
            "high l* is a variant that fails at every rate."
        )
    if _prunes(data):
        parts.append(
            "Pruned runs were ended early: a trial with one is not chosen while another has none, "
            "and its last losses are no part of l*, unless every trial was pruned"
            f" ({PRUNED_MARK}){'; S is not known' if data.tried else ''}."
        )
    if any(row.choice and row.choice.edges for row in data.rows):
        parts.append(f"{EDGE_MARK} At the edge of what was tried.")
    return " ".join([*parts, counts_caption(data.outcomes)])


def _cells(row: VariantSearch, data: SearchResults, decimals: int) -> tuple[Cell, ...]:
    spread = [f"{value:.{decimals}f}" for value in row.by_seed]
    detail = f"by seed {', '.join(spread)}" if len(spread) > 1 else ""
    return (
        Cell(row.label, swatch=row.color),
        *(_chosen(row, key) for key in data.keys),
        Cell(number(row.lowest, decimals) + _partial_mark(row), order=row.lowest),
        *(
            (Cell(number(row.sensitivity, decimals), order=row.sensitivity, detail=detail),)
            if data.tried
            else ()
        ),
        Cell(str(row.trials), order=row.trials),
        Cell(f"{row.diverged}/{row.runs}", order=row.diverged),
        *((Cell(f"{row.pruned}/{row.runs}", order=row.pruned),) if _prunes(data) else ()),
    )


def _prunes(data: SearchResults) -> bool:
    return any(row.pruned for row in data.rows)


def _partial_mark(row: VariantSearch) -> str:
    return PRUNED_MARK if row.choice and row.choice.pruned else ""


def _chosen(row: VariantSearch, key: str) -> Cell:
    if row.choice is None:
        return Cell(ABSENT, order=math.nan)
    value = row.choice.settings[key]
    order = float(value) if isinstance(value, int | float) else str(value)
    return Cell(plain_value(value) + (EDGE_MARK if key in row.choice.edges else ""), order=order)


def _numbers(row: VariantSearch, data: SearchResults) -> dict[str, object]:
    chosen = row.choice.settings if row.choice else {}
    edges = row.choice.edges if row.choice else {}
    return {
        "variant": row.variant,
        "label": row.label,
        **{f"chosen_{leaf(key)}": chosen.get(key) for key in data.keys},
        **{f"edge_{leaf(key)}": edges.get(key, "") for key in data.keys},
        "lowest_loss": row.lowest,
        "initial_loss": row.initial,
        "sensitivity": row.sensitivity,
        **{f"sensitivity_seed_{index}": value for index, value in enumerate(row.by_seed)},
        "trials": row.trials,
        "runs": row.runs,
        "diverged": row.diverged,
        "pruned": row.pruned,
        "chosen_of_pruned": bool(row.choice and row.choice.pruned),
    }


SECTION = Section("Search", collect, render, absent="", whole=True)
