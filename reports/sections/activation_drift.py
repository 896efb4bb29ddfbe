"""Drift of the activations of the residual stream from their start, by depth and by step."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import pandas as pd

from reports.exhibits import Exhibits, Figure
from reports.frame import StudyResults
from reports.layer_maps import LayerMaps, collect_layer_maps, draw_layer_maps
from reports.line_panels import LinePanels, draw_lines, means_of, panel_notes
from reports.sections.base import Section
from reports.style import layout_of
from reports.words import counts_caption
from studies.records import Outcome

FAMILY, TAP = "activation_drift", "residual"
CAVEATS = (
    (
        "placement",
        {"post"},
        "Where the norm follows the residual sum (post), the scale of the stream is fixed by "
        "construction: compare variants of one placement.",
    ),
    (
        "norm",
        {"batch", "batch_position"},
        "Batch norm is seen with its running statistics, which start at 0 and 1: their warm-up is "
        "part of its drift.",
    ),
)
"""Model key, its levels, and what a reader must know where one of them is in the study."""
DEPTH = "residual stream before block (last: after the last block)"


@dataclass(frozen=True)
class ActivationDrift:
    """Drift at the last probe by depth, and at every probe."""

    profile: LinePanels
    maps: LayerMaps
    definition: str
    caveats: tuple[str, ...]
    """What follows from how some variants are built, and not from how they train."""
    outcomes: dict[Outcome, int]


def collect(results: StudyResults) -> ActivationDrift | None:
    """Normalised Bures drift to the start on the probe batch."""
    maps = collect_layer_maps(
        results, FAMILY, TAP, label="drift to start", layer_label="residual stream before block"
    )
    if maps is None:
        return None
    models = [cell.configuration["model"] for cell in results.plan.cells]
    return ActivationDrift(
        profile=_profile(results),
        maps=maps,
        definition=results.definition(FAMILY).definition,
        caveats=tuple(
            text for key, levels, text in CAVEATS if any(m[key] in levels for m in models)
        ),
        outcomes=results.outcomes(),
    )


def _profile(results: StudyResults) -> LinePanels:
    curves = results.layer_curves(FAMILY, TAP)
    done = curves[(curves["outcome"] == Outcome.COMPLETED) & (curves["value"] > 0)]
    last = done[done["step"] == done.groupby("run_key")["step"].transform("max")]
    lines = last.rename(columns={"layer": "x", "value": "y"}).sort_values(["run_key", "x"])
    lines = lines.assign(label=lines["variant"].map(results.labels))
    return LinePanels(
        x_label=DEPTH,
        y_label="activation drift to start",
        lines=lines,
        means=means_of(lines, geometric=True),
        crosses=pd.DataFrame(columns=["variant", "x", "y"]),
        layout=layout_of(results),
        notes=panel_notes(results),
        log_y=True,
        whole_x=True,
        marked=True,
    )


def render(data: ActivationDrift) -> Exhibits:
    """The profile by depth, and the maps by step."""
    what = " ".join((f"Activation drift: {data.definition}.", *data.caveats))
    counts = counts_caption(data.outcomes)
    rows = data.profile.lines[["variant", "label", "seed", "step", "x", "y"]]
    rows = rows.rename(columns={"x": "layer", "y": "drift"})
    profile = Figure(
        "activation_drift_by_depth",
        f"{what} At the last probe; thin: each completed run, thick: geometric mean. {counts}",
        rows,
        partial(draw_lines, data.profile),
    )
    crosses = "Crosses: where runs diverged. " if data.outcomes[Outcome.DIVERGED] else ""
    maps = Figure(
        "activation_drift_by_step",
        f"Activation drift by depth and step; geometric mean over the runs that are still alive, "
        f"one logarithmic colour scale for all variants. {crosses}{counts}",
        data.maps.means,
        partial(draw_layer_maps, data.maps),
    )
    return Exhibits(figures=(profile, maps))


SECTION = Section("Activation drift", collect, render, absent="Activation drift was not recorded.")
