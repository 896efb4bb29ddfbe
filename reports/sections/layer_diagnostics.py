"""What was measured inside the models, by layer: maps over steps, and the last probe at each tap.

Everything comes from the recorded curves and the definitions that travel with the runs: a new
diagnostic is drawn without a line here.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from reports.exhibits import Exhibits, Figure
from reports.frame import StudyResults
from reports.layer_maps import LayerMaps, collect_layer_maps, draw_layer_maps
from reports.sections.base import Section
from reports.sections.layer_captions import (
    foregone_map,
    foregone_panels,
    headed,
    map_caption,
    panel_caption,
)
from reports.tap_panels import TapPanels, collect_tap_panels, draw_tap_panels
from reports.words import any_of, counts_caption
from studies.diagnostics import TAPS
from studies.records import Outcome

GROUPS: dict[str, tuple[str, tuple[str, ...]]] = {
    "gradients": ("Gradients and updates", ("gradient_norm", "update_ratio")),
    "activations": (
        "Activations",
        ("activation_rms", "activation_rms_change", "activation_kurtosis", "activation_peak"),
    ),
    "activation-drift": (
        "Activation drift and similarity",
        (
            "activation_drift", "activation_drift_normalized", "activation_drift_step",
            "activation_drift_step_normalized", "sliced_w1", "cka_to_init",
        ),
    ),
    "representation-collapse": (
        "Token similarity and rank", ("token_similarity", "effective_rank"),
    ),
    "covariate-shift": ("Internal covariate shift", ("ics_l2", "ics_cosine")),
    "units": (
        "Feed-forward units", ("dead_units", "dormant_units", "saturated_units", "hidden_zeros"),
    ),
    "attention": (
        "Attention", ("attention_max_logit", "attention_entropy", "attention_entropy_min"),
    ),
    "batch-norm": (
        "Batch norm", ("batch_norm_mean_distance", "batch_norm_variance_distance"),
    ),
}  # fmt: skip
"""Sections by name: title, and the families of curves in it, in order."""

EXPLAINS_TAPS = "activations"
"""The section that says where activations are measured, for all sections."""
OTHERS = "Other diagnostics"
"""Title of the section of all families that are in no group."""


@dataclass(frozen=True)
class FamilyFigures:
    """What is shown of one family of curves."""

    definition: str
    """What it is and where it is from, as sentences."""
    maps: tuple[LayerMaps, ...]
    panels: TapPanels | None


@dataclass(frozen=True)
class LayerDiagnostics:
    """The families of a section."""

    families: tuple[FamilyFigures, ...]
    taps: tuple[str, ...]
    """Taps that it explains: in one section, all that the runs recorded, blocks aside."""
    absent: tuple[str, ...]
    """A sentence for each map that the study asks for and no run recorded."""
    outcomes: dict[Outcome, int]


def sections() -> dict[str, Section[LayerDiagnostics]]:
    """A section per group, and one for the families that are in none."""
    known = [family for _, families in GROUPS.values() for family in families]
    found = {
        name: Section(title, partial(_collect_group, name=name), render, absent="")
        for name, (title, _) in GROUPS.items()
    }
    found["other"] = Section(OTHERS, partial(_collect_others, known=known), render, absent="")
    return found


def _collect_group(results: StudyResults, name: str) -> LayerDiagnostics | None:
    recorded = {tap for taps in results.layered.values() for tap in taps}
    taps = tuple(tap for tap in TAPS if tap in recorded) if name == EXPLAINS_TAPS else ()
    return collect(results, GROUPS[name][1], taps)


def _collect_others(results: StudyResults, known: Sequence[str]) -> LayerDiagnostics | None:
    wanted = (_family_and_tap(results, entry)[0] for entry in results.plan.study.report.layer_maps)
    families = dict.fromkeys((*results.layered, *wanted))
    return collect(results, [family for family in families if family not in known])


def collect(
    results: StudyResults, families: Sequence[str], taps: tuple[str, ...] = ()
) -> LayerDiagnostics | None:
    """What the runs recorded of these families; None where there is nothing, and none is wanted.

    Args:
        results: the study.
        families: families of curves.
        taps: those to explain.
    """
    wanted: dict[str, list[str]] = {family: [] for family in families}
    absent = []
    for entry in dict.fromkeys(results.plan.study.report.layer_maps):
        family, tap = _family_and_tap(results, entry)
        if family in wanted:
            if tap in results.layered.get(family, ()):
                wanted[family].append(tap)
            else:
                absent.append(_absence(results, entry, family))
    shown = tuple(
        figures
        for family, mapped in wanted.items()
        if family in results.layered and (figures := _figures(results, family, mapped))
    )
    if not shown and not absent and not taps:
        return None
    return LayerDiagnostics(shown, taps, tuple(absent), results.outcomes())


def _family_and_tap(results: StudyResults, entry: str) -> tuple[str, str]:
    """An entry of `report.layer_maps`; a family alone stands for the first of its taps."""
    if entry in results.layered:
        return entry, results.layered[entry][0]
    family, _, tap = entry.rpartition("/")
    return (family, tap) if family else (entry, "")


def _absence(results: StudyResults, entry: str, family: str) -> str:
    taps = results.layered.get(family)
    recorded = f"{family} at {any_of(taps, 'and')}" if taps else ", ".join(results.layered)
    return (
        f"No map of {entry} (report.layer_maps): no run recorded it by layer. "
        f"Recorded: {recorded or 'nothing by layer'}."
    )


def _figures(results: StudyResults, family: str, taps: Sequence[str]) -> FamilyFigures | None:
    metric = results.definition(family)
    maps = [collect_layer_maps(results, family, tap) for tap in taps]
    panels = collect_tap_panels(results, family)
    sentences = [metric.definition] if metric.definition else []
    sentences += [f"source: {metric.source}"] if metric.source else []
    definition = " ".join(f"{text[:1].upper()}{text[1:]}." for text in sentences)
    known = tuple(found for found in maps if found)
    return FamilyFigures(definition, known, panels) if known or panels else None


def render(data: LayerDiagnostics) -> Exhibits:
    """For each family its maps, then the last probe at every tap; a sentence for a foregone one."""
    figures, foregone = [], []
    for family in data.families:
        for maps in family.maps:
            if maps.foregone:
                foregone.append(foregone_map(maps, family.definition))
            else:
                figures.append(_map_figure(data, family, maps))
        if family.panels and family.panels.foregone:
            foregone.append(foregone_panels(family.panels, family.definition))
        elif family.panels:
            figures.append(_panel_figure(data, family, family.panels))
    places = "; ".join(f"{TAPS[tap].label}: {TAPS[tap].summary}" for tap in data.taps)
    measured = (f"Where activations are measured. {headed(places)}.",) if places else ()
    return Exhibits((*measured, *data.absent, *foregone), figures=tuple(figures))


def _map_figure(data: LayerDiagnostics, family: FamilyFigures, maps: LayerMaps) -> Figure:
    name = f"{_file_name(maps.family)}_{_file_name(maps.tap)}_by_step"
    caption = f"{map_caption(maps, family.definition)} {counts_caption(data.outcomes)}"
    return Figure(name, caption, maps.means, partial(draw_layer_maps, maps))


def _panel_figure(data: LayerDiagnostics, family: FamilyFigures, panels: TapPanels) -> Figure:
    name = f"{_file_name(panels.family)}_by_layer"
    caption = f"{panel_caption(panels, family.definition)} {counts_caption(data.outcomes)}"
    return Figure(name, caption, panels.cells, partial(draw_tap_panels, panels))


def _file_name(name: str) -> str:
    return re.sub(r"[^\w-]", "_", name)
