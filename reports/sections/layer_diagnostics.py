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
from reports.figures.layer_maps import LayerMaps, collect_layer_maps, draw_layer_maps
from reports.figures.line_panels import (
    LinePanels,
    collect_lines,
    draw_lines,
    lines_caption,
    lines_table,
)
from reports.figures.tap_panels import TapPanels, collect_tap_panels, draw_tap_panels
from reports.results.frame import StudyResults
from reports.sections.base import Section
from reports.sections.layer_captions import (
    foregone_map,
    foregone_panels,
    map_caption,
    panel_caption,
    reading_notes,
)
from reports.words import any_of, counts_caption, headed
from studies.metrics import METRICS
from studies.records import Outcome

GROUPS: dict[str, tuple[str, tuple[str, ...]]] = {
    "gradients": ("Gradients and updates", ("gradient_norm", "update_ratio")),
    "activations": (
        "Activations",
        ("activation_rms", "activation_rms_change", "activation_kurtosis", "activation_peak"),
    ),
    "activation-drift": (
        "Activation drift",
        (
            "activation_drift", "activation_drift_normalized", "activation_drift_step",
            "activation_drift_step_normalized", "sliced_w1",
        ),
    ),
    "similarity": (
        "Similarity of representations", ("token_similarity", "effective_rank", "cka_to_init"),
    ),
    "covariate-shift": ("Internal covariate shift", ("ics_l2", "ics_cosine")),
    "units": (
        "Feed-forward units", ("dead_units", "dormant_units", "saturated_units", "hidden_zeros"),
    ),
    "attention": (
        "Attention", ("attention_max_logit", "attention_entropy", "attention_entropy_min"),
    ),
    "batch-norm": (
        "Batch norm",
        ("batch_norm/loss_gap", "batch_norm_mean_distance", "batch_norm_variance_distance"),
    ),
}  # fmt: skip
"""Sections by name: title, and the families of curves in it, in order."""

EXPLAINS_TAPS = "activations"
"""The section that says where activations are measured, and how to read them, for all sections."""
OTHERS = "Other diagnostics"
"""Title of the section of all families that are in no group."""


@dataclass(frozen=True)
class FamilyFigures:
    """What is shown of one family of curves."""

    definition: str
    """What it is and where it is from, as sentences."""
    maps: tuple[LayerMaps, ...]
    panels: TapPanels | None
    lines: LinePanels | None = None
    """Of a curve of the model as a whole."""


@dataclass(frozen=True)
class LayerDiagnostics:
    """The families of a section."""

    families: tuple[FamilyFigures, ...]
    notes: tuple[str, ...]
    """What is to be known of all of them."""
    absent: tuple[str, ...]
    """A sentence for each map that the study asks for and no run recorded."""
    outcomes: dict[Outcome, int]
    searching: bool
    """Whether a search may ask for more runs."""


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
    notes = reading_notes(results) if name == EXPLAINS_TAPS else ()
    return collect(results, GROUPS[name][1], notes)


def _collect_others(results: StudyResults, known: Sequence[str]) -> LayerDiagnostics | None:
    wanted = (_family_and_tap(results, entry)[0] for entry in results.plan.study.report.layer_maps)
    whole = (name for name in results.definitions if "/" in name and name not in METRICS)
    families = dict.fromkeys((*results.layered, *wanted, *whole))
    return collect(results, [family for family in families if family not in known])


def collect(
    results: StudyResults, families: Sequence[str], notes: tuple[str, ...] = ()
) -> LayerDiagnostics | None:
    """What the runs recorded of these families; None where there is nothing, and none is wanted.

    Args:
        results: the study.
        families: families of curves.
        notes: what is to be known of them.
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
        if (figures := _figures(results, family, mapped))
    )
    if not shown and not absent and not notes:
        return None
    return LayerDiagnostics(
        shown, notes, tuple(absent), results.outcomes(), not results.plan.is_settled
    )


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
    layered = family in results.layered
    maps = [collect_layer_maps(results, family, tap) for tap in taps]
    panels = collect_tap_panels(results, family) if layered else None
    lines = None if layered else collect_lines(results, family)
    sentences = [metric.definition] if metric.definition else []
    sentences += [f"source: {metric.source}"] if metric.source else []
    definition = " ".join(f"{headed(text)}." for text in sentences)
    known = tuple(found for found in maps if found)
    found = FamilyFigures(definition, known, panels, lines)
    return found if known or panels or lines else None


def render(data: LayerDiagnostics) -> Exhibits:
    """For each family its maps, then the last probe at every tap; a sentence for a foregone one."""
    figures, foregone = [], []
    for family in data.families:
        if family.lines:
            figures.append(_line_figure(data, family, family.lines))
        for maps in family.maps:
            if maps.foregone:
                foregone.append(foregone_map(maps, family.definition))
            else:
                figures.append(_map_figure(data, family, maps))
        if family.panels and family.panels.foregone:
            foregone.append(foregone_panels(family.panels, family.definition))
        elif family.panels:
            figures.append(_panel_figure(data, family, family.panels))
    return Exhibits((*data.notes, *data.absent, *foregone), figures=tuple(figures))


def _map_figure(data: LayerDiagnostics, family: FamilyFigures, maps: LayerMaps) -> Figure:
    name = f"{_file_name(maps.family)}_{_file_name(maps.tap)}_by_step"
    caption = f"{map_caption(maps, family.definition)} {_counts(data)}"
    return Figure(name, caption, maps.means, partial(draw_layer_maps, maps), maps.runs)


def _line_figure(data: LayerDiagnostics, family: FamilyFigures, lines: LinePanels) -> Figure:
    caption = (
        f"{headed(lines.y_label)} by step. {family.definition} {lines_caption(lines)} "
        f"{_counts(data)}"
    )
    table = lines_table(lines, "value")
    draw = partial(draw_lines, lines)
    return Figure(_file_name(lines.metric), caption, table, draw, lines.runs)


def _panel_figure(data: LayerDiagnostics, family: FamilyFigures, panels: TapPanels) -> Figure:
    name = f"{_file_name(panels.family)}_by_layer"
    caption = f"{panel_caption(panels, family.definition)} {_counts(data)}"
    return Figure(name, caption, panels.cells, partial(draw_tap_panels, panels), panels.runs)


def _counts(data: LayerDiagnostics) -> str:
    return counts_caption(data.outcomes, searching=data.searching)


def _file_name(name: str) -> str:
    return re.sub(r"[^\w-]", "_", name)
