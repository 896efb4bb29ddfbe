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
DEPTH = "residual stream before block (last: after the last block)"


@dataclass(frozen=True)
class ActivationDrift:
    """Drift at the last probe by depth, and at every probe."""

    profile: LinePanels
    maps: LayerMaps
    definition: str
    fixed_scale: bool
    """Whether a variant has its norm after the residual sum, which fixes the stream's scale."""
    outcomes: dict[Outcome, int]


def collect(results: StudyResults) -> ActivationDrift | None:
    """Normalised Bures drift to the start on the probe batch."""
    maps = collect_layer_maps(
        results, FAMILY, TAP, label="drift to start", layer_label="residual stream before block"
    )
    if maps is None:
        return None
    placements = {cell.configuration["model"]["placement"] for cell in results.plan.cells}
    return ActivationDrift(
        profile=_profile(results),
        maps=maps,
        definition=results.definition(FAMILY).definition,
        fixed_scale="post" in placements,
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
    what = f"Activation drift: {data.definition}."
    reading = (
        " Where the norm follows the residual sum (post), the scale of the stream is fixed by "
        "construction; compare variants of one placement."
        if data.fixed_scale
        else ""
    )
    counts = counts_caption(data.outcomes)
    rows = data.profile.lines[["variant", "label", "seed", "step", "x", "y"]]
    rows = rows.rename(columns={"x": "layer", "y": "drift"})
    profile = Figure(
        "activation_drift_by_depth",
        f"{what}{reading} At the last probe; thin: each completed run, thick: geometric mean. "
        f"{counts}",
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
