"""Cells that differ from the baseline in one factor: what that one change does to the loss."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from reports.analysis.comparison import Comparison, VariantRow, compare
from reports.results.frame import StudyResults
from reports.words import factor_label, level_label
from studies.plan import Cell, Plan


class Change(NamedTuple):
    """The one factor in which a cell differs from the baseline."""

    key: str
    text: str
    """From the baseline's level to the cell's: "LayerNorm → no norm"."""

    @property
    def factor(self) -> str:
        """What changed, for a reader."""
        return factor_label(self.key)


@dataclass(frozen=True)
class OneChange:
    """The baseline, and the changes by factor in the order of the study.

    Each is a row of the main table, with the p that it has there: a second p over fewer comparisons
    would leave the choice to who reads it.
    """

    baseline: VariantRow
    rows: tuple[tuple[Change, VariantRow], ...]
    comparison: Comparison


def collect(results: StudyResults) -> OneChange | None:
    """Every cell that is one change away from the baseline; None where there is none."""
    plan = results.plan
    changes = changes_of(plan)
    if not changes:
        return None
    comparison = compare(results)
    rows = {row.variant: row for row in comparison.rows}
    return OneChange(
        baseline=rows[plan.baseline],
        rows=tuple((change, rows[variant]) for variant, change in changes.items()),
        comparison=comparison,
    )


def changes_of(plan: Plan) -> dict[str, Change]:
    """Variant to its change, of those that differ from the baseline in exactly one factor.

    A factor that means nothing on one of the sides is no difference of its own: it comes with the
    change, and is named with it where it gets a meaning.
    """
    base = plan.cell(plan.baseline)
    order = {key: place for place, key in enumerate(base.levels)}
    found: dict[str, Change] = {}
    for cell in plan.cells:
        changed = [
            key
            for key, level in cell.levels.items()
            if level is not None and base.levels[key] is not None and level != base.levels[key]
        ]
        if len(changed) == 1:
            found[cell.variant] = Change(changed[0], _text(base, cell, changed[0]))
    return dict(sorted(found.items(), key=lambda item: order[item[1].key]))


def _text(base: Cell, cell: Cell, key: str) -> str:
    gained = [
        level_label(other, level)
        for other, level in cell.levels.items()
        if level is not None and base.levels[other] is None
    ]
    to = " · ".join([level_label(key, cell.levels[key]), *gained])
    return f"{level_label(key, base.levels[key])} → {to}"
