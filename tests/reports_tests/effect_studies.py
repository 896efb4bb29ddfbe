"""Finished studies of a grid, with losses by formula and with other fates of single runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from reports.results.assembly import assemble
from reports.results.frame import StudyResults
from studies.digests import EVALUATION_DATA
from studies.metrics import DIVERGED_AT_STEP, FINAL_LOSS, INITIAL_LOSS
from studies.records import Leak, Outcome
from tests.reports_tests.conftest import GRID
from tests.reports_tests.searched import searched

Fates = Mapping[tuple[str, int], Outcome]
"""(variant, seed) to outcome of the runs that did not complete."""
SMALL = {"model.activation": ("relu", "gelu", "silu"), "model.norm": ("rms", "layer")}


def noisy(noise: float = 0.01, **effects: float) -> Callable[[str, Any, int], float]:
    """Final losses: 2 plus the effect of each part of a variant's name, and noise of its own."""

    def loss(variant: str, _: object, seed: int) -> float:
        random = np.random.default_rng([seed, *variant.encode()])
        parts = [
            effects.get(part, 0.0) for part in (*variant.split("-"), variant.replace("-", "_"))
        ]
        return float(2.0 + 0.05 * seed + sum(parts) + random.normal(0, noise))

    return loss


def study(
    loss: Callable[[str, Any, int], float] | None = None,
    fates: Fates | None = None,
    leaks: Mapping[str, Leak] | None = None,
    texts: Mapping[str, str] | None = None,
    initial: bool = True,
    **raw: Any,
) -> StudyResults:
    """A study of SMALL at 5 seeds, unless told otherwise.

    Args:
        loss: of a variant, its settings and its seed.
        fates: runs that did not complete.
        leaks: label by variant, where it is not causal.
        texts: digest of the evaluation set by variant.
        initial: whether runs recorded their loss at initialisation.
        raw: sections of the study file.
    """
    whole = searched(loss or noisy(), **{"factors": SMALL, "seeds": 5, **raw})
    records = {}
    for key, record in whole.records.items():
        outcome = (fates or {}).get((record.variant, record.seed), Outcome.COMPLETED)
        if outcome is Outcome.MISSING:
            continue
        summary = dict(record.summary)
        if not initial:
            summary.pop(INITIAL_LOSS)
        if outcome is not Outcome.COMPLETED:
            summary.pop(FINAL_LOSS)
        if outcome is Outcome.DIVERGED:
            summary[DIVERGED_AT_STEP] = 10.0 * (record.seed + 1)
        changed = {
            "outcome": outcome,
            "summary": summary,
            "leak": (leaks or {}).get(record.variant, record.leak),
            "digests": {EVALUATION_DATA: (texts or {}).get(record.variant, "one")},
        }
        records[key] = record.model_copy(update=changed)
    return assemble(whole.plan, records, {})


def default_grid(**arguments: Any) -> StudyResults:
    """The 28 cells of the default grid."""
    return study(**{"factors": GRID, **arguments})
