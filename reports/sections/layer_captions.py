"""What the captions of the layer diagnostics say, each part only where it is to be seen."""

from __future__ import annotations

import pandas as pd

from reports.figures.color_scales import WORDS, ColorScale, mean_name
from reports.figures.layer_maps import LayerMaps
from reports.figures.tap_panels import TapPanels
from reports.results.frame import StudyResults
from reports.words import headed, tap_label
from studies.diagnostics import TAPS
from studies.records import Outcome
from studies.vocabulary import BATCH_NORMS


def map_caption(maps: LayerMaps, definition: str) -> str:
    """What the maps of a family show, how it is defined, and what their marks mean."""
    return _joined(
        f"{headed(maps.label)}: {_place(maps)}, by step.",
        definition,
        f"{_mean(maps.scale)} over the runs that are still alive; one {WORDS[maps.scale.kind]} "
        "for all variants.",
        _hatched(maps.fixed),
        _arrows(maps.scale),
        "Grey: nothing recorded." if maps.grey else "",
        _crosses(maps),
        f"One in {maps.thinned} recorded steps is drawn." if maps.thinned > 1 else "",
    )


def _crosses(maps: LayerMaps) -> str:
    if not any(maps.divergences.values()):
        return ""
    return f"Crosses: where runs diverged{', at an end of the axis if beyond it' * maps.beyond}."


def panel_caption(panels: TapPanels, definition: str) -> str:
    """What the panels of a family show, how it is defined, and what their marks mean."""
    where = "each block" if _by_block(panels) else "each layer (columns) of every tap (panels)"
    shown = {variant for p in panels.panels for group in p.groups for variant in group.labels}
    lost = [panels.ends[v][Outcome.DIVERGED] > 0 for v in shown if not panels.completed(v)]
    left_out = len(panels.without)
    return _joined(
        f"{headed(panels.label)}: {where}, {_when(panels)}.",
        definition,
        f"{_mean(panels.scale)} over completed runs, whose least and greatest values are in the "
        f"figure's CSV file; one {WORDS[panels.scale.kind]} for all panels.",
        "Dot: runs of the variant differ by more than a fifth of the colour bar."
        if panels.cells["disagree"].any()
        else "",
        "Minus: below 0." if panels.below_zero.any() else "",
        _hatched(panels.fixed),
        _arrows(panels.scale),
        "Cross: no run of the variant completed, and some diverged." if True in lost else "",
        "Ring: no run of the variant has completed." if False in lost else "",
        "Dash: the variant has no such number in this layer." if panels.gaps else "",
        "Beside a row: of how many of the planned runs it is." if panels.partial else "",
        f"Left out: {left_out} variants without such a number." if left_out else "",
    )


def foregone_map(maps: LayerMaps, definition: str) -> str:
    """The sentence in place of maps that show nothing of training."""
    return _joined(
        f"{headed(maps.label)}: {maps.foregone} in {_place(maps)} of every run at every step, so "
        "that no map shows it.",
        maps.fixed,
        definition,
    )


def foregone_panels(panels: TapPanels, definition: str) -> str:
    """The sentence in place of panels that show nothing of training."""
    where = "each block" if _by_block(panels) else "each layer of every tap"
    return _joined(
        f"{headed(panels.label)}: {panels.foregone} in {where} of every completed run, "
        f"{_when(panels)}, so that no figure shows it.",
        panels.fixed,
        definition,
    )


def reading_notes(results: StudyResults) -> tuple[str, ...]:
    """Where activations are measured, and what to bear in mind of these variants."""
    recorded = {tap for taps in results.layered.values() for tap in taps}
    places = [f"{row.label}: {row.summary}" for tap, row in TAPS.items() if tap in recorded]
    if not places:
        return ()
    measured = f"Where activations are measured. {headed('; '.join(places))}."
    if results.plan.study.module is not None:
        return (
            measured,
            "Nothing is hatched: what is fixed by construction is not known of a module of one's "
            "own. At the output of a norm it may well be.",
        )
    models = [cell.configuration["model"] for cell in results.plan.cells]
    lagging = any(model["norm"] in BATCH_NORMS for model in models)
    unscaled = any(model["placement"] in ("post", "none") for model in models)
    return (
        measured,
        *(
            ["Batch norm is measured as it evaluates, with running statistics: k steps after the "
             "start these still hold 0.9^k of it, so that its first probes tell of that lag."]
            if lagging else []
        ),
        *(
            ["With post-norm or no norm, the first block reads the embedding as it is, and not "
             "scaled to an RMS of 1: compare its attention with that in mind."]
            if unscaled else []
        ),
    )  # fmt: skip


def _place(maps: LayerMaps) -> str:
    return "each block" if maps.tap == "block" else f"each layer at the tap {tap_label(maps.tap)}"


def _by_block(panels: TapPanels) -> bool:
    return {panel.tap for panel in panels.panels} == {"block"}


def _when(panels: TapPanels) -> str:
    first, last = panels.cells["first_step"], panels.cells["last_step"]
    if (first < last).any():
        return f"mean over the looks in the second half of the run (step {_range(first, last)})"
    return f"at the last probe (step {_range(last, last)})"


def _range(first: pd.Series[int], last: pd.Series[int]) -> str:
    return f"{first.min()}" if first.min() == last.max() else f"{first.min()} to {last.max()}"


def _mean(scale: ColorScale) -> str:
    return headed(mean_name(scale.kind))


def _hatched(reasons: str) -> str:
    told = "Hatched: fixed by construction, so that it is no result of training."
    return f"{told} {reasons}" if reasons else ""


def _arrows(scale: ColorScale) -> str:
    if scale.under and scale.over:
        return "Arrows: values beyond the colour bar, in the colours of its ends."
    if scale.under or scale.over:
        return "Arrow: values beyond the colour bar, in the colour of its end."
    return ""


def _joined(*parts: str) -> str:
    return " ".join(part for part in parts if part)
