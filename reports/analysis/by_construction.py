"""Which curves follow from how a variant is built: per layer, and in words for captions."""

from __future__ import annotations

import pandas as pd

from reports.results.frame import StudyResults
from reports.words import any_of, level_label, tap_label
from studies.metrics import ByConstruction
from studies.plan import Cell


def fixed_notes(results: StudyResults, family: str, cells: pd.DataFrame) -> list[str]:
    """Why each row (variant, tap, layer) is fixed by construction; empty where it is not."""
    metric = results.definition(family)
    configurations = {cell.variant: cell.configuration for cell in results.plan.cells}
    rows = zip(cells["variant"], cells["tap"], cells["layer"], strict=True)
    return [metric.fixed(tap, layer, configurations[v]) or "" for v, tap, layer in rows]


def foregone(cells: pd.DataFrame) -> str:
    """What all cells (least, most, fixed) are, if they show nothing of training; else empty.

    "0" in every run, "fixed by construction", or "0 or fixed by construction".
    """
    zero = (cells["least"] == 0) & (cells["most"] == 0)
    fixed = cells["fixed"] != ""
    if not (zero | fixed).all():
        return ""
    return "0" if zero.all() else f"{'0 or ' if zero.any() else ''}fixed by construction"


def fixed_reasons(results: StudyResults, family: str, cells: pd.DataFrame) -> str:
    """What is fixed among these cells (variant, tap, layer, fixed), and why; may be empty."""
    fixed = cells[cells["fixed"] != ""]
    reasons = []
    for rule in results.definition(family).by_construction:
        shown = fixed[fixed["tap"].isin(rule.taps) & (fixed["fixed"] == rule.note)]
        if len(shown):
            reasons.append(f"{_where(results, rule, shown)} – {rule.note}.")
    return " ".join(reasons)


def _where(results: StudyResults, rule: ByConstruction, shown: pd.DataFrame) -> str:
    """Taps, first layer and levels: "Residual stream, from layer 1 on, with post and LayerNorm"."""
    taps = [tap_label(tap) for tap in rule.taps if tap in set(shown["tap"])]
    places = any_of([tap for tap in taps if tap != "block"], "and")
    layers = f"from layer {rule.first_index} on" if rule.first_index else ""
    variants = set(shown["variant"])
    cells = [cell for cell in results.plan.cells if cell.variant in variants]
    levels = _levels(results.plan.cells, cells, rule)
    where = ", ".join(part for part in (places, layers, levels) if part)
    return where[:1].upper() + where[1:]


def _levels(every: tuple[Cell, ...], cells: list[Cell], rule: ByConstruction) -> str:
    """The levels that set these cells apart, of the keys that the rule reads."""

    def values(key: str, among: tuple[Cell, ...] | list[Cell]) -> dict[str, None]:
        section, _, name = key.partition(".")
        return {level_label(key, cell.configuration[section][name]): None for cell in among}

    parts = [
        any_of(list(values(key, cells)), "or")
        for key in rule.when
        if values(key, cells) != values(key, every)
    ]
    return f"with {' and '.join(parts)}" if parts else "all variants"
