"""The sections of the report, in order; a new one is a file beside this and a line here."""

from __future__ import annotations

from typing import Any

from reports.sections import (
    compute,
    cost,
    effects,
    fairness,
    final_loss,
    hypotheses,
    layer_diagnostics,
    learning_curves,
    main_table,
    one_change,
    reproducibility,
    runs,
    search,
    stability,
    training_dynamics,
    unfinished_runs,
)
from reports.sections.base import Section
from studies.registry import Registry

SECTIONS: Registry[Section[Any]] = Registry(
    "report section",
    {
        "main": main_table.SECTION,
        "final-loss": final_loss.SECTION,
        "effects": effects.SECTION,
        "one-change": one_change.SECTION,
        "hypotheses": hypotheses.SECTION,
        "stability": stability.SECTION,
        "search": search.SECTION,
        "cost": cost.SECTION,
        "unfinished": unfinished_runs.SECTION,
        "learning-curves": learning_curves.SECTION,
        "training-dynamics": training_dynamics.SECTION,
        **layer_diagnostics.sections(),
        "fairness": fairness.SECTION,
        "compute": compute.SECTION,
        "reproducibility": reproducibility.SECTION,
        "runs": runs.SECTION,
    },
)
