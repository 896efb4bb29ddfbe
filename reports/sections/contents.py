"""The sections of the report, in order; a new one is a file beside this and a line here."""

from __future__ import annotations

from typing import Any

from reports.sections import (
    compute,
    cost,
    fairness,
    final_loss,
    layer_diagnostics,
    learning_curves,
    reproducibility,
    runs,
    samples,
    search,
    stability,
    training_dynamics,
    unfinished_runs,
)
from reports.sections.base import Section
from reports.sections.downstream import section as downstream
from reports.sections.effects import section as effects
from reports.sections.hypotheses import section as hypotheses
from reports.sections.main_table import section as main_table
from reports.sections.one_change import section as one_change
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
        "samples": samples.SECTION,
        "downstream": downstream.SECTION,
        "fairness": fairness.SECTION,
        "compute": compute.SECTION,
        "reproducibility": reproducibility.SECTION,
        "runs": runs.SECTION,
    },
)
