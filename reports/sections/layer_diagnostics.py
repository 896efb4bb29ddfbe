"""What was measured inside the models, by layer: maps over steps, and the last probe at each tap.

Everything comes from the recorded curves and the definitions that travel with the runs: a new
diagnostic is drawn without a line here.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from reports.color_scales import WORDS, ColorScale, mean_name
from reports.exhibits import Exhibits, Figure
from reports.frame import StudyResults
from reports.layer_maps import LayerMaps, collect_layer_maps, draw_layer_maps
from reports.sections.base import Section
from reports.tap_panels import TapPanels, collect_tap_panels, draw_tap_panels
from reports.words import any_of, counts_caption, tap_label
from studies.records import Outcome
from studies.vocabulary import TAPS

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
    """Taps of its curves, blocks aside."""
    absent: tuple[str, ...]
    """A sentence for each map that the study asks for and no run recorded."""
    outcomes: dict[Outcome, int]


def sections() -> dict[str, Section[LayerDiagnostics]]:
    """A section per group, and one for the families that are in none."""
    known = [family for _, families in GROUPS.values() for family in families]
    found = {
        name: Section(title, partial(collect, families=families), render, absent="")
        for name, (title, families) in GROUPS.items()
    }
    found["other"] = Section(OTHERS, partial(_collect_others, known=known), render, absent="")
    return found


def _collect_others(results: StudyResults, known: Sequence[str]) -> LayerDiagnostics | None:
    wanted = (_family_and_tap(results, entry)[0] for entry in results.plan.study.report.layer_maps)
    families = dict.fromkeys((*results.layered, *wanted))
    return collect(results, [family for family in families if family not in known])


def collect(results: StudyResults, families: Sequence[str]) -> LayerDiagnostics | None:
    """What the runs recorded of these families; None where there is nothing, and none is wanted."""
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
        for family, taps in wanted.items()
        if family in results.layered and (figures := _figures(results, family, taps))
    )
    if not shown and not absent:
        return None
    drawn = [tap for f in shown if f.panels for tap in f.panels.cells["tap"].unique()]
    drawn += [maps.tap for f in shown for maps in f.maps]
    taps = tuple(tap for tap in TAPS if tap in drawn)
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
    """For each family its maps, then the last probe at every tap."""
    figures = []
    for family in data.families:
        figures += [_map_figure(data, family, maps) for maps in family.maps]
        if family.panels:
            figures.append(_panel_figure(data, family, family.panels))
    places = "; ".join(f"{TAPS[tap].label}: {TAPS[tap].summary}" for tap in data.taps)
    measured = (f"Where activations are measured. {places[:1].upper()}{places[1:]}.",)
    return Exhibits(sentences=(measured if places else ()) + data.absent, figures=tuple(figures))


def _map_figure(data: LayerDiagnostics, family: FamilyFigures, maps: LayerMaps) -> Figure:
    place = "block" if maps.tap == "block" else f"layer at the tap {tap_label(maps.tap)}"
    parts = [
        f"{_headed(maps.label)}: each {place}, by step.",
        family.definition,
        f"{_mean(maps.scale)} over the runs that are still alive; one {WORDS[maps.scale.kind]} "
        "for all variants.",
        maps.fixed,
        "Grey: nothing recorded.",
        "Crosses: where runs diverged." if any(maps.divergences.values()) else "",
        f"Every {maps.thinned}th recorded step is drawn." if maps.thinned > 1 else "",
        counts_caption(data.outcomes),
    ]
    name = f"{_file_name(maps.family)}_{_file_name(maps.tap)}_by_step"
    return Figure(name, _sentences(parts), maps.means, partial(draw_layer_maps, maps))


def _panel_figure(data: LayerDiagnostics, family: FamilyFigures, panels: TapPanels) -> Figure:
    steps = panels.cells["step"]
    last = f"{steps.min()}" if steps.nunique() == 1 else f"{steps.min()} to {steps.max()}"
    by_block = {panel.tap for panel in panels.panels} == {"block"}
    where = "each block" if by_block else "each layer (columns) of every tap (panels)"
    shown = {variant for p in panels.panels for group in p.groups for variant in group.labels}
    lost = [panels.ends[v][Outcome.DIVERGED] > 0 for v in shown if not panels.completed(v)]
    parts = [
        f"{_headed(panels.label)}: {where} at the last probe (step {last}).",
        family.definition,
        f"{_mean(panels.scale)} over completed runs, whose least and greatest values are in the "
        f"figure's CSV file; one {WORDS[panels.scale.kind]} for all panels.",
        panels.fixed,
        "Cross: no run of the variant completed, and some diverged." if True in lost else "",
        "Ring: no run of the variant has completed." if False in lost else "",
        "Dash: the variant has no such number in this layer." if panels.gaps else "",
        "Beside a row: of how many of the planned runs it is." if panels.partial else "",
        f"Left out: {len(panels.without)} variants without such a number."
        if panels.without
        else "",
        counts_caption(data.outcomes),
    ]
    name = f"{_file_name(panels.family)}_by_layer"
    return Figure(name, _sentences(parts), panels.cells, partial(draw_tap_panels, panels))


def _headed(label: str) -> str:
    return label[:1].upper() + label[1:]


def _mean(scale: ColorScale) -> str:
    return _headed(mean_name(scale.kind))


def _sentences(parts: Sequence[str]) -> str:
    return " ".join(part for part in parts if part)


def _file_name(name: str) -> str:
    return re.sub(r"[^\w-]", "_", name)
