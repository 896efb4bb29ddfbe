"""The search of nuisance keys: losses by setting, what was chosen, sensitivity to the rate."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd

from reports.analysis.search_results import SearchResults, VariantSearch, collect
from reports.exhibits import Cell, Column, Exhibits, Row, Table
from reports.figures.search_curves import search_figure
from reports.references import mark
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
from studies.methods import STATISTICS
from studies.records import Outcome

PRUNED_MARK = OUTCOME_MARKS[Outcome.PRUNED]
"""Behind a loss of partial runs."""
PROVISIONAL_MARK = "°"
"""Behind a number of a search that has not ended."""


def render(data: SearchResults) -> Exhibits:
    """A table, the figure, and what they say."""
    figure = search_figure(data)
    return Exhibits(
        sentences=_sentences(data),
        tables=(_table(data),),
        figures=(figure,) if figure else (),
        methods=("sensitivity",) if data.tried else (),
    )


def _sentences(data: SearchResults) -> tuple[str, ...]:
    keys = any_of([factor_label(key) for key in data.keys], "and")
    how = "a sweep" if data.is_sweep else f"Optuna's sampler {data.kind}"
    seeds = "one search seed" if data.seeds == 1 else f"{data.seeds} search seeds"
    found = [
        f"Searched for each variant: {keys}, by {how}, {_trials(data)} on {seeds} that no compared "
        "run uses."
    ]
    waiting = [row.label for row in data.rows if row.choice is None]
    if waiting:
        found.append(
            f"Still searching for {len(waiting)} of {len(data.rows)} variants: their l*"
            f"{' and S' if data.tried else ''} may change."
        )
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
            f"Every trial of {any_of(partial, 'and')} was pruned or trained to no avail: what was "
            "chosen goes by partial runs."
        )
    hopeless = [row.label for row in data.rows if row.choice and row.diverged == row.runs > 0]
    if hopeless:
        found.append(
            f"Every run of the search of {any_of(hopeless, 'and')} diverged: there was nothing to "
            "choose by."
        )
    return tuple(found)


def _trials(data: SearchResults) -> str:
    """How many trials a variant had, or has had so far."""
    each = [row.ended if data.searching else row.trials for row in data.rows]
    count = str(min(each)) if len(set(each)) == 1 else f"{min(each)} to {max(each)}"
    if data.searching:
        return f"{count} of {max(row.in_all for row in data.rows)} trials so far"
    return f"{count} {'trial' if count == '1' else 'trials'}"


def _table(data: SearchResults) -> Table:
    spreads = [row.lowest for row in data.rows if math.isfinite(row.lowest)]
    decimals = decimals_for(float(np.std(spreads)) if len(spreads) > 1 else math.nan)
    columns = [
        Column("Variant", "levels of the factors"),
        *(Column(factor_label(key), "what the search chose", True, "r") for key in data.keys),
        Column("l*", "lowest mean loss of the search, nats/token", True, "r"),
    ]
    if data.tried:
        help_ = "mean over the learning rates of min(loss, l0), less the lowest; read it with l*"
        columns.append(Column("S", help_, True, "r"))
    columns += [
        Column("Trials", "settings tried, each on every search seed", True, "r"),
        Column("Diverged", "runs of the search", True, "r"),
    ]
    if _prunes(data):
        columns.append(Column("Pruned", "runs of the search", True, "r"))
    rows = tuple(Row(_cells(row, data, decimals), runs=row.run_keys) for row in data.rows)
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
            f"less the lowest of them{mark(STATISTICS['sensitivity'].cite)}, equally weighted as "
            f"they were tried{_left_out(data)}. A low S beside a high l* is a variant that fails "
            "at every rate."
        )
    if any(map(_is_marked, data.rows)):
        parts.append(f"{PROVISIONAL_MARK} So far: the search of the variant has not ended.")
    if _prunes(data):
        parts.append(
            "Pruned runs were ended early: a trial with one is not chosen while another trained to "
            "its end, and its last losses are no part of l*, unless no other did"
            f" ({PRUNED_MARK}){'; S is not known' if data.tried else ''}."
        )
    if any(row.choice and row.choice.edges for row in data.rows):
        parts.append(f"{EDGE_MARK} At the edge of what was tried.")
    return " ".join([*parts, counts_caption(data.outcomes, searching=data.searching)])


def _left_out(data: SearchResults) -> str:
    """The rates that S is not of."""
    if not data.beyond:
        return ""
    others = any_of([factor_label(key) for key in data.keys if key != data.axis], "and")
    rates = "rate" if data.beyond == 1 else "rates"
    return f"; {data.beyond} further {rates}, tried at one setting of {others} alone, left out"


def _cells(row: VariantSearch, data: SearchResults, decimals: int) -> tuple[Cell, ...]:
    return (
        Cell(row.label, swatch=row.color),
        *(_chosen(row, key) for key in data.keys),
        Cell(
            number(row.lowest, decimals) + _partial_mark(row) + _provisional_mark(row, row.lowest),
            order=row.lowest,
        ),
        *((_sensitivity(row, decimals),) if data.tried else ()),
        Cell(
            f"{row.ended} of {row.in_all}" if row.is_provisional else str(row.trials),
            order=row.ended if row.is_provisional else row.trials,
        ),
        Cell(f"{row.diverged}/{row.runs}", order=row.diverged),
        *((Cell(f"{row.pruned}/{row.runs}", order=row.pruned),) if _prunes(data) else ()),
    )


def _sensitivity(row: VariantSearch, decimals: int) -> Cell:
    spread = [f"{value:.{decimals}f}" for value in row.by_seed]
    detail = f"by seed {', '.join(spread)}" if len(spread) > 1 else ""
    text = number(row.sensitivity, decimals) + _provisional_mark(row, row.sensitivity)
    return Cell(text, order=row.sensitivity, detail=detail)


def _prunes(data: SearchResults) -> bool:
    return any(row.pruned for row in data.rows)


def _partial_mark(row: VariantSearch) -> str:
    return PRUNED_MARK if row.choice and row.choice.pruned else ""


def _is_marked(row: VariantSearch) -> bool:
    return any(_provisional_mark(row, value) for value in (row.lowest, row.sensitivity))


def _provisional_mark(row: VariantSearch, value: float) -> str:
    return PROVISIONAL_MARK if row.is_provisional and math.isfinite(value) else ""


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
        "trials_ended": row.ended,
        "trials_in_all": row.in_all,
        "provisional": row.is_provisional,
        "runs": row.runs,
        "diverged": row.diverged,
        "pruned": row.pruned,
        "chosen_of_pruned": bool(row.choice and row.choice.pruned),
    }


SECTION = Section("Search", collect, render, absent="", whole=True)
