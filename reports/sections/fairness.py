"""The fairness ledger: what each variant was given and spent, and what is unequal."""

from __future__ import annotations

import math

import pandas as pd

from reports.analysis.fairness import Account, FairnessLedger, collect
from reports.exhibits import Cell, Column, Exhibits, Row, Table
from reports.sections.base import Section
from reports.sections.compute import spent_cell
from reports.sections.pairing_words import pairing_sentences
from reports.words import (
    ABSENT,
    EDGE_MARK,
    counts_caption,
    factor_label,
    grouped,
    leaf,
    number,
    outcome_text,
    uneven_text,
)

BEYOND_MARK = "§"
"""Behind a size that is beyond the protocol's tolerance."""


def render(data: FairnessLedger) -> Exhibits:
    """One table, and a sentence for each thing that is unequal."""
    columns = (
        Column("Variant", "levels of the factors"),
        Column("Parameters", "trainable; below, the deviation from the baseline", True, "r"),
        Column("MFLOP/token", "forward and backward", True, "r"),
        Column("Tokens", "training tokens of each run", True, "r"),
        Column("In all", "training tokens of all its runs, those of its search included; + where "
               "some did not tell", True, "r", paper=False),
        Column("Trials", "settings that its search tried; * where the choice is at an edge", True,
               "r"),
        Column("Hours", "wall time of all its runs and every attempt at them, those of its search "
               "included", True, "r"),
        Column("Peak GiB", "most memory of its runs", True, "r"),
        Column("Completed", "of its compared runs", False, "l"),
    )  # fmt: skip
    return Exhibits(
        sentences=tuple(_sentences(data)),
        tables=(
            Table(
                "fairness",
                _caption(data),
                columns,
                tuple(Row(_cells(account, data), runs=account.runs) for account in data.accounts),
                pd.DataFrame([_numbers(account, data) for account in data.accounts]),
            ),
        ),
    )


def _sentences(data: FairnessLedger) -> list[str]:
    found = []
    if data.unequal:
        found.append(data.unequal)
    else:
        found.append(f"Every variant has the same budget in {data.budget}.")
    if text := uneven_text(data.uneven_steps):
        found.append(text)
    found += _sizes(data)
    for key, tried in data.ranges.items():
        found.append(f"Tried of {factor_label(key)}, for every variant: {tried}.")
    trials = {account.trials for account in data.accounts}
    if len(trials) > 1:
        found.append("Searches do not have the same number of trials yet.")
    if data.pruned:
        found.append(
            f"{data.pruned} {'run was' if data.pruned == 1 else 'runs were'} pruned and spent less "
            "than the budget."
        )
    return [*found, *pairing_sentences(data.pairing)]


def _sizes(data: FairnessLedger) -> list[str]:
    """Whether sizes match, as far as they are known: a module of one's own may tell none."""
    protocol = data.protocol
    if protocol.match == "none":
        return ["The size of variants is not matched."]
    unknown = [account.label for account in data.accounts if account.size is None]
    if unknown and len(data.accounts) - len(unknown) < 2:
        return [f"Whether variants match in {_matched(data)} is not known."]
    found = []
    if data.mismatched:
        listed = ", ".join(f"{v} ({s.deviation:+.1%})" for v, s in data.mismatched.items())
        found.append(
            f"Not matched in {protocol.match} within {protocol.tolerance:.1%} of "
            f"{data.baseline}: {listed}."
        )
    else:
        which = "All other" if unknown else "All"
        found.append(
            f"{which} variants are within {protocol.tolerance:.1%} of the baseline in "
            f"{_matched(data)}."
        )
    if unknown:
        found.insert(0, f"Not known in {_matched(data)}: {', '.join(unknown)}.")
    return found


def _matched(data: FairnessLedger) -> str:
    return "FLOPs per token" if data.protocol.match == "flops" else "parameters"


def _caption(data: FairnessLedger) -> str:
    parts = ["What each variant was given and spent."]
    if data.search_seeds:
        seeds = "one seed" if data.search_seeds == 1 else f"{data.search_seeds} seeds"
        parts.append(f"Each trial ran on {seeds}.")
    if data.mismatched:
        parts.append(f"{BEYOND_MARK} Beyond the tolerance of the match.")
    if any(account.edges for account in data.accounts):
        parts.append(f"{EDGE_MARK} Choice at the edge of what was tried.")
    return " ".join([*parts, counts_caption(data.outcomes, searching=data.searching)])


def _cells(account: Account, data: FairnessLedger) -> tuple[Cell, ...]:
    size = account.size
    mark = BEYOND_MARK if size and not size.within else ""
    deviation = f"{size.deviation:+.2%}".replace("-", "−") if size else ""
    in_flops = data.protocol.match == "flops"
    flops = account.flops_per_token / 1e6
    return (
        Cell(account.label, swatch=account.color),
        Cell(
            grouped(account.parameters) + ("" if in_flops else mark),
            order=account.parameters,
            detail="" if in_flops else deviation,
        ),
        Cell(
            number(flops, 2) + (mark if in_flops else ""),
            order=flops,
            detail=deviation if in_flops else "",
        ),
        Cell(
            grouped(account.tokens) if math.isfinite(account.tokens) else ABSENT,
            order=account.tokens,
        ),
        spent_cell(account.tokens_in_all),
        Cell(f"{account.trials}{EDGE_MARK if account.edges else ''}", order=account.trials),
        _measured(account.wall_time_h),
        _measured(account.peak_memory_gib),
        Cell(outcome_text(account.outcomes), order=account.seeds),
    )


def _measured(value: float) -> Cell:
    return Cell(f"{value:.3g}" if math.isfinite(value) else ABSENT, order=value)


def _numbers(account: Account, data: FairnessLedger) -> dict[str, object]:
    size = account.size
    return {
        "variant": account.variant,
        "label": account.label,
        "parameters": account.parameters,
        "flops_per_token": account.flops_per_token,
        "match_deviation": size.deviation if size else math.nan,
        "within_tolerance": size.within if size else "",
        "training_tokens": account.tokens,
        "training_tokens_in_all": account.tokens_in_all.amount,
        "training_tokens_in_all_whole": account.tokens_in_all.whole,
        "trials": account.trials,
        "search_seeds": data.search_seeds,
        **{f"tried_{leaf(key)}": tried for key, tried in data.ranges.items()},
        "at_edge": ", ".join(map(factor_label, account.edges)),
        "wall_time_h": account.wall_time_h,
        "peak_memory_gib": account.peak_memory_gib,
        "seeds": account.seeds,
        **{outcome.value: count for outcome, count in account.outcomes.items()},
    }


SECTION = Section("Fairness", collect, render, absent="", whole=True)
